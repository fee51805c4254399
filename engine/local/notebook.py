"""Runs one source-format notebook outside Databricks, with the `dbutils` that notebooks rely on."""

from __future__ import annotations

import json
import traceback
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Optional

from engine.errors import JobError, system_error
from policies.errors import NbaError, require_known

HEADER = "# Databricks notebook source"
_MAGIC = "# MAGIC %"
_CELL = "# COMMAND ----------"
_NONE = object()
ROWS = 40  # of a table that `display` prints


class NotebookExit(BaseException):
    """Ends a notebook. Like SystemExit it is not an Exception, so notebooks do not catch it."""


class Dbutils:
    """The part of Databricks' `dbutils` that the notebooks of this project use.

    Args:
        parameters: of the job and the task, as texts: what widgets hold. A default that a notebook
            declares gives way to them.
        earlier: the task values of the job's earlier tasks, by task and name.

    Attributes:
        values: the task values that the notebook has set.
    """

    def __init__(
        self,
        parameters: Mapping[str, str],
        earlier: Optional[Mapping[str, Mapping[str, Any]]] = None,
    ) -> None:
        values, self.values = dict(parameters), dict[str, Any]()
        tasks = earlier or {}

        def get(name: str) -> str:
            require_known(name, values, JobError, f"this task has no parameter {name!r}")
            return values[name]

        def text(name: str, default: str = "", label: Optional[str] = None) -> None:
            values.setdefault(name, default)

        def set_value(key: str, value: Any) -> None:
            json.dumps(value)  # Databricks takes JSON only, and refuses anything else at once
            self.values[key] = value

        def value_of(
            taskKey: str,  # Databricks' names
            key: str,
            default: Any = _NONE,
            debugValue: Any = None,
        ) -> Any:
            found = tasks.get(taskKey, {}).get(key, default)
            if found is _NONE:
                hint = "set it there, or give a default"
                raise JobError(f"task {taskKey!r} has set no value {key!r}", hint=hint)
            return found

        def leave(value: str = "") -> None:
            raise NotebookExit(value)

        self.widgets = SimpleNamespace(get=get, text=text)
        self.jobs = SimpleNamespace(taskValues=SimpleNamespace(set=set_value, get=value_of))
        self.notebook = SimpleNamespace(exit=leave)


class Display:
    """`display`: saves figures as files, and prints small tables.

    Args:
        folder: where figures go, as NAME-1.png, NAME-2.png ….
        name: the notebook's.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._folder, self._name, self._figures = folder, name, 0

    def __call__(self, *objects: Any) -> None:
        """Show figures and pandas tables; Spark's tables are not computed for it."""
        import pandas as pd  # not for commands that run no notebook
        from matplotlib.figure import Figure

        for shown in objects:
            if isinstance(shown, Figure):
                self._figures += 1
                self._folder.mkdir(parents=True, exist_ok=True)
                path = self._folder / f"{self._name}-{self._figures}.png"
                shown.savefig(path, dpi=120)
                print(f"picture: {path}\n")  # noqa: T201  # what a notebook shows is its output
            elif isinstance(shown, pd.DataFrame):
                text = shown.head(ROWS).to_string(index=False, float_format="{:.4f}".format)
                print(f"{text}\n")  # noqa: T201


def run_notebook(path: Path, spark: Any, dbutils: Dbutils, *, pictures: Path) -> str:
    """Execute a notebook from top to bottom in a fresh namespace.

    Args:
        path: the notebook.
        spark, dbutils: what the notebook finds under these names.
        pictures: the folder in which `display` saves figures.

    Returns:
        The value it passed to `dbutils.notebook.exit`, or an empty text.

    Raises:
        JobError: it is not in source format, or uses a magic command other than %md.
    """
    source = path.read_text(encoding="utf-8")
    _check(path, source)
    namespace = {"__name__": "__main__", "__file__": str(path), "spark": spark}
    namespace.update(dbutils=dbutils, display=Display(pictures, path.stem))
    try:
        exec(compile(source, str(path), "exec"), namespace)
    except NotebookExit as exit_:
        return exit_.args[0]
    return ""


def explained(error: Exception, notebook: Path, debug: bool) -> str:
    """An error of a notebook with its cell and line, or with `debug` its traceback."""
    if debug:
        return "".join(traceback.format_exception(type(error), error, error.__traceback__))
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == str(notebook)]
    at = error.lineno if isinstance(error, SyntaxError) else lines[-1] if lines else 1
    line, source = at or 1, notebook.read_text(encoding="utf-8").splitlines()
    cell = sum(text.startswith(_CELL) for text in source[: line - 1]) + 1
    place = f"{notebook}:{line}, cell {cell}: {source[line - 1].strip()}"
    known = error if isinstance(error, NbaError) else system_error(error)
    if known is not None:
        return f"{known}\n  at {place}"
    message = str(error).split("\n\nJVM stacktrace", maxsplit=1)[0].strip()
    hint = "Hint: run again with --debug for the traceback"
    return f"{type(error).__name__}: {message}\n  in {place}\n  {hint}"


def _check(path: Path, source: str) -> None:
    lines = source.splitlines()
    if not lines or lines[0].strip() != HEADER:
        raise JobError(
            "this is not a notebook in source format",
            where=f"{path}:1",
            hint=f"its first line must be `{HEADER}`",
        )
    for number, line in enumerate(lines, start=1):
        if line.startswith(_MAGIC):
            magic = line.removeprefix(_MAGIC).split(maxsplit=1)[:1]
            if magic not in ([], ["md"]):
                raise JobError(
                    f"the magic command %{magic[0]} does not work outside Databricks",
                    where=f"{path}:{number}",
                    hint="write the cell in Python",
                )
