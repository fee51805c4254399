"""Checks that only a Databricks workspace can answer; without one they are "not checked"."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass

OK, FAILED, NOT_CHECKED = "ok", "FAILED", "not checked"


@dataclass(frozen=True)
class Check:
    """One check: its subject, its answer (`OK`, `FAILED` or `NOT_CHECKED`) and the detail.

    Args:
        where: of something that is wrong: file:line:column, and the key path.
        hint: one action that mends it.
    """

    subject: str
    answer: str
    detail: str
    where: str = ""
    hint: str = ""


def workspace_configured() -> bool:
    """Whether the databricks command is installed and knows a workspace to talk to.

    Asks the SDK for its configuration (profile, host, token) and sends nothing.
    """
    if shutil.which("databricks") is None:
        return False
    from databricks.sdk.core import Config

    try:
        return bool(Config().host)
    except ValueError:
        return False


def workspace_checks(catalog: str, schema: str, volume: str = "nba") -> list[Check]:
    """Whether catalog, schema and volume exist, as far as this user may see them."""
    name = f"{catalog}.{schema}"
    subjects = [f"catalog {catalog}", f"schema {name}", f"volume {name}.{volume}"]
    if not workspace_configured():
        reason = "no workspace is configured"
        return [Check(subject, NOT_CHECKED, reason) for subject in subjects]
    from databricks.sdk import WorkspaceClient

    client = WorkspaceClient()
    questions: list[Callable[[], object]] = [
        lambda: client.catalogs.get(catalog),
        lambda: client.schemas.get(name),
        lambda: client.volumes.read(f"{name}.{volume}"),
    ]
    return [_ask(subject, question) for subject, question in zip(subjects, questions)]


def _ask(subject: str, question: Callable[[], object]) -> Check:
    from databricks.sdk.errors import DatabricksError, NotFound

    try:
        question()
    except NotFound as error:
        return Check(subject, FAILED, str(error))
    except (DatabricksError, OSError) as error:
        return Check(subject, NOT_CHECKED, str(error))
    return Check(subject, OK, "found")
