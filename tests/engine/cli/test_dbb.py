"""`dbb` on a machine without a workspace, and what it hands over where there is one."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from engine.cli import dbb
from engine.local.run import summary

BUNDLE = """\
bundle: {name: tiny}
targets:
  dev: {default: true}
resources:
  jobs:
    day_job:
      parameters: [{name: as_of, default: "2026-03-02"}, {name: volume, default: /Volumes/x}]
      tasks:
        - task_key: first
          notebook_task: {notebook_path: ./first.py}
        - task_key: second
          depends_on: [{task_key: first}]
          notebook_task: {notebook_path: ./first.py}
        - task_key: third
          depends_on: [{task_key: second}]
          notebook_task: {notebook_path: ./first.py}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tiny bundle, as the working folder, on a machine without a workspace."""
    (tmp_path / "databricks.yml").write_text(BUNDLE)
    (tmp_path / "first.py").write_text("# Databricks notebook source\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(dbb, "workspace_configured", lambda: False)
    return tmp_path


def call(*arguments: str) -> Result:
    """The command's exit code and output."""
    return CliRunner().invoke(dbb.main, arguments)


@pytest.mark.parametrize("command", ["validate", "deploy", "summary", "destroy"])
def test_the_first_line_says_where_the_work_is_done(folder: Path, command: str) -> None:
    """Without a workspace every command says that it works here, and why."""
    answer = call(command)
    assert answer.exit_code == 0, answer.output
    assert answer.output.splitlines()[0] == (
        "dbb: running locally under .local/dev (no databricks CLI with a workspace is configured)"
    )


@pytest.mark.parametrize(
    ("arguments", "handed"),
    [
        (["validate"], "validate -t dev"),
        (["deploy", "-t", "prod"], "deploy -t prod"),
        (
            ["run", "a_job", "--params", "a=1,b=2", "--params", "c=3"],
            "run a_job --params a=1,b=2 --params c=3 -t dev",
        ),
        (
            ["run", "day_job", "--from", "second"],
            "run day_job --only second,third -t dev",
        ),
        (["summary", "--var", "a=1"], "summary --var=a=1 -t dev"),
        (["destroy", "--auto-approve"], "destroy --auto-approve -t dev"),
    ],
)
def test_a_workspace_gets_the_same_command(
    folder: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], handed: str
) -> None:
    """With a workspace `dbb` calls `databricks bundle` and passes its exit code on."""
    log = folder / "called"
    cli = folder / "bin" / "databricks"
    cli.parent.mkdir()
    cli.write_text(f'#!/bin/sh\necho "$@" > {log}\nexit 7\n')
    cli.chmod(0o755)
    monkeypatch.setenv("PATH", f"{cli.parent}:/usr/bin:/bin")
    monkeypatch.setattr(dbb, "workspace_configured", lambda: True)
    answer = call(*arguments)
    assert answer.exit_code == 7
    assert answer.output.startswith(f"dbb: handing over to `databricks bundle {handed}`")
    assert log.read_text().strip() == f"bundle {handed}"


def test_local_stays_here_although_there_is_a_workspace(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """--local runs the demo on this machine for people who have a workspace, too."""
    monkeypatch.setattr(dbb, "workspace_configured", lambda: True)
    answer = call("validate", "--local")
    assert answer.exit_code == 0
    assert answer.output.startswith("dbb: running locally under .local/dev (--local)")


def test_a_dry_run_shows_the_parameters_and_changes_nothing(folder: Path) -> None:
    """--dry-run prints what a run would get, the local volume included, and leaves no folder."""
    answer = call("run", "day_job", "--params", "as_of=2026-03-05", "--dry-run")
    assert answer.exit_code == 0
    assert "as_of = 2026-03-05" in answer.output
    assert "volume = .local/dev/volume" in answer.output
    assert "would run first, second, third" in answer.output
    assert (
        "would run first, third"
        in call("run", "day_job", "--only", "first, third", "--dry-run").output
    )
    assert (
        "would run second, third" in call("run", "day_job", "--from", "second", "--dry-run").output
    )
    assert call("deploy", "--dry-run").exit_code == 0
    assert not (folder / ".local").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["run", "day_jb"], 1, "did you mean 'day_job'"),
        (["run", "day_job", "--params", "asof=1"], 1, "did you mean 'as_of'"),
        (["run", "day_job", "--params", "x"], 1, "write --params name=value"),
        (["run", "day_job", "--only", "frist"], 1, "did you mean 'first'"),
        (["run", "day_job", "--only", "first", "--from", "first"], 2, "exclude each other"),
        (["validate", "--var", "x=1"], 1, "which is no variable"),
        (["validate", "-t", "dve"], 1, "did you mean 'dev'"),
        (["run"], 2, "Missing argument"),
        (["fly"], 2, "No such command"),
    ],
)
def test_mistakes_end_with_a_sentence_and_a_code(
    folder: Path, arguments: list[str], code: int, said: str
) -> None:
    """An error of the engine ends with 1 and no traceback, a wrong call with 2."""
    answer = call(*arguments)
    assert answer.exit_code == code
    assert said in answer.output
    assert "Traceback" not in answer.output


def test_destroy_asks_first(folder: Path) -> None:
    """Tables go only after a yes or --auto-approve, and the jars of all targets stay."""
    call("deploy")
    jars = folder / ".local" / "jars"
    jars.mkdir()
    assert "would remove" in call("destroy", "--dry-run").output
    CliRunner().invoke(dbb.main, ["destroy"], input="n\n")
    assert (folder / ".local/dev").exists()
    assert call("destroy", "--auto-approve").exit_code == 0
    assert (not (folder / ".local/dev").exists(), jars.exists()) == (True, True)


def test_commas_inside_a_value_stay(folder: Path) -> None:
    """A comma separates parameters only where a name and `=` follow."""
    answer = call("run", "day_job", "--dry-run", "--params", "volume=/a,b,as_of=2026-03-05")
    assert "volume = /a,b\n" in answer.output


@pytest.mark.parametrize(
    ("payload", "line", "closing"),
    [
        ('{"summary": "Done.", "rows": {"events": 1200}}', "events 1,200 rows · Done.", []),
        ('{"closing": ["Held.", "Report: r.html"]}', "", ["Held.", "Report: r.html"]),
        ("plain text", "plain text", []),
        ("12", "12", []),
        ("", "", []),
    ],
)
def test_the_payload_of_a_notebook_becomes_one_line(
    payload: str, line: str, closing: list[str]
) -> None:
    """JSON payloads give counts, a sentence and closing lines; anything else is shown as it is."""
    assert summary(payload) == (line, closing)


def test_a_command_without_a_docstring_does_not_load() -> None:
    """A command that cannot say what it does is refused."""
    with pytest.raises(TypeError, match="needs a docstring"):
        dbb.main.command("silent")(lambda: None)


def test_the_repositorys_bundle_is_valid(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`dbb validate` accepts databricks.yml for every target."""
    shutil.copy(repository / "databricks.yml", tmp_path)
    shutil.copytree(repository / "notebooks", tmp_path / "notebooks")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(dbb, "workspace_configured", lambda: False)
    for target in ("dev", "staging", "prod"):
        answer = call("validate", "-t", target)
        assert answer.exit_code == 0, answer.output
        assert "9 jobs, 14 tasks: valid" in answer.output
