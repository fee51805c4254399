"""Questions on a workspace: `nba_job` runs the same command there, and its answer comes back."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from contextvars import ContextVar
from pathlib import Path
from typing import Any, NoReturn, Optional
from urllib.parse import quote, unquote

import click

from engine.errors import JobError
from engine.parameters import Parameters

JOB = "nba_job"
_PLAIN = "@:/._-"  # signs of an argument that travel as they are
_session: ContextVar[Optional[tuple[Any, Mapping[str, str]]]] = ContextVar("session", default=None)


def encoded(arguments: Sequence[str]) -> str:
    """Arguments as one job parameter: words between blanks, other signs percent-encoded."""
    return " ".join(quote(word, safe=_PLAIN) for word in arguments)


def ask(folder: Path, target: str, arguments: Sequence[str]) -> NoReturn:
    """Run a command as `nba_job` of the deployed bundle; prints its answer, ends with its code.

    Args:
        folder: of the bundle.
        target: of the bundle.
        arguments: of `nba`.

    Raises:
        JobError: the job did not run to its end, or gave no answer.
    """
    command = ["databricks", "bundle", "run", JOB, "-t", target, "-o", "json"]
    command += ["--params", f"command={encoded(arguments)}"]
    click.echo(f"nba: asking on the workspace: {JOB} of target {target}", err=True)
    answer = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, text=True)
    if answer.returncode:
        raise JobError(
            f"{JOB} failed on the workspace (exit code {answer.returncode}).",
            where=f"target {target}",
            hint=f"deploy first: dbb deploy -t {target}; or ask the local tables: --local",
        )
    try:
        (task,) = json.loads(answer.stdout)["task_outputs"]
        given = json.loads(task["Output"]["result"])
        code, out, err = int(given["exit_code"]), given["stdout"], given["stderr"]
    except (ValueError, KeyError, TypeError) as error:
        raise JobError(
            f"{JOB} gave no answer that can be read.",
            where=f"target {target}",
            hint="deploy the bundle of this checkout, and look at the run on the workspace",
        ) from error
    click.echo(err, err=True, nl=False)
    click.echo(out, nl=False)
    sys.exit(code)


def answered(spark: Any, get: Callable[[str], str]) -> str:
    """Run the command that `nba_job` was given; what its notebook exits with.

    Args:
        spark: the notebook's session.
        get: `widgets.get` of the notebook; `command` holds the encoded arguments.

    Returns:
        JSON: exit_code, stdout, stderr.
    """
    from engine.cli.nba import main

    arguments = [unquote(word) for word in get("command").split()]
    token = _session.set((spark, {name: get(name) for name in Parameters.names()}))
    out, err, code = io.StringIO(), io.StringIO(), 0
    try:
        with redirect_stdout(out), redirect_stderr(err):
            main(arguments, prog_name="nba")
    except SystemExit as exit_:
        code = exit_.code if isinstance(exit_.code, int) else int(exit_.code is not None)
    finally:
        _session.reset(token)
    content = {"exit_code": code, "stdout": out.getvalue(), "stderr": err.getvalue()}
    return json.dumps({"summary": f"exit code {code}", **content})


def session() -> Optional[tuple[Any, Mapping[str, str]]]:
    """Within `answered`: the notebook's session and the job's parameters."""
    return _session.get()
