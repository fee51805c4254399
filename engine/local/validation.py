"""The checks of `nba validate-bundle`: the bundle, its files, the configuration, the workspace."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from engine.config import load_config
from engine.local.bundle import TABLES_JOB, Bundle, read_bundle
from engine.local.run import parameters
from engine.parameters import Parameters
from engine.workspace import FAILED, NOT_CHECKED, OK, Check, workspace_checks
from engine.world.source import KNOWN
from policies.errors import NbaError

REQUIREMENTS = "requirements.txt"


def bundle_checks(path: Path, target: str, verbose: bool) -> Iterator[Check]:
    """Each check with its answer, and where it was made or what is wrong.

    Args:
        path: databricks.yml.
        target: one of its targets.
        verbose: check the workspace, too.
    """
    try:
        bundle = read_bundle(path, target)
    except NbaError as error:
        yield Check("bundle", FAILED, _line(error))
        yield Check("configuration", NOT_CHECKED, "the bundle says where it is")
        return
    yield Check("bundle", OK, f"{path}, target {target}")
    tasks = [task for job in bundle.jobs.values() for task in job.tasks]
    notebooks = {task.notebook for task in tasks if task.notebook}
    yield Check("notebooks", OK, f"{len(notebooks)} that tasks run")
    file = path.parent / REQUIREMENTS
    yield Check("requirements", OK if file.is_file() else FAILED, str(file))
    yield from _configuration(bundle)
    for schema in bundle.schemas if verbose else ():
        yield from workspace_checks(*schema.split(".", maxsplit=1))


def _configuration(bundle: Bundle) -> Iterator[Check]:
    source = bundle.variables.get("source")
    values = parameters(bundle, bundle.job(TABLES_JOB), {} if source else {"source": "-"})
    folder = Path(values["conf_dir"])
    details = {source: f"{folder}, of this target"} if source else {}
    if not source:
        yield Check("source", NOT_CHECKED, "no value in this target; a run must give it")
    for file in sorted((folder / "sources").glob("*.yml")):
        details.setdefault(file.stem, str(file))
    for name, detail in details.items():
        try:  # as a run of this source reads them
            checked = Parameters.parse({**values, "source": name})
            load_config(checked.conf_dir, checked.source, KNOWN)
        except NbaError as error:
            yield Check(f"source {name}", FAILED, _line(error))
        else:
            yield Check(f"source {name}", OK, detail)


def _line(error: NbaError) -> str:
    """What, where and hint on one line."""
    return "; ".join(map(str.strip, str(error).splitlines()))
