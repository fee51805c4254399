"""The jobs of databricks.yml: checked, resolved for one target, tasks in running order."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any, Optional

from engine.documents import Document, KeyPath, read_document
from engine.errors import BundleError
from policies.errors import require_known

FILE = "databricks.yml"
TABLES_JOB = "monitoring_job"  # whose parameters say where the tables are
NOTEBOOK = "notebook_task"
KINDS = {  # of tasks: the fields that say what one runs, and with which parameters
    NOTEBOOK: ("notebook_path", "base_parameters"),
    "run_job_task": ("job_id", "job_parameters"),
}
_STATIC = re.compile(r"\$\{([^}]+)\}")
_DYNAMIC = re.compile(r"\{\{\s*([^}]+?)\s*\}\}")


@dataclass(frozen=True)
class Task:
    """One step of a job: a notebook, or another job."""

    key: str
    depends_on: tuple[str, ...]
    parameters: Mapping[str, str]
    notebook: Optional[Path]
    run_job: Optional[str]
    where: str


@dataclass(frozen=True)
class Job:
    """A job: its tasks in running order; a parameter without a value is None."""

    key: str
    tasks: tuple[Task, ...]
    parameters: Mapping[str, Optional[str]]
    schedule: Optional[str]
    where: str

    def values(self, given: Mapping[str, str], *, today: dt.date) -> dict[str, str]:
        """The parameters of one run: the given values, and defaults for the rest.

        Raises:
            BundleError: a given name is no parameter of this job, or a parameter has no value.
        """
        for name in given:
            what = f"{self.key} has no parameter {name!r}"
            require_known(name, self.parameters, BundleError, what, self.where)
        values = {}
        for name, default in self.parameters.items():
            value = given.get(name, default)
            if value is None:
                raise BundleError(
                    f"the parameter {name!r} of {self.key} has no value in this target",
                    where=self.where,
                    hint=f"give one: --params {name}=…",
                )
            values[name] = dynamic(value, {}, today=today, where=self.where)
        return values


@dataclass(frozen=True)
class Bundle:
    """The content of databricks.yml for one target."""

    target: str
    path: Path
    jobs: Mapping[str, Job]
    variables: Mapping[str, Optional[str]]  # None: no value in this target
    schemas: tuple[str, ...]

    def job(self, key: str) -> Job:
        """The job of that name.

        Raises:
            BundleError: there is none.
        """
        require_known(key, self.jobs, BundleError, f"there is no job {key!r}", str(self.path))
        return self.jobs[key]

    def notebooks(self, job: Job) -> int:
        """How many notebooks one run of `job` executes, those of the jobs it runs included."""
        inner = [task.run_job for task in job.tasks]
        return sum(self.notebooks(self.job(key)) if key else 1 for key in inner)


def find_bundle(start: Path) -> Path:
    """The databricks.yml of this folder or the closest one above it."""
    for folder in (start, *start.resolve().parents):
        if (folder / FILE).is_file():
            return folder / FILE
    raise BundleError(f"there is no {FILE} here or above", where=str(start.resolve()))


def read_bundle(path: Path, target: str) -> Bundle:
    """Read, resolve and check the bundle for one target.

    Raises:
        BundleError: with file, line and key of what cannot be followed: an unknown target,
            variable, resource or job, a kind of task that is not supported, a notebook that is
            missing, or tasks that wait for each other.
        ConfigError: the file is not YAML.
    """
    text = _Resolver(read_document(path), target)
    resources = text.section("resources")
    bodies = resources.get("jobs") or {}
    jobs = {key: _job(text, key, body, bodies) for key, body in bodies.items()}
    _check_between(jobs)
    schemas = tuple(
        f"{text.required(body['catalog_name'], ())}.{text.required(body['name'], ())}"
        for body in (resources.get("schemas") or {}).values()
    )
    variables = {
        name: text.optional(f"${{var.{name}}}", ("variables", name))
        for name in text.section("variables")
    }
    return Bundle(target, path, jobs, variables, schemas)


def dynamic(text: str, parameters: Mapping[str, str], *, today: dt.date, where: str) -> str:
    """Fill in what Databricks fills in when a run starts, such as `{{job.parameters.as_of}}`."""

    known = {"job.start_time.iso_date": today.isoformat()}
    known.update({f"job.parameters.{name}": value for name, value in parameters.items()})

    def value(match: re.Match[str]) -> str:
        what = f"the reference {match.group()} has no value in a local run"
        require_known(match.group(1), known, BundleError, what, where)
        return known[match.group(1)]

    return _DYNAMIC.sub(value, text)


class _Resolver:
    """Replaces `${…}` by values: variables, target overrides, names of resources, stand-ins."""

    def __init__(self, document: Document, target: str) -> None:
        self.document, self.target = document, target
        targets = document.data.get("targets") or {}
        where = document.where(("targets",))
        require_known(target, targets, BundleError, f"there is no target {target!r}", where)
        self.overrides: dict[str, Any] = targets[target] or {}
        self.known: dict[str, Any] = {  # every reference; a value may hold references again
            "bundle.name": (document.data.get("bundle") or {}).get("name"),
            "bundle.target": target,
            "workspace.file_path": str(document.path.parent),
            "workspace.current_user.userName": "local",
            "workspace.current_user.short_name": "local",
        }
        for name, body in self.section("variables").items():
            value = body.get("default") if isinstance(body, dict) else body
            self.known[f"var.{name}"] = value
        for kind, resources in self.section("resources").items():
            for key, body in resources.items():
                for name, value in {"id": key, **body}.items():
                    self.known[f"resources.{kind}.{key}.{name}"] = value

    def section(self, name: str) -> dict[str, Any]:
        """A section of the file, with what the target overrides."""
        return _merged(self.document.data.get(name) or {}, self.overrides.get(name) or {})

    def required(self, value: Any, keys: KeyPath) -> str:
        """`value` with every reference replaced."""
        text = self.optional(value, keys)
        if text is None:
            raise BundleError(
                f"{value} has no value in target {self.target!r}",
                where=self.document.where(keys),
                hint="give the variable a default, or a value in this target",
            )
        return text

    def optional(self, value: Any, keys: KeyPath, depth: int = 0) -> Optional[str]:
        """Like `required`, but None where a variable has no value."""
        where = self.document.where(keys)
        if depth > 20:
            raise BundleError(f"{value} refers to itself", where=where)
        text = "" if value is None else str(value)
        for match in _STATIC.finditer(text):
            what = f"{match.group()} refers to nothing that is known here"
            require_known(match.group(1), self.known, BundleError, what, where)
            inner = self.known[match.group(1)]
            resolved = None if inner is None else self.optional(inner, keys, depth + 1)
            if resolved is None:
                return None
            text = text.replace(match.group(), resolved)
        return text


def _merged(base: Any, over: Any) -> Any:
    if not isinstance(base, dict):
        return over
    if not isinstance(over, dict):  # a target states a variable's value as plain text
        return {**base, "default": over}
    return {**base, **{key: _merged(base.get(key), value) for key, value in over.items()}}


def _job(text: _Resolver, key: str, body: dict[str, Any], jobs: Collection[str]) -> Job:
    keys: KeyPath = ("resources", "jobs", key)
    where = text.document.where(keys)
    parameters = {
        entry["name"]: text.optional(entry.get("default"), (*keys, "parameters", number, "default"))
        for number, entry in enumerate(body.get("parameters") or [])
    }
    tasks = [
        _task(text, entry, (*keys, "tasks", number), jobs)
        for number, entry in enumerate(body.get("tasks") or [])
    ]
    schedule = (body.get("schedule") or {}).get("quartz_cron_expression")
    return Job(key, tuple(_in_order(tasks, where)), parameters, schedule, where)


def _task(text: _Resolver, body: dict[str, Any], keys: KeyPath, jobs: Collection[str]) -> Task:
    key, document = str(body.get("task_key")), text.document
    kinds = [name for name in body if name.endswith("_task")]
    if len(kinds) != 1 or kinds[0] not in KINDS:
        raise BundleError(
            f"task {key!r} is a {' and '.join(kinds) or 'task of no kind'}, which is not supported",
            where=document.where((*keys, *kinds[:1])),
            hint=f"use a {' or a '.join(KINDS)}",
        )
    inner, details = (*keys, kinds[0]), body[kinds[0]]
    field, parameters = KINDS[kinds[0]]
    runs, where = text.required(details[field], (*inner, field)), document.where((*inner, field))
    notebook = document.path.parent / runs if kinds == [NOTEBOOK] else None
    if notebook is None:
        what = f"task {key!r} runs an unknown job {runs!r}"
        require_known(runs, jobs, BundleError, what, where)
    elif not notebook.is_file():
        raise BundleError(
            f"task {key!r} runs a notebook that does not exist: {notebook}",
            where=where,
            hint="write it, or correct notebook_path",
        )
    given = details.get(parameters) or {}
    return Task(
        key=key,
        depends_on=tuple(str(entry["task_key"]) for entry in body.get("depends_on") or []),
        parameters={name: text.required(value, inner) for name, value in given.items()},
        notebook=notebook,
        run_job=None if notebook else runs,
        where=document.where(keys),
    )


def _in_order(tasks: Sequence[Task], where: str) -> Iterator[Task]:
    """The tasks, each after those it depends on, otherwise as they are written."""
    by_key = {task.key: task for task in tasks}
    for task in tasks:
        for key in task.depends_on:
            what = f"task {task.key!r} depends on an unknown task {key!r}"
            require_known(key, by_key, BundleError, what, task.where)
    try:
        order = TopologicalSorter({task.key: task.depends_on for task in tasks}).static_order()
        return map(by_key.__getitem__, list(order))
    except CycleError as error:
        raise BundleError(
            f"these tasks wait for each other: {', '.join(dict.fromkeys(error.args[1]))}",
            where=where,
            hint="take one depends_on away",
        ) from error


def _check_between(jobs: Mapping[str, Job]) -> None:
    """No jobs run each other, and each task hands on what its job has and the other job takes."""
    inner = {key: [task.run_job for task in job.tasks if task.run_job] for key, job in jobs.items()}
    try:
        TopologicalSorter(inner).prepare()
    except CycleError as error:
        cycle = error.args[1][::-1]
        raise BundleError(
            f"these jobs run each other: {' → '.join(cycle)}",
            where=jobs[cycle[0]].where,
            hint="take one run_job_task away",
        ) from error
    for job in jobs.values():
        samples = {name: name for name in job.parameters}
        for task in job.tasks:
            accepted = jobs[task.run_job].parameters if task.run_job else task.parameters
            for name, text in task.parameters.items():
                what = f"task {task.key!r} hands {name!r} on, which {task.run_job} does not take"
                require_known(name, accepted, BundleError, what, task.where)
                dynamic(text, samples, today=dt.date.min, where=task.where)
