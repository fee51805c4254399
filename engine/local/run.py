"""Runs a job of the bundle on this machine: the same tasks and notebooks, one Spark session."""

from __future__ import annotations

import datetime as dt
import json
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

from engine import environment
from engine.local.bundle import Bundle, Job, Task, dynamic
from engine.local.lock import writer
from engine.local.notebook import Dbutils, run_notebook
from engine.parameters import Parameters
from policies.errors import NbaError

FOLDER = ".local"


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
    today = dt.datetime.now(dt.timezone.utc).date()
    return job.values({**local, **given}, today=today)


@dataclass
class LocalRun:
    """One run of one job.

    Args:
        bundle: with the job and the jobs it runs.
        say: called with each line of the progress.
        debug: whether errors come with their traceback.
        spark: a running session; None starts one, and ends it after the run.
        before: called with the session and the job's parameters before the first task.
    """

    bundle: Bundle
    say: Callable[[str], None]
    debug: bool = False
    spark: Any = None
    before: Optional[Callable[[Any, Mapping[str, str]], None]] = None
    _started: int = 0
    _total: int = 0
    _closing: list[str] = field(default_factory=list)

    def run(self, job: Job, values: Mapping[str, str]) -> bool:
        """Run every task whose predecessors succeeded; True when all tasks did.

        Raises:
            ConfigError: a parameter is wrong.
            JobError: the session cannot be started, or another run is writing here.
        """
        began, names = time.monotonic(), Parameters.names()
        if values.keys() >= set(names):  # a mistake is told before Spark starts
            Parameters.parse({name: values[name] for name in names})
        self._total = self.bundle.notebooks(job)
        given = [f"{name}={value}" for name, value in values.items() if value]
        self.say(f"{job.key}, {self._total} notebooks: {' '.join(given)}")
        root = prepare(self.bundle)
        with writer(root, job.key), self._session(root, values["catalog"], job.key):
            self.spark.sql(f"CREATE SCHEMA IF NOT EXISTS {values['catalog']}.{values['schema']}")
            self.say(f"Spark is ready  {time.monotonic() - began:.1f} s")
            if self.before is not None:
                self.before(self.spark, values)
            succeeded = self._job(job, values)
        word = "succeeded" if succeeded else "FAILED"
        self.say(f"{job.key} {word} in {time.monotonic() - began:.1f} s")
        if succeeded:
            for line in self._closing:
                self.say(line)
        return succeeded

    @contextmanager
    def _session(self, root: Path, catalog: str, app: str) -> Iterator[None]:
        if self.spark is not None:
            yield
            return
        from engine.local.session import session, stop

        self.say("starting Spark Connect with Delta …")
        self.spark = session(root, catalog, app=app)
        try:
            yield
        finally:
            stop(self.spark)
            self.spark = None

    def _job(self, job: Job, values: Mapping[str, str]) -> bool:
        succeeded: dict[str, bool] = {}
        for task in job.tasks:
            ready = all(succeeded[key] for key in task.depends_on)
            succeeded[task.key] = self._task(task, values) if ready else self._skip(task)
        return all(succeeded.values())

    def _task(self, task: Task, values: Mapping[str, str]) -> bool:
        today = dt.datetime.now(dt.timezone.utc).date()
        own = {
            name: dynamic(text, values, today=today, where=task.where)
            for name, text in task.parameters.items()
        }
        if task.run_job:
            inner = self.bundle.job(task.run_job)
            return self._job(inner, inner.values(own, today=today))
        assert task.notebook is not None
        label, began = self._label(task), time.monotonic()
        self.say(f"{label} …")
        dbutils, pictures = Dbutils({**own, **values}), local_root(self.bundle) / "pictures"
        try:
            payload = run_notebook(task.notebook, self.spark, dbutils, pictures=pictures)
        except Exception as error:
            self.say(f"{label}  FAILED after {time.monotonic() - began:.1f} s")
            self.say(_reason(error, task.notebook, self.debug))
            return False
        line, self._closing = summary(payload)
        self.say(f"{label}  {time.monotonic() - began:.1f} s  {line}".rstrip())
        return True

    def _skip(self, task: Task) -> bool:
        """Skip a task and the tasks of the job it runs; False, since it has not succeeded."""
        if task.run_job:
            for inner in self.bundle.job(task.run_job).tasks:
                self._skip(inner)
        else:
            self.say(f"{self._label(task)}  skipped")
        return False

    def _label(self, task: Task) -> str:
        self._started += 1
        return f"[{self._started}/{self._total}] {task.key}"


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


def _reason(error: Exception, notebook: Path, debug: bool) -> str:
    if debug:
        return "".join(traceback.format_exception(type(error), error, error.__traceback__))
    if isinstance(error, NbaError):
        return str(error)
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == str(notebook)]
    line = error.lineno if isinstance(error, SyntaxError) else lines[-1] if lines else 1
    message = str(error).split("\n\nJVM stacktrace", maxsplit=1)[0].strip()
    return (
        f"{type(error).__name__}: {message}\n  in {notebook}:{line}\n"
        "  Hint: run again with --debug for the traceback"
    )
