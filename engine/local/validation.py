"""What `nba validate-bundle` checks: the bundle, the files it needs, configuration, workspace."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Optional

from engine.config import load_config
from engine.local.bundle import Bundle, read_bundle
from engine.local.run import parameters
from engine.workspace import FOUND, MISSING, NOT_CHECKED, Fact, workspace_facts
from policies.errors import NbaError

OK, FAILED = "ok", "FAILED"
JOB = "monitoring_job"
REQUIREMENTS = "requirements.txt"


def bundle_checks(path: Path, target: str, verbose: bool) -> Iterator[Fact]:
    """Each check with its answer (ok, FAILED or not checked) and where, or what is wrong.

    Args:
        path: databricks.yml.
        target: one of its targets.
        verbose: ask the workspace, too.
    """
    try:
        bundle = read_bundle(path, target)
    except NbaError as error:
        yield Fact("bundle", FAILED, _line(error))
        yield Fact("configuration", NOT_CHECKED, "the bundle says where it is")
        return
    yield Fact("bundle", OK, f"{path}, target {target}")
    notebooks = {
        task.notebook for job in bundle.jobs.values() for task in job.tasks if task.notebook
    }
    yield Fact("notebooks", OK, f"{len(notebooks)} that tasks run")
    file = path.parent / REQUIREMENTS
    yield Fact("requirements", OK if file.is_file() else FAILED, str(file))
    yield from _configuration(bundle)
    if verbose:
        yield from _workspace(bundle)


def _configuration(bundle: Bundle) -> Iterator[Fact]:
    source: Optional[str] = bundle.variables.get("source")
    values = parameters(bundle, bundle.job(JOB), {} if source else {"source": "-"})
    folder = Path(values["conf_dir"])
    if source:
        yield _check(folder, source, f"{folder}, of this target")
    else:
        yield Fact("source", NOT_CHECKED, "it has no value in this target; a run must give it")
    for each in sorted((folder / "sources").glob("*.yml")):
        if each.stem != source:
            yield _check(folder, each.stem, str(each))


def _check(folder: Path, source: str, where: str) -> Fact:
    try:
        load_config(folder, source)
    except NbaError as error:
        return Fact(f"source {source}", FAILED, _line(error))
    return Fact(f"source {source}", OK, where)


def _workspace(bundle: Bundle) -> Iterator[Fact]:
    for schema in bundle.schemas:
        for fact in workspace_facts(*schema.split(".", maxsplit=1)):
            answer = {FOUND: OK, MISSING: FAILED}.get(fact.answer, fact.answer)
            yield Fact(fact.subject, answer, fact.detail or fact.answer)


def _line(error: NbaError) -> str:
    """What, where and hint on one line."""
    return "; ".join(each.strip() for each in str(error).splitlines())
