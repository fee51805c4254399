"""What only a Databricks workspace knows; without one, every answer is "not checked"."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass

NOT_CHECKED, FOUND, MISSING = "not checked", "found", "missing"


@dataclass(frozen=True)
class Fact:
    """One thing that a workspace was asked, and its answer."""

    subject: str
    answer: str
    detail: str = ""


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


def workspace_facts(catalog: str, schema: str, volume: str = "nba") -> list[Fact]:
    """Whether catalog, schema and volume exist, as far as this user may see them."""
    name = f"{catalog}.{schema}"
    subjects = [f"catalog {catalog}", f"schema {name}", f"volume {name}.{volume}"]
    if not workspace_configured():
        return [Fact(each, NOT_CHECKED, "no workspace is configured") for each in subjects]
    from databricks.sdk import WorkspaceClient

    client = WorkspaceClient()
    questions: list[Callable[[], object]] = [
        lambda: client.catalogs.get(catalog),
        lambda: client.schemas.get(name),
        lambda: client.volumes.read(f"{name}.{volume}"),
    ]
    return [_ask(subject, question) for subject, question in zip(subjects, questions)]


def _ask(subject: str, question: Callable[[], object]) -> Fact:
    from databricks.sdk.errors import DatabricksError, NotFound

    try:
        question()
    except NotFound as error:
        return Fact(subject, MISSING, str(error))
    except (DatabricksError, OSError) as error:
        return Fact(subject, NOT_CHECKED, str(error))
    return Fact(subject, FOUND)
