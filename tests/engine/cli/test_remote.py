"""A question asked on a workspace is the same command, run there by nba_job."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from engine.cli import nba, remote
from engine.jobs import Run, report
from engine.local.bundle import read_bundle
from engine.parameters import Parameters

CLI = """#!{python}
import json, sys
open({log!r}, "w").write(json.dumps(sys.argv[1:]))
sys.stderr.write("Run URL\\n")
sys.stdout.write({answer!r})
sys.exit({code})
"""


@given(st.lists(st.text(min_size=1)))
def test_arguments_arrive_as_they_were(arguments: list[str]) -> None:
    """Whatever signs an argument has, it travels as plain words without commas and quotes."""
    text = remote.encoded(arguments)
    assert [unquote(word) for word in text.split()] == arguments
    assert not set(text) & set("\"',=`$\n")


@pytest.fixture
def folder(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bundle's folder, on a machine with a workspace."""
    (tmp_path / "databricks.yml").write_text((repository / "databricks.yml").read_text())
    shutil.copytree(repository / "notebooks", tmp_path / "notebooks")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(nba, "workspace_configured", lambda: True)
    return tmp_path


def workspace(folder: Path, monkeypatch: pytest.MonkeyPatch, result: Any, code: int = 0) -> Path:
    """Put a `databricks` program on the path that answers so; the file with its arguments."""
    log, program = folder / "called.json", folder / "bin" / "databricks"
    tasks = [{"TaskKey": "nba", "Output": {"result": json.dumps(result), "truncated": False}}]
    answer = json.dumps({"task_outputs": tasks})
    program.parent.mkdir()
    text = CLI.format(python=sys.executable, log=str(log), answer=answer, code=code)
    program.write_text(text)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    return log


def call(*arguments: str) -> Result:
    """The command's exit code and output."""
    return CliRunner().invoke(nba.main, arguments)


@pytest.mark.parametrize("code", [0, 3, 4])
def test_the_answer_and_the_code_come_back(
    folder: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """What the job says on either stream is printed, and its exit code is the command's."""
    result = {"exit_code": code, "stdout": '{"a": 1}\n', "stderr": "nba: reading\n"}
    log = workspace(folder, monkeypatch, result)
    arguments = ["promote-model", "@candidate", "-t", "staging", "--format", "json"]
    answer = call(*arguments)
    assert answer.exit_code == code
    assert '{"a": 1}\n' in answer.output
    assert "nba: reading" in answer.output
    assert json.loads(log.read_text()) == [
        *("bundle", "run", "nba_job", "-t", "staging", "-o", "json"),
        *("--params", f"command={remote.encoded(arguments)}"),
    ]


@pytest.mark.parametrize(
    ("result", "code", "said"),
    [
        ({}, 1, "nba_job failed on the workspace (exit code 1)"),
        ({"stdout": ""}, 0, "gave no answer that can be read"),
        ([], 0, "gave no answer that can be read"),
    ],
)
def test_a_run_without_an_answer_is_an_error(
    folder: Path, monkeypatch: pytest.MonkeyPatch, result: Any, code: int, said: str
) -> None:
    """A failed run or an answer of another version is told, with what to do."""
    workspace(folder, monkeypatch, result, code)
    answer = call("report")
    assert answer.exit_code == 1
    assert said in answer.output
    assert "Hint: " in answer.output


def test_local_asks_this_machine(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """--local never starts a job, and other commands never do."""
    log = workspace(folder, monkeypatch, {})
    answer = call("report", "--local")
    assert "No job has run here" in answer.output
    assert call("validate-bundle", "--help").exit_code == 0
    assert not log.exists()


def answered(repository: Path, command: str) -> dict[str, Any]:
    """What the notebook exits with for that command."""
    job = read_bundle(repository / "databricks.yml", "dev").job("nba_job")
    values = {**job.parameters, "command": command}
    return json.loads(remote.answered("the session", values.__getitem__))


def test_the_job_runs_the_command_on_its_own_session(
    repository: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The same command reads the job's tables: no other session, no bundle file, no second code."""
    seen: list[Any] = []

    def of(spark: Any, values: dict[str, str]) -> Any:
        parameters = Parameters.parse(values)
        seen.append((spark, parameters.source))
        return SimpleRun(parameters)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Run, "of", of)
    monkeypatch.setattr(report, "write_report", lambda run: f"page of {run.parameters.as_of}")
    found = answered(repository, "report --as-of 2026-03-01 --source crm")
    assert found["exit_code"] == 0
    assert found["stdout"] == "page of 2026-03-01\n"
    assert seen == [("the session", "crm")]
    assert remote.session() is None


@dataclass(frozen=True)
class SimpleRun:
    """A run with parameters alone."""

    parameters: Parameters


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        ("--help", 0, "compare-models"),
        ("reprot", 2, "No such command"),
        ("report --as-of yesterday", 2, "does not match the format"),
        ("promote-model :3", 2, "the gate chooses the version"),
    ],
)
def test_a_wrong_call_ends_as_on_a_laptop(
    repository: Path, command: str, code: int, said: str
) -> None:
    """Usage errors have exit code 2 and their sentence there, too."""
    found = answered(repository, command)
    assert found["exit_code"] == code
    assert said in found["stdout"] + found["stderr"]
