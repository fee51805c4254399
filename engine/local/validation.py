"""The checks of `nba validate-bundle`: the bundle, its files, the configuration, the workspace."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from engine.bundle import fixes, schema
from engine.bundle.checks.table import RULES
from engine.bundle.checks.view import View
from engine.bundle.jobs import Bundle, runnable
from engine.bundle.resolution import Resolved
from engine.bundle.values import Fault
from engine.documents import DocumentError
from engine.errors import BundleError
from engine.local.bundle import TABLES_JOB, resolve_here
from engine.local.run import parameters
from engine.parameters import UNSET, Parameters
from engine.workspace import FAILED, NOT_CHECKED, OK, Check, workspace_checks
from policies.errors import NbaError

REQUIREMENTS = "requirements.txt"
READING = ("yaml", "include", "override", "variable", "reference", "repeated keys")


@dataclass(frozen=True)
class Validation:
    """A bundle for one target, and what is wrong with it.

    Args:
        error: what stops the reading as a whole; then there are no faults.
    """

    path: Path
    resolved: Optional[Resolved]
    faults: tuple[Fault, ...]
    error: Optional[NbaError] = None


def validate(path: Path, target: Optional[str], variables: Mapping[str, str]) -> Validation:
    """Read a bundle and look for faults: in its YAML, its schema and its meaning."""
    try:
        resolved = resolve_here(path, target, variables)
    except NbaError as error:
        return Validation(path, None, (), error)
    others = resolved.root["targets"].items
    targets = {resolved.target: resolved}
    for name in others.keys() - {resolved.target}:
        targets[name] = resolve_here(path, name, variables)
    view = View(resolved, {name: targets[name] for name in others or targets})
    faults = [*resolved.faults, *schema.check(resolved)]
    faults += [fault for rule in RULES for fault in rule.faults(view)]
    return Validation(path, resolved, tuple(_once(faults)))


def fix(found: Validation) -> list[Fault]:
    """Mend the faults with one right answer; returns those that were mended."""
    return fixes.apply(found.faults)


def bundle_checks(
    path: Path,
    target: Optional[str],
    verbose: bool,
    variables: Optional[Mapping[str, str]] = None,
) -> Iterator[Check]:
    """Each check with its answer, and where it was made or what is wrong.

    Args:
        path: the bundle's main file.
        target: one of its targets; None: the default one.
        verbose: ask the workspace, too.
        variables: values as of `--var`.
    """
    yield from checks_of(validate(path, target, variables or {}), verbose)


def checks_of(found: Validation, verbose: bool) -> Iterator[Check]:
    """The answers to all checks, for what was found."""
    if found.resolved is None:
        yield _failed("bundle", found.error)
        yield Check("configuration", NOT_CHECKED, "the bundle says where it is")
        return
    files = ", ".join(map(str, found.resolved.files))
    yield Check("bundle", OK, f"{files}, target {found.resolved.target}")
    for name in (*READING, schema.NAME, *(rule.name for rule in RULES)):
        faults = [fault for fault in found.faults if fault.check == name]
        for fault in faults:
            yield Check(name, FAILED, fault.what, str(fault.place), fault.hint)
        if name == schema.NAME and not schema.available():
            yield Check(name, NOT_CHECKED, "the types of resources need Python 3.10 or later")
        elif not faults:
            yield Check(name, OK, "")
    yield from _run_checks(found.resolved, verbose)


def _run_checks(resolved: Resolved, verbose: bool) -> Iterator[Check]:
    """What a local run, and the engine's configuration, say of the bundle."""
    try:
        bundle = runnable(resolved)
    except BundleError as error:
        known = str(error) in {str(fault.error()) for fault in resolved.faults}
        if not known:
            yield Check("local run", NOT_CHECKED, f"{error.what}, in {error.where}")
        yield Check("configuration", NOT_CHECKED, "the bundle says where it is")
        return
    if TABLES_JOB in bundle.jobs and "conf_dir" in bundle.jobs[TABLES_JOB].parameters:
        yield from _configuration(bundle)
    for name in bundle.schemas if verbose else ():
        yield from workspace_checks(*name.split(".", maxsplit=1))


def _configuration(bundle: Bundle) -> Iterator[Check]:
    from engine.config import (
        load_config,
        source_files,
    )  # pandas and Spark, which other bundles do without
    from engine.world.source import KNOWN

    file = bundle.path.parent / REQUIREMENTS
    yield Check("requirements", OK if file.is_file() else FAILED, str(file))
    source = bundle.variables.get("source", UNSET)
    values = parameters(bundle, bundle.job(TABLES_JOB), {})
    folder = Path(values["conf_dir"])
    details = {source: f"{folder}, of this target"} if source != UNSET else {}
    if source == UNSET:
        what = f"{bundle.target} has no source yet; until its variable `source` names one, runs"
        yield Check("source", NOT_CHECKED, f"{what} end at once")
    for file in source_files(folder):
        details.setdefault(file.stem, str(file))
    for name, detail in details.items():
        try:  # as a run of this source reads them
            checked = Parameters.parse({**values, "source": name})
            load_config(checked.conf_dir, checked.source, KNOWN)
        except NbaError as error:
            yield _failed(f"source {name}", error)
        else:
            yield Check(f"source {name}", OK, detail)


def _failed(subject: str, error: Optional[NbaError]) -> Check:
    assert error is not None
    where = error.where or ""
    if isinstance(error, DocumentError):
        where = ":".join(map(str, (error.path, *error.mark)))
    return Check(subject, FAILED, error.what, where, error.hint or "")


def _once(faults: list[Fault]) -> Iterator[Fault]:
    """Each fault once: anchors and merges bring one place into many values."""
    seen = set()
    for fault in faults:
        key = (fault.what, fault.place.path, fault.place.line, fault.place.column)
        if key not in seen:
            seen.add(key)
            yield fault
