"""A job runs here as on Databricks: order, parameters, failures and progress."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Optional

import pytest

from engine import environment
from engine.local import records
from engine.local.bundle import read_bundle
from engine.local.run import LocalRun, parameters

HEADER = "# Databricks notebook source\n"
BUNDLE = """\
bundle: {name: tiny}
targets:
  dev: {default: true}
resources:
  jobs:
    day_job:
      parameters: &parameters
        - {name: catalog, default: juan_dev}
        - {name: schema, default: demo}
        - {name: volume, default: /Volumes/x}
      tasks:
        - task_key: first
          notebook_task:
            notebook_path: ./first.py
            base_parameters: {catalog: own, extra: "{{job.parameters.schema}}"}
        - task_key: second
          depends_on: [{task_key: first}]
          notebook_task: {notebook_path: ./second.py}
    whole_job:
      parameters: *parameters
      tasks:
        - task_key: day
          run_job_task:
            job_id: ${resources.jobs.day_job.id}
            job_parameters: {volume: "{{job.parameters.volume}}", schema: handed_on}
        - task_key: after
          depends_on: [{task_key: day}]
          notebook_task: {notebook_path: ./second.py}
"""
FIRST = """\
spark.seen = dbutils.widgets.get("{name}")
dbutils.notebook.exit('{{"rows": {{"events": 1200}}, "summary": "Made."}}')
"""
SECOND = """\
import json
dbutils.notebook.exit(json.dumps({"summary": f"saw {spark.seen}", "closing": [f"Verdict: {spark.seen}."]}))
"""


class Session:
    """Stands in for Spark: remembers the SQL it was given, and what the first notebook saw."""

    seen = ""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def sql(self, text: str) -> None:
        """Remember one statement."""
        self.asked.append(text)


def run(
    folder: Path,
    job: str,
    first: str,
    *,
    debug: bool = False,
    given: Optional[dict[str, str]] = None,
    text: str = BUNDLE,
    selected: Optional[list[str]] = None,
) -> tuple[bool, list[str], Session]:
    """Run a job of the tiny bundle; whether it succeeded, what was said, and the session."""
    (folder / "databricks.yml").write_text(text)
    (folder / "first.py").write_text(HEADER + first)
    (folder / "second.py").write_text(HEADER + SECOND)
    bundle = read_bundle(folder / "databricks.yml", "dev")
    said: list[str] = []
    spark = Session()
    with environment.altered(NBA_LOCAL_ROOT=None):
        local = LocalRun(bundle, said.append, debug, spark, selected=selected)
        succeeded = local.run(bundle.job(job), parameters(bundle, bundle.job(job), given or {}))
        assert environment.local_root() == (folder / ".local" / "dev").resolve()
    return succeeded, [re.sub(r"\d+\.\d s", "0.0 s", each) for each in said], spark


def test_progress_is_told_from_start_to_verdict(tmp_path: Path) -> None:
    """Each task has a line when it starts and one with its rows when it ends; then the closing."""
    succeeded, said, spark = run(tmp_path, "day_job", FIRST.format(name="schema"))
    assert succeeded
    assert said[2:] == [
        "[1/2] first …",
        "[1/2] first  0.0 s  events 1,200 rows · Made.",
        "[2/2] second …",
        "[2/2] second  0.0 s  saw demo",
        "day_job succeeded in 0.0 s",
        "Verdict: demo.",
    ]
    assert spark.asked == ["CREATE SCHEMA IF NOT EXISTS juan_dev.demo"]


def test_the_volume_is_a_local_folder_unless_given(tmp_path: Path) -> None:
    """Locally `volume` lies under .local/TARGET, and exists; a given one is left as it is."""
    _, said, _ = run(tmp_path, "day_job", FIRST.format(name="volume"))
    assert said[-1] == f"Verdict: {tmp_path}/.local/dev/volume."
    assert (tmp_path / ".local/dev/volume").is_dir()
    _, said, _ = run(tmp_path, "day_job", FIRST.format(name="volume"), given={"volume": "/v"})
    assert said[-1] == "Verdict: /v."


def test_job_parameters_win_over_the_tasks_own(tmp_path: Path) -> None:
    """As on Databricks: a job parameter replaces a task's of the same name; others are added."""
    _, said, _ = run(tmp_path, "day_job", FIRST.format(name="catalog"))
    assert said[-1] == "Verdict: juan_dev."
    _, said, _ = run(tmp_path, "day_job", FIRST.format(name="extra"))
    assert said[-1] == "Verdict: demo."


def test_a_job_hands_parameters_to_the_jobs_it_runs(tmp_path: Path) -> None:
    """run_job_task runs the other job with the values it is handed, counted in one sequence."""
    succeeded, said, _ = run(tmp_path, "whole_job", FIRST.format(name="schema"))
    assert succeeded
    assert "[2/3] second  0.0 s  saw handed_on" in said
    assert said[-1] == "Verdict: handed_on."


def test_what_waits_for_a_failed_task_is_skipped(tmp_path: Path) -> None:
    """A failure is said with its place in the notebook; later tasks do not run; no closing."""
    succeeded, said, _ = run(tmp_path, "whole_job", "x = 1\nx / 0\n")
    assert not succeeded
    assert said[3:] == [
        "[1/3] first  FAILED after 0.0 s",
        f"ZeroDivisionError: division by zero\n  in {tmp_path}/first.py:3, cell 1: x / 0\n"
        "  Hint: run again with --debug for the traceback",
        "[2/3] second  skipped (upstream failed)",
        "[3/3] after  skipped (upstream failed)",
        "whole_job FAILED in 0.0 s",
    ]


def test_an_error_of_the_engine_needs_no_traceback(tmp_path: Path) -> None:
    """A typed error is shown as its own three lines; --debug shows the traceback instead."""
    body = (
        'from engine.errors import TableError\nraise TableError("gone", where="t", hint="look")\n'
    )
    _, said, _ = run(tmp_path, "day_job", body)
    error = next(line for line in said if line.startswith("gone"))
    assert error.splitlines()[:3] == ["gone", "  in t", "  Hint: look"]
    assert "first.py:3, cell 1: raise TableError" in error.splitlines()[3]
    _, said, _ = run(tmp_path, "day_job", body, debug=True)
    assert any(each.startswith("Traceback") and "first.py" in each for each in said)


@pytest.mark.parametrize("body", ["x = (\n", "def f(:\n"])
def test_a_syntax_error_names_its_line(tmp_path: Path, body: str) -> None:
    """A notebook that does not parse fails like any other, with the line."""
    succeeded, said, _ = run(tmp_path, "day_job", body)
    assert not succeeded
    assert f"{tmp_path}/first.py:2" in said[4]


GRAPH = """\
bundle: {name: graph}
targets: {dev: {default: true}}
resources:
  jobs:
    day_job:
      parameters: [{name: day, default: "7"}]
      tasks:
        - task_key: first
          max_retries: 1
          notebook_task: {notebook_path: ./first.py}
        - task_key: many
          depends_on: [{task_key: first}]
          condition_task: {op: GREATER_THAN, left: "{{tasks.first.values.rows}}", right: "5"}
        - task_key: large
          depends_on: [{task_key: many, outcome: "true"}]
          notebook_task: {notebook_path: ./third.py}
        - task_key: small
          depends_on: [{task_key: many, outcome: "false"}]
          notebook_task: {notebook_path: ./third.py}
        - task_key: always
          depends_on: [{task_key: first}, {task_key: large}]
          run_if: ALL_DONE
          notebook_task: {notebook_path: ./third.py}
"""
THIRD = """\
values = dbutils.jobs.taskValues
rows = values.get(taskKey="first", key="rows", default=0)
dbutils.notebook.exit(f"rows {rows}")
"""


def graph(
    folder: Path, first: str, selected: Optional[list[str]] = None, text: str = GRAPH
) -> tuple[bool, list[str], dict[str, Any]]:
    """Run the graph; whether it succeeded, what was said, and the record."""
    (folder / "third.py").write_text(HEADER + THIRD)
    (folder / "stop.py").write_text(HEADER + "raise KeyboardInterrupt\n")
    succeeded, said, _ = run(folder, "day_job", first, text=text, selected=selected)
    newest = max((folder / ".local/dev/runs").glob("*.json"))
    return succeeded, said, json.loads(newest.read_text())


def states(record: dict[str, Any]) -> dict[str, str]:
    """The result of each task."""
    return {task["task"]: task["result"] for task in record["tasks"]}


ROWS = 'dbutils.jobs.taskValues.set("rows", {})\n'


@pytest.mark.parametrize(("rows", "other"), [(9, "small"), (2, "large")])
def test_a_condition_chooses_the_branch(tmp_path: Path, rows: int, other: str) -> None:
    """A condition reads a task value; the branch of the other outcome is left out, not failed."""
    succeeded, said, record = graph(tmp_path, ROWS.format(rows))
    assert succeeded
    assert states(record) == {
        **dict.fromkeys(("first", "many", "large", "small", "always"), "SUCCESS"),
        other: "EXCLUDED",
    }
    assert f"[2/5] many  '{rows}' GREATER_THAN '5': {str(rows > 5).lower()}" in said
    assert record["result"] == "SUCCESS"
    assert record["parameters"] == {"day": "7"}
    assert record["tasks"][0]["values"] == {"rows": rows}
    assert record["tasks"][-1]["said"] == f"rows {rows}"


def test_run_if_decides_what_runs_after_a_failure(tmp_path: Path) -> None:
    """ALL_DONE runs in any case; what needs success is left out; a last failed task fails the job."""
    succeeded, _, record = graph(tmp_path, "1 / 0\n")
    assert not succeeded
    assert states(record) == {
        "first": "FAILED",
        "many": "UPSTREAM_FAILED",
        "large": "UPSTREAM_FAILED",
        "small": "UPSTREAM_FAILED",
        "always": "SUCCESS",
    }
    assert record["tasks"][0]["attempts"] == 2
    assert "first.py:2, cell 1: 1 / 0" in record["tasks"][0]["said"]


def test_a_failed_task_is_tried_again(tmp_path: Path) -> None:
    """max_retries gives a task further tries, which start afresh."""
    flaky = f"from pathlib import Path\nmark = Path({str(tmp_path / 'mark')!r})\n"
    flaky += "if not mark.exists():\n    mark.touch()\n    raise OSError('gone')\n" + ROWS.format(9)
    succeeded, said, record = graph(tmp_path, flaky)
    assert succeeded
    assert record["tasks"][0]["attempts"] == 2
    assert "[1/5] first  try 2 of 2 in 0 s" in said


def test_a_task_ends_at_its_time_limit(tmp_path: Path) -> None:
    """A notebook that takes too long has timed out, and is not tried again unless that is asked."""
    text = GRAPH.replace("max_retries: 1", "max_retries: 1\n          timeout_seconds: 0.2")
    slow = "import time\ntry:\n    time.sleep(30)\nexcept Exception:\n    pass\n"
    succeeded, _, record = graph(tmp_path, slow, text=text)
    assert not succeeded
    assert (record["tasks"][0]["result"], record["tasks"][0]["attempts"]) == ("TIMED_OUT", 1)
    again = text.replace("max_retries: 1", "max_retries: 1\n          retry_on_timeout: true")
    assert graph(tmp_path, slow, text=again)[2]["tasks"][0]["attempts"] == 2
    whole = GRAPH.replace("      parameters:", "      timeout_seconds: 0.2\n      parameters:")
    assert graph(tmp_path, slow, text=whole)[2]["tasks"][0]["result"] == "TIMED_OUT"


def test_chosen_tasks_see_the_values_of_the_last_run(tmp_path: Path) -> None:
    """Tasks that are not chosen do not run, are not waited for, and keep their last values."""
    graph(tmp_path, ROWS.format(9))
    succeeded, said, record = graph(tmp_path, "1 / 0\n", selected=["many", "large"])
    assert succeeded
    assert states(record) == {"many": "SUCCESS", "large": "SUCCESS"}
    assert "[2/2] large  0.0 s  rows 9" in said


def test_a_value_that_was_never_set_fails_its_reader(tmp_path: Path) -> None:
    """A missing task value is an error that names it; no empty text takes its place."""
    succeeded, _, record = graph(tmp_path, "x = 1\n")
    assert not succeeded
    assert states(record)["many"] == "FAILED"
    assert "tasks.first.values.rows" in record["tasks"][1]["said"]


def test_old_records_are_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A target keeps a limited number of records."""
    monkeypatch.setattr(records, "KEPT", 3)
    for _ in range(5):
        graph(tmp_path, ROWS.format(9))
    assert len(list((tmp_path / ".local/dev/runs").iterdir())) == 3


def test_an_interrupted_run_leaves_its_record(tmp_path: Path) -> None:
    """What had ended when the process was stopped stays on record, as a run without an end."""
    with pytest.raises(KeyboardInterrupt):
        graph(tmp_path, ROWS.format(9), text=GRAPH.replace("./third.py", "./stop.py"))
    (path,) = (tmp_path / ".local/dev/runs").glob("*.json")
    record = json.loads(path.read_text())
    assert record["result"] == "RUNNING"
    assert states(record) == {"first": "SUCCESS", "many": "SUCCESS"}
