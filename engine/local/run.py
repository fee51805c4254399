"""Runs a job of the bundle on this machine: the same tasks and notebooks, one Spark session."""

from __future__ import annotations

import datetime as dt
import json
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Optional

from engine import environment
from engine.bundle.dynamic import filled, moments
from engine.bundle.jobs import Bundle, Job, Task
from engine.errors import BundleError
from engine.local import results
from engine.local.lock import writer
from engine.local.notebook import Dbutils, explained, run_notebook
from engine.local.records import RunRecord
from engine.local.results import TaskResult
from engine.local.timeout import TimedOut, limited
from engine.parameters import Parameters
from policies.errors import NbaError

FOLDER = ".local"
LONGEST_PAUSE = 5.0  # seconds between two tries; someone waits at the screen


def local_root(bundle: Bundle) -> Path:
    """The folder of this target's local tables, registry and volume."""
    return bundle.path.parent / FOLDER / bundle.target


def prepare(bundle: Bundle) -> Path:
    """Make the folders that a deployment makes on a workspace; returns the local root."""
    root = local_root(bundle).resolve()
    (root / "volume").mkdir(parents=True, exist_ok=True)
    environment.set_local_root(root)
    return root


def parameters(bundle: Bundle, job: Job, given: Mapping[str, str]) -> dict[str, str]:
    """The parameters of a local run: `volume` is a local folder unless it is given."""
    local = {"volume": str(local_root(bundle) / "volume")} if "volume" in job.parameters else {}
    return job.values({**local, **given}, today=_today())


def _today() -> dt.date:
    return dt.datetime.now(dt.timezone.utc).date()


@dataclass
class LocalRun:
    """One run of one job.

    Args:
        bundle: with the job and the jobs it runs.
        say: called with each line of the progress.
        debug: whether errors come with their traceback.
        spark: a running session; None starts one, and ends it after the run.
        before: called with the session and the job's parameters before the first task.
        selected: the tasks of the job to run; None: all.
    """

    bundle: Bundle
    say: Callable[[str], None]
    debug: bool = False
    spark: Any = None
    before: Optional[Callable[[Any, Mapping[str, str]], None]] = None
    selected: Optional[Collection[str]] = None
    _started: int = 0
    _total: int = 0
    _closing: list[str] = field(default_factory=list)

    def run(self, job: Job, values: Mapping[str, str]) -> bool:
        """Run the tasks in their order; True when the job succeeded.

        Raises:
            ConfigError: a parameter is wrong.
            JobError: the session cannot be started, or another run is writing here.
        """
        began, names = time.monotonic(), Parameters.names()
        if values.keys() >= set(names):  # a mistake is told before Spark starts
            Parameters.parse({name: values[name] for name in names})
        self._total = self.bundle.steps(self._narrowed(job))
        given = [f"{name}={value}" for name, value in values.items() if value]
        self.say(f"{job.key}, {self._total} tasks: {' '.join(given)}")
        root = prepare(self.bundle)
        with writer(root, job.key), self._session(root, values, job.key):
            record = RunRecord(root, job.key, values)
            self.say(f"Spark is ready  {time.monotonic() - began:.1f} s")
            if self.before is not None:
                self.before(self.spark, values)
            result = self._job(job, values, record, self.selected)
            record.end(result)
        word = "succeeded" if result == results.SUCCESS else "FAILED"
        self.say(f"{job.key} {word} in {time.monotonic() - began:.1f} s")
        if result == results.SUCCESS:
            for line in self._closing:
                self.say(line)
        return result == results.SUCCESS

    def _narrowed(self, job: Job) -> Job:
        chosen = self.selected
        tasks = tuple(task for task in job.tasks if chosen is None or task.key in chosen)
        return replace(job, tasks=tasks)

    @contextmanager
    def _session(self, root: Path, values: Mapping[str, str], app: str) -> Iterator[None]:
        started = self.spark is None
        if started:
            from engine.local.session import session, stop

            self.say("starting Spark Connect with Delta …")
            self.spark = session(root, values.get("catalog", "spark_catalog"), app=app)
        try:
            if {"catalog", "schema"} <= values.keys():
                schema = f"{values['catalog']}.{values['schema']}"
                self.spark.sql(f"CREATE SCHEMA IF NOT EXISTS {schema}")
            yield
        finally:
            if started:
                stop(self.spark)
                self.spark = None

    def _job(
        self,
        job: Job,
        values: Mapping[str, str],
        record: RunRecord,
        selected: Optional[Collection[str]] = None,
    ) -> str:
        """The result of a job: `SUCCESS` or `FAILED`."""
        found: dict[str, TaskResult] = {}
        deadline = time.monotonic() + job.timeout if job.timeout else None
        earlier = record.earlier_values(job.key) if selected is not None else {}
        for task in job.tasks:
            if selected is not None and task.key not in selected:
                left = TaskResult(results.NOT_SELECTED, values=earlier.get(task.key, {}))
                found[task.key] = left
                continue
            unready = results.readiness(task, found)
            if unready is None:
                found[task.key] = self._tries(job, task, values, found, record, deadline)
            else:
                found[task.key] = self._skip(task, unready)
            record.note(job.key, task.key, found[task.key])
        return results.job_result(job.tasks, found)

    def _tries(
        self,
        job: Job,
        task: Task,
        values: Mapping[str, str],
        found: Mapping[str, TaskResult],
        record: RunRecord,
        deadline: Optional[float],
    ) -> TaskResult:
        """The result of a task that is tried until it succeeds, or as often as it may be."""
        known = _known(job, task, values, found, record)
        try:
            own = {name: filled(text, known, task.where) for name, text in task.parameters.items()}
        except BundleError as error:  # an earlier task has not set the value
            self.say(f"{self._label(task)}  FAILED\n{error}")
            return TaskResult(results.FAILED, said=str(error))
        if task.run_job:
            inner, began = self.bundle.job(task.run_job), time.monotonic()
            word = self._job(inner, inner.values(own, today=_today()), record)
            return TaskResult(word, 1, time.monotonic() - began)
        label, began, attempt = self._label(task), time.monotonic(), 0
        while True:
            attempt += 1
            left = None if deadline is None else max(deadline - time.monotonic(), 0.001)
            limit = min(filter(None, (task.timeout or None, left)), default=None)
            result = self._try(task, label, {**own, **values}, known, found, limit)
            result.attempts, result.seconds = attempt, time.monotonic() - began
            again = result.result == results.FAILED or (
                result.result == results.TIMED_OUT and task.retry_on_timeout
            )
            if not again or 0 <= task.retries < attempt:
                return result
            pause = min(task.pause, LONGEST_PAUSE)
            self.say(f"{label}  try {attempt + 1} of {task.retries + 1} in {pause:g} s")
            time.sleep(pause)

    def _try(
        self,
        task: Task,
        label: str,
        parameters_: Mapping[str, str],
        known: Mapping[str, str],
        found: Mapping[str, TaskResult],
        limit: Optional[float],
    ) -> TaskResult:
        if task.notebook is None:
            return self._condition(task, label, known)
        began = time.monotonic()
        self.say(f"{label} …")
        dbutils = Dbutils(parameters_, {key: result.values for key, result in found.items()})
        pictures = local_root(self.bundle) / "pictures"
        try:
            with limited(limit):
                payload = run_notebook(task.notebook, self.spark, dbutils, pictures=pictures)
        except TimedOut:
            self.say(f"{label}  TIMED OUT after {time.monotonic() - began:.1f} s")
            said = f"the limit of {limit:g} s is over"
            return TaskResult(results.TIMED_OUT, values=dbutils.values, said=said)
        except Exception as error:
            self.say(f"{label}  FAILED after {time.monotonic() - began:.1f} s")
            said = explained(error, task.notebook, self.debug)
            self.say(said)
            return TaskResult(results.FAILED, values=dbutils.values, said=said)
        line, self._closing = summary(payload)
        self.say(f"{label}  {time.monotonic() - began:.1f} s  {line}".rstrip())
        return TaskResult(results.SUCCESS, values=dbutils.values, said=line)

    def _condition(self, task: Task, label: str, known: Mapping[str, str]) -> TaskResult:
        assert task.condition is not None
        texts = (task.condition.left, task.condition.right)
        try:
            left, right = (filled(text, known, task.where) for text in texts)
            met = results.holds(replace(task.condition, left=left, right=right), task.where)
        except NbaError as error:
            self.say(f"{label}  FAILED\n{error}")
            return TaskResult(results.FAILED, said=str(error))
        outcome = str(met).lower()
        self.say(f"{label}  {left!r} {task.condition.op} {right!r}: {outcome}")
        return TaskResult(results.SUCCESS, outcome=outcome, said=outcome)

    def _skip(self, task: Task, why: str) -> TaskResult:
        """Skip a task and the tasks of the job it runs."""
        if task.run_job:
            for inner in self.bundle.job(task.run_job).tasks:
                self._skip(inner, why)
        else:
            self.say(f"{self._label(task)}  skipped ({why.lower().replace('_', ' ')})")
        return TaskResult(why)

    def _label(self, task: Task) -> str:
        self._started += 1
        return f"[{self._started}/{self._total}] {task.key}"


def _known(
    job: Job,
    task: Task,
    values: Mapping[str, str],
    found: Mapping[str, TaskResult],
    record: RunRecord,
) -> dict[str, str]:
    """What a task's dynamic references can name."""
    known = moments(_today())
    known.update({"job.id": job.key, "job.name": job.key, "job.run_id": record.run_id})
    known["task.name"] = task.key
    known.update({f"job.parameters.{name}": value for name, value in values.items()})
    for key, result in found.items():
        known[f"tasks.{key}.result_state"] = result.result.lower()
        for name, value in result.values.items():
            text = value if isinstance(value, str) else json.dumps(value)
            known[f"tasks.{key}.values.{name}"] = text
    return known


def summary(payload: str) -> tuple[str, list[str]]:
    """One line for what a notebook exited with, and its lines for the end of the run.

    The payload is JSON: {"summary": text, "rows": {noun: count}, "closing": [text]}, each optional;
    any other text is shown as it is.
    """
    try:
        content = json.loads(payload)
    except ValueError:
        return payload, []
    if not isinstance(content, dict):
        return payload, []
    parts = [f"{noun} {count:,} rows" for noun, count in (content.get("rows") or {}).items()]
    if content.get("summary"):
        parts.append(content["summary"])
    return " · ".join(parts), list(map(str, content.get("closing") or []))
