"""The checks of `nba validate-bundle`: the bundle, its files, the configuration, the workspace."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from engine.config import load_config
from engine.local.bundle import Bundle, read_bundle
from engine.local.run import parameters
from engine.parameters import Parameters
from engine.workspace import FAILED, NOT_CHECKED, OK, Check, workspace_checks
from engine.world.source import KNOWN
from policies.errors import NbaError

JOB = "monitoring_job"
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
    notebooks = {
        task.notebook for job in bundle.jobs.values() for task in job.tasks if task.notebook
    }
    yield Check("notebooks", OK, f"{len(notebooks)} that tasks run")
    file = path.parent / REQUIREMENTS
    yield Check("requirements", OK if file.is_file() else FAILED, str(file))
    yield from _configuration(bundle)
    for schema in bundle.schemas if verbose else ():
        yield from workspace_checks(*schema.split(".", maxsplit=1))


def _configuration(bundle: Bundle) -> Iterator[Check]:
    source = bundle.variables.get("source")
    values = parameters(bundle, bundle.job(JOB), {} if source else {"source": "-"})
    folder = Path(values["conf_dir"])
    if source:
        yield _check(values, source, f"{folder}, of this target")
    else:
        yield Check("source", NOT_CHECKED, "no value in this target; a run must give it")
    for file in sorted((folder / "sources").glob("*.yml")):
        if file.stem != source:
            yield _check(values, file.stem, str(file))


def _check(values: Mapping[str, str], source: str, where: str) -> Check:
    """The parameters and the configuration, as a run of this source reads them."""
    try:
        checked = Parameters.parse({**values, "source": source})
        load_config(checked.conf_dir, checked.source, KNOWN)
    except NbaError as error:
        return Check(f"source {source}", FAILED, _line(error))
    return Check(f"source {source}", OK, where)


def _line(error: NbaError) -> str:
    """What, where and hint on one line."""
    return "; ".join(map(str.strip, str(error).splitlines()))
