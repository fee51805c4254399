"""The jobs of databricks.yml as plain values: checked, resolved for one target, in running order."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from engine.documents import Document, KeyPath, read_document
from engine.errors import BundleError
from policies.errors import did_you_mean

FILE = "databricks.yml"
NOTEBOOK, RUN_JOB = "notebook_task", "run_job_task"
_STATIC = re.compile(r"\$\{([^}]+)\}")
_DYNAMIC = re.compile(r"\{\{\s*([^}]+?)\s*\}\}")


@dataclass(frozen=True)
class Task:
    """One step of a job: a notebook, or another job."""

    key: str
    kind: str
    depends_on: tuple[str, ...]
    parameters: Mapping[str, str]
    notebook: Optional[Path]
    run_job: Optional[str]
    where: str


@dataclass(frozen=True)
class Job:
    """Tasks in an order that respects what they depend on; a parameter without a value is None."""

    key: str
    tasks: tuple[Task, ...]
    parameters: Mapping[str, Optional[str]]
    schedule: Optional[str]
    where: str

    def values(self, given: Mapping[str, str], *, today: dt.date) -> dict[str, str]:
        """The parameters of one run: the given ones over the defaults.

        Raises:
            BundleError: a given name is no parameter of this job, or a parameter has no value.
        """
        for name in given:
            if name not in self.parameters:
                raise BundleError(
                    f"{self.key} has no parameter {name!r}",
                    where=self.where,
                    hint=did_you_mean(name, self.parameters),
                )
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
    """What databricks.yml says for one target."""

    name: str
    target: str
    path: Path
    jobs: Mapping[str, Job]
    variables: Mapping[str, Optional[str]]
    schemas: tuple[str, ...]

    def job(self, key: str) -> Job:
        """The job of that name, or a BundleError that names the closest one."""
        if key not in self.jobs:
            raise BundleError(
                f"there is no job {key!r}", where=str(self.path), hint=did_you_mean(key, self.jobs)
            )
        return self.jobs[key]

    def notebooks(self, job: Job) -> int:
        """How many notebooks one run of `job` executes, those of the jobs it runs included."""
        runs = (self.notebooks(self.job(each.run_job)) if each.run_job else 1 for each in job.tasks)
        return sum(runs)


def find_bundle(start: Path) -> Path:
    """The databricks.yml of this folder or the closest one above it."""
    for folder in (start, *start.resolve().parents):
        if (folder / FILE).is_file():
            return folder / FILE
    raise BundleError(f"there is no {FILE} here or above", where=str(start.resolve()))


def targets(path: Path) -> dict[str, bool]:
    """The names of the targets, and which of them is the default."""
    found = read_document(path).data.get("targets") or {}
    return {name: bool((body or {}).get("default")) for name, body in found.items()}


def read_bundle(path: Path, target: str) -> Bundle:
    """Read, resolve and check the bundle for one target.

    Raises:
        BundleError: with file, line and key of what cannot be followed: an unknown target,
            variable, resource or job, a kind of task that is not supported, a notebook that is
            missing, or tasks that wait for each other.
        ConfigError: the file is not YAML.
    """
    document = read_document(path)
    text = _Resolver(document, target)
    found = text.section("resources").get("jobs") or {}
    keys = ("resources", "jobs")
    jobs = {key: _job(text, key, body, (*keys, key), set(found)) for key, body in found.items()}
    _refuse_loops(jobs)
    _check_handed_on(jobs)
    schemas = tuple(
        f"{text.required(body['catalog_name'], ())}.{text.required(body['name'], ())}"
        for body in (text.section("resources").get("schemas") or {}).values()
    )
    name = str((document.data.get("bundle") or {}).get("name", path.parent.name))
    return Bundle(name, target, path, jobs, text.variables(), schemas)


def dynamic(text: str, parameters: Mapping[str, str], *, today: dt.date, where: str) -> str:
    """Fill in what Databricks fills in when a run starts, such as `{{job.parameters.as_of}}`."""

    def value(match: re.Match[str]) -> str:
        name = match.group(1)
        if name == "job.start_time.iso_date":
            return today.isoformat()
        known = {f"job.parameters.{each}": text for each, text in parameters.items()}
        if name not in known:
            raise BundleError(
                f"the reference {match.group()} has no value in a local run",
                where=where,
                hint=did_you_mean(name, ["job.start_time.iso_date", *known]),
            )
        return known[name]

    return _DYNAMIC.sub(value, text)


class _Resolver:
    """Replaces `${…}` by values: variables, target overrides, names of resources, stand-ins."""

    def __init__(self, document: Document, target: str) -> None:
        self.document = document
        self.target = target
        found = document.data.get("targets") or {}
        if target not in found:
            raise BundleError(
                f"there is no target {target!r}",
                where=document.where(("targets",)),
                hint=did_you_mean(target, found),
            )
        self.overrides: dict[str, Any] = found[target] or {}

    def section(self, name: str) -> dict[str, Any]:
        return _merged(self.document.data.get(name) or {}, self.overrides.get(name) or {})

    def variables(self) -> dict[str, Optional[str]]:
        return {
            name: self.optional(f"${{var.{name}}}", ("variables", name))
            for name in self.section("variables")
        }

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
        if depth > 20:
            raise BundleError(f"{value} refers to itself", where=self.document.where(keys))
        text = "" if value is None else str(value)
        for match in _STATIC.finditer(text):
            found = self._lookup(match.group(1), keys)
            replaced = None if found is None else self.optional(found, keys, depth + 1)
            if replaced is None:
                return None
            text = text.replace(match.group(), replaced)
        return text

    def _lookup(self, name: str, keys: KeyPath) -> Any:
        known: dict[str, Any] = {
            "bundle.name": (self.document.data.get("bundle") or {}).get("name"),
            "bundle.target": self.target,
            "workspace.file_path": str(self.document.path.parent),
            "workspace.current_user.userName": "local",
            "workspace.current_user.short_name": "local",
        }
        for variable, body in self.section("variables").items():
            value = body.get("default") if isinstance(body, dict) else body
            known[f"var.{variable}"] = value
        for kind, resources in self.section("resources").items():
            for key, body in resources.items():
                known[f"resources.{kind}.{key}.id"] = key
                for field, value in body.items():
                    known[f"resources.{kind}.{key}.{field}"] = value
        if name not in known:
            raise BundleError(
                f"${{{name}}} refers to nothing that is known here",
                where=self.document.where(keys),
                hint=did_you_mean(name, known),
            )
        return known[name]


def _merged(base: Any, over: Any) -> Any:
    if isinstance(base, dict) and isinstance(over, dict):
        both = {key: _merged(base[key], over[key]) for key in base.keys() & over.keys()}
        return {**base, **over, **both}
    if isinstance(base, dict):  # a target gives a variable's value as a plain text
        return {**base, "default": over}
    return over


def _job(text: _Resolver, key: str, body: dict[str, Any], keys: KeyPath, jobs: set[str]) -> Job:
    parameters = {
        each["name"]: text.optional(each.get("default"), (*keys, "parameters", number, "default"))
        for number, each in enumerate(body.get("parameters") or [])
    }
    schedule = body.get("schedule") or {}
    tasks = [
        _task(text, each, (*keys, "tasks", number), jobs)
        for number, each in enumerate(body.get("tasks") or [])
    ]
    return Job(
        key,
        tuple(_in_order(tasks, text.document.where(keys))),
        parameters,
        schedule.get("quartz_cron_expression"),
        text.document.where(keys),
    )


def _task(text: _Resolver, body: dict[str, Any], keys: KeyPath, jobs: set[str]) -> Task:
    key, where = str(body.get("task_key")), text.document.where(keys)
    kinds = [each for each in body if each.endswith("_task")]
    if len(kinds) != 1 or kinds[0] not in (NOTEBOOK, RUN_JOB):
        raise BundleError(
            f"task {key!r} is a {' and '.join(kinds) or 'task of no kind'}, which is not supported",
            where=text.document.where((*keys, *kinds[:1])),
            hint=f"use a {NOTEBOOK} or a {RUN_JOB}",
        )
    kind = kinds[0]
    inner = (*keys, kind)
    details = body[kind]
    notebook, run_job = None, None
    if kind == NOTEBOOK:
        notebook = text.document.path.parent / text.required(details["notebook_path"], inner)
        if not notebook.is_file():
            raise BundleError(
                f"task {key!r} runs a notebook that does not exist: {notebook}",
                where=text.document.where((*inner, "notebook_path")),
                hint="write it, or correct notebook_path",
            )
    else:
        run_job = text.required(details["job_id"], (*inner, "job_id"))
        if run_job not in jobs:
            raise BundleError(
                f"task {key!r} runs an unknown job {run_job!r}",
                where=text.document.where((*inner, "job_id")),
                hint=did_you_mean(run_job, jobs),
            )
    given = details.get("base_parameters" if kind == NOTEBOOK else "job_parameters") or {}
    return Task(
        key=key,
        kind=kind,
        depends_on=tuple(str(each["task_key"]) for each in body.get("depends_on") or []),
        parameters={name: text.required(value, inner) for name, value in given.items()},
        notebook=notebook,
        run_job=run_job,
        where=where,
    )


def _in_order(tasks: Iterable[Task], where: str) -> Iterator[Task]:
    """The tasks, each after those it depends on, otherwise as they are written."""
    waiting = {each.key: each for each in tasks}
    known = set(waiting)
    done: set[str] = set()
    for each in waiting.values():
        for other in each.depends_on:
            if other not in known:
                raise BundleError(
                    f"task {each.key!r} depends on an unknown task {other!r}",
                    where=each.where,
                    hint=did_you_mean(other, known),
                )
    while waiting:
        ready = next((each for each in waiting.values() if done.issuperset(each.depends_on)), None)
        if ready is None:
            raise BundleError(
                f"these tasks wait for each other: {', '.join(waiting)}",
                where=where,
                hint="take one depends_on away",
            )
        done.add(ready.key)
        yield waiting.pop(ready.key)


def _refuse_loops(jobs: Mapping[str, Job]) -> None:
    def visit(key: str, above: tuple[str, ...]) -> None:
        if key in above:
            raise BundleError(
                f"these jobs run each other: {' → '.join((*above, key))}",
                where=jobs[key].where,
                hint="take one run_job_task away",
            )
        for task in jobs[key].tasks:
            if task.run_job:
                visit(task.run_job, (*above, key))

    for key in jobs:
        visit(key, ())


def _check_handed_on(jobs: Mapping[str, Job]) -> None:
    """A task hands on parameters that its job has, to a job that has them, too."""
    for job in jobs.values():
        samples = {name: name for name in job.parameters}
        for task in job.tasks:
            taken = jobs[task.run_job].parameters if task.run_job else task.parameters
            for name, text in task.parameters.items():
                if name not in taken:
                    raise BundleError(
                        f"task {task.key!r} hands {name!r} on, which {task.run_job} does not take",
                        where=task.where,
                        hint=did_you_mean(name, taken),
                    )
                dynamic(text, samples, today=dt.date.min, where=task.where)
