"""The jobs of a resolved bundle that can run: their tasks in running order, typed."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Optional

from engine.bundle.dynamic import dynamic_references, filled, moments
from engine.bundle.resolution import Resolved
from engine.bundle.values import Value
from engine.errors import BundleError
from policies.errors import require_known

NOTEBOOK, RUN_JOB, CONDITION = "notebook_task", "run_job_task", "condition_task"
RUN_IF = (
    "ALL_SUCCESS",
    "ALL_DONE",
    "NONE_FAILED",
    "AT_LEAST_ONE_SUCCESS",
    "ALL_FAILED",
    "AT_LEAST_ONE_FAILED",
)
OPERATORS = (
    "EQUAL_TO",
    "NOT_EQUAL",
    "GREATER_THAN",
    "GREATER_THAN_OR_EQUAL",
    "LESS_THAN",
    "LESS_THAN_OR_EQUAL",
)


@dataclass(frozen=True)
class Condition:
    """What a condition task compares: two texts with dynamic references, and an operator."""

    op: str
    left: str
    right: str


@dataclass(frozen=True)
class Task:
    """One step of a job: a notebook, another job, or a condition.

    Args:
        depends_on: each earlier task, with the outcome of a condition that this one waits for.
        run_if: which results of the earlier tasks let it run.
        retries: how often it is tried again.
        pause: seconds between two tries.
        timeout: seconds after which a try has failed; 0 is no limit.
        retry_on_timeout: whether such a try is made again.
    """

    key: str
    depends_on: Mapping[str, Optional[str]]
    parameters: Mapping[str, str]
    where: str
    notebook: Optional[Path] = None
    run_job: Optional[str] = None
    condition: Optional[Condition] = None
    run_if: str = RUN_IF[0]
    retries: int = 0
    pause: float = 0.0
    timeout: float = 0.0
    retry_on_timeout: bool = False


@dataclass(frozen=True)
class Job:
    """A job: its tasks in running order, its parameters with their defaults."""

    key: str
    tasks: tuple[Task, ...]
    parameters: Mapping[str, str]
    schedule: Optional[str]
    where: str
    timeout: float = 0.0  # seconds; 0 is no limit

    def values(self, given: Mapping[str, str], *, today: dt.date) -> dict[str, str]:
        """The parameters of one run: the given values, and defaults for the rest.

        Raises:
            BundleError: a given name is no parameter of this job.
        """
        for name in given:
            what = f"{self.key} has no parameter {name!r}"
            require_known(name, self.parameters, BundleError, what, self.where)
        known = moments(today)
        return {
            name: given[name] if name in given else filled(default, known, self.where)
            for name, default in self.parameters.items()
        }


@dataclass(frozen=True)
class Bundle:
    """What a bundle runs in one target."""

    target: str
    path: Path
    jobs: Mapping[str, Job]
    variables: Mapping[str, str]
    schemas: tuple[str, ...]

    def job(self, key: str) -> Job:
        """The job of that name.

        Raises:
            BundleError: there is none.
        """
        require_known(key, self.jobs, BundleError, f"there is no job {key!r}", str(self.path))
        return self.jobs[key]

    def steps(self, job: Job) -> int:
        """How many notebooks and conditions one run of `job` has, with the jobs it runs."""
        inner = [task.run_job for task in job.tasks]
        return sum(self.steps(self.job(key)) if key else 1 for key in inner)


def runnable(resolved: Resolved) -> Bundle:
    """The jobs of a bundle, checked so far that they can run on this machine.

    Raises:
        BundleError: with file, line and key of the first thing that cannot be followed: what the
            resolution found, a kind of task or a section that is not supported here, a job,
            notebook or task that does not exist, or tasks or jobs that wait for each other.
    """
    if resolved.faults:
        raise resolved.faults[0].error()
    for keys in (("python",), ("experimental", "python")):
        if (code := resolved.root.find(keys)) is not None:
            raise _refused("resources that Python code defines are not supported here", code)
    bodies = resolved.answered("jobs")
    jobs = {key: _job(resolved.path.parent, key, body, bodies) for key, body in bodies.items()}
    _check_between(jobs)
    schemas = tuple(
        f"{_text(body['catalog_name'])}.{_text(body['name'])}"
        for body in resolved.answered("schemas").values()
    )
    variables = {name: value.text for name, value in resolved.root["variables"].items.items()}
    return Bundle(resolved.target, resolved.path, jobs, variables, schemas)


def _refused(what: str, value: Value, hint: str = "run it on a workspace") -> BundleError:
    return BundleError(what, where=str(value.place), hint=hint)


def _text(value: Value) -> str:
    """A scalar without references that only a deployment can answer."""
    if value.kind in ("list", "map"):
        raise _refused(f"a text is expected, and this is a {value.kind}", value, "write a text")
    if "${" in value.text:
        what = f"{value.text} has no value in a local run"
        raise _refused(what, value, "give it a value that the file can answer")
    return value.text


def _number(value: Value) -> float:
    try:
        return float(_text(value) or 0)
    except ValueError as error:
        raise _refused(f"{value.text!r} is not a number", value, "write a number") from error


def _choice(value: Value, known: Sequence[str]) -> str:
    text = _text(value) or known[0]
    require_known(text, known, BundleError, f"{text!r} is unknown", str(value.place))
    return text


def _job(folder: Path, key: str, body: Value, jobs: Collection[str]) -> Job:
    where = str(body.place)
    if (source := body.find(("git_source",))) is not None:
        raise _refused(f"job {key!r} takes its code from git, which is not supported here", source)
    parameters = {_text(row["name"]): _text(row["default"]) for row in body["parameters"].entries}
    tasks = [_task(folder, row, jobs) for row in body["tasks"].entries]
    schedule = body["schedule"]["quartz_cron_expression"].text or None
    timeout = _number(body["timeout_seconds"])
    return Job(key, tuple(_in_order(tasks, where)), parameters, schedule, where, timeout)


def _task(folder: Path, body: Value, jobs: Collection[str]) -> Task:
    key, where = _text(body["task_key"]), str(body.place)
    kinds = [name for name in body.items if name.endswith("_task")]
    known = (NOTEBOOK, RUN_JOB, CONDITION)
    if len(kinds) != 1 or kinds[0] not in known:
        what = f"task {key!r} is a {' and '.join(kinds) or 'task of no kind'}"
        at = body[kinds[0]] if kinds else body
        hint = f"use a {' or a '.join(known)}"
        raise _refused(f"{what}, which is not supported", at, hint)
    details, kind = body[kinds[0]], kinds[0]
    given = details["job_parameters" if kind == RUN_JOB else "base_parameters"]
    return Task(
        key=key,
        depends_on={
            _text(row["task_key"]): _text(row["outcome"]) or None
            for row in body["depends_on"].entries
        },
        parameters={name: _text(value) for name, value in given.items.items()},
        where=where,
        notebook=_notebook(folder, key, details["notebook_path"]) if kind == NOTEBOOK else None,
        run_job=_run_job(key, details["job_id"], jobs) if kind == RUN_JOB else None,
        condition=_condition(details) if kind == CONDITION else None,
        run_if=_choice(body["run_if"], RUN_IF),
        retries=int(_number(body["max_retries"])),
        pause=_number(body["min_retry_interval_millis"]) / 1000,
        timeout=_number(body["timeout_seconds"]),
        retry_on_timeout=body["retry_on_timeout"].content is True,
    )


def _notebook(folder: Path, key: str, value: Value) -> Path:
    path = value.place.path.parent / _text(value)  # relative to the file that names it
    if path.is_file():
        return path
    other = folder / _text(value)
    if not other.is_file():
        what = f"task {key!r} runs a notebook that does not exist: {path}"
        raise _refused(what, value, "write it, or correct notebook_path")
    return other


def _run_job(key: str, value: Value, jobs: Collection[str]) -> str:
    what = f"task {key!r} runs an unknown job {_text(value)!r}"
    require_known(_text(value), jobs, BundleError, what, str(value.place))
    return _text(value)


def _condition(details: Value) -> Condition:
    op = _choice(details["op"], OPERATORS)
    return Condition(op, _text(details["left"]), _text(details["right"]))


def _in_order(tasks: Sequence[Task], where: str) -> Iterator[Task]:
    """The tasks, each after those it depends on, otherwise as they are written."""
    by_key = {task.key: task for task in tasks}
    for task in tasks:
        for key in task.depends_on:
            what = f"task {task.key!r} depends on an unknown task {key!r}"
            require_known(key, by_key, BundleError, what, task.where)
    try:
        order = TopologicalSorter({task.key: list(task.depends_on) for task in tasks})
        return map(by_key.__getitem__, list(order.static_order()))
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
        for task in job.tasks:
            for name in task.parameters if task.run_job else ():
                accepted = jobs[task.run_job or ""].parameters
                what = f"task {task.key!r} hands {name!r} on, which {task.run_job} does not take"
                require_known(name, accepted, BundleError, what, task.where)
            _check_known(job, task)


def _check_known(job: Job, task: Task) -> None:
    """Every dynamic reference of a task names something that a local run can answer."""
    known = {**moments(dt.date.min), **{f"job.parameters.{name}": "" for name in job.parameters}}
    known.update(dict.fromkeys(("job.name", "job.id", "job.run_id", "task.name"), ""))
    texts = [*task.parameters.values()]
    if task.condition:
        texts += [task.condition.left, task.condition.right]
    for text in texts:
        for name in dynamic_references(text):
            parts = name.split(".")
            if parts[0] == "tasks" and len(parts) > 2 and parts[2] in ("values", "result_state"):
                earlier = {other.key for other in job.tasks}
                what = f"the reference {{{{{name}}}}} names no task of {job.key}"
                require_known(parts[1], earlier, BundleError, what, task.where)
            else:
                filled(f"{{{{{name}}}}}", known, task.where)
