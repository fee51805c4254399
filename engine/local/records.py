"""Records of local runs: one JSON file a run, under .local/TARGET/runs."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from engine.local.results import TaskResult

KEPT = 100  # records of a target; older ones are deleted
RUNNING = "RUNNING"  # also what a killed run leaves


class RunRecord:
    """The record of one run, rewritten whenever a task has ended.

    Args:
        root: the folder of the local run.
        job: the key of the job.
        parameters: of the job.
    """

    def __init__(self, root: Path, job: str, parameters: Mapping[str, str]) -> None:
        self._folder = root / "runs"
        self._folder.mkdir(parents=True, exist_ok=True)
        started = dt.datetime.now(dt.timezone.utc)
        self.run_id = f"{started:%Y%m%dT%H%M%S.%f}-{job}"
        self._content: dict[str, Any] = {
            "schema_version": 1,
            "run_id": self.run_id,
            "job": job,
            "parameters": dict(parameters),
            "started": started.isoformat(timespec="seconds"),
            "ended": None,
            "result": RUNNING,
            "tasks": [],
        }
        self._write()
        for old in sorted(self._folder.glob("*.json"))[:-KEPT]:
            old.unlink()

    def note(self, job: str, task: str, result: TaskResult) -> None:
        """Add a task that has ended, or will not run."""
        self._content["tasks"].append({"job": job, "task": task, **asdict(result)})
        self._write()

    def end(self, result: str) -> None:
        """Add the result of the run."""
        ended = dt.datetime.now(dt.timezone.utc)
        self._content.update(ended=ended.isoformat(timespec="seconds"), result=result)
        self._write()

    def earlier_values(self, job: str) -> dict[str, dict[str, Any]]:
        """The task values that earlier runs of a job left: of each task the newest."""
        found: dict[str, dict[str, Any]] = {}
        for path in sorted(self._folder.glob("*.json")):
            for task in json.loads(path.read_text(encoding="utf-8"))["tasks"]:
                if task["job"] == job and task["values"]:
                    found[task["task"]] = task["values"]
        return found

    def _write(self) -> None:
        path = self._folder / f"{self.run_id}.json"
        unfinished = path.with_suffix(".tmp")
        unfinished.write_text(json.dumps(self._content, indent=2), encoding="utf-8")
        unfinished.replace(path)
