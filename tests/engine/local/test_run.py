"""A job runs here as on Databricks: order, parameters, failures and progress."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Optional

import pytest

from engine import environment
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
) -> tuple[bool, list[str], Session]:
    """Run a job of the tiny bundle; whether it succeeded, what was said, and the session."""
    (folder / "databricks.yml").write_text(BUNDLE)
    (folder / "first.py").write_text(HEADER + first)
    (folder / "second.py").write_text(HEADER + SECOND)
    bundle = read_bundle(folder / "databricks.yml", "dev")
    said: list[str] = []
    spark = Session()
    with environment.altered(NBA_LOCAL_ROOT=None):
        local = LocalRun(bundle, said.append, debug, spark)
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
        f"ZeroDivisionError: division by zero\n  in {tmp_path}/first.py:3\n"
        "  Hint: run again with --debug for the traceback",
        "[2/3] second  skipped",
        "[3/3] after  skipped",
        "whole_job FAILED in 0.0 s",
    ]


def test_an_error_of_the_engine_needs_no_traceback(tmp_path: Path) -> None:
    """A typed error is shown as its own three lines; --debug shows the traceback instead."""
    body = (
        'from engine.errors import TableError\nraise TableError("gone", where="t", hint="look")\n'
    )
    _, said, _ = run(tmp_path, "day_job", body)
    assert "gone\n  in t\n  Hint: look" in said
    _, said, _ = run(tmp_path, "day_job", body, debug=True)
    assert any(each.startswith("Traceback") and "first.py" in each for each in said)


@pytest.mark.parametrize("body", ["x = (\n", "def f(:\n"])
def test_a_syntax_error_names_its_line(tmp_path: Path, body: str) -> None:
    """A notebook that does not parse fails like any other, with the line."""
    succeeded, said, _ = run(tmp_path, "day_job", body)
    assert not succeeded
    assert f"{tmp_path}/first.py:2" in said[4]
