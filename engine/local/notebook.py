"""Runs one source-format notebook outside Databricks, with the `dbutils` that notebooks rely on."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import Any, Optional

import pandas as pd
from matplotlib.figure import Figure

from engine.errors import JobError
from policies.errors import did_you_mean

HEADER = "# Databricks notebook source"
_MAGIC = "# MAGIC %"
_PLAIN_MAGICS = ("md",)
ROWS = 40  # of a table that `display` prints


class NotebookExit(BaseException):
    """Ends a notebook; like SystemExit no error, so that `except Exception` lets it pass."""

    def __init__(self, value: str) -> None:
        super().__init__(value)
        self.value = value


class Widgets:
    """`dbutils.widgets`: the parameters of the job and the task, as texts."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = dict(values)

    def get(self, name: str) -> str:
        """The value of a parameter."""
        if name not in self._values:
            raise JobError(
                f"this task has no parameter {name!r}", hint=did_you_mean(name, self._values)
            )
        return self._values[name]

    def text(self, name: str, default: str = "", label: Optional[str] = None) -> None:
        """Declare a parameter; a value that the job gave wins over `default`."""
        self._values.setdefault(name, default)


class TaskValues:
    """`dbutils.jobs.taskValues`: small values that tasks of one job leave for later ones."""

    def __init__(self, task: str, values: MutableMapping[tuple[str, str], Any]) -> None:
        self._task, self._values = task, values

    def set(self, key: str, value: Any) -> None:
        """Leave a value under this task's name."""
        self._values[self._task, key] = value

    def get(self, taskKey: str, key: str, default: Any = None, debugValue: Any = None) -> Any:
        """What `taskKey` left under `key`, or `default`; without either, an error."""
        if (taskKey, key) not in self._values and default is None:
            left = [f"{task}.{name}" for task, name in self._values]
            raise JobError(
                f"task {taskKey!r} left no value {key!r}",
                hint=did_you_mean(f"{taskKey}.{key}", left),
            )
        return self._values.get((taskKey, key), default)


class _Jobs:
    def __init__(self, task_values: TaskValues) -> None:
        self.taskValues = task_values


class _Notebook:
    @staticmethod
    def exit(value: str = "") -> None:
        """End the notebook with a value."""
        raise NotebookExit(value)


class Dbutils:
    """The part of Databricks' `dbutils` that the notebooks of this project use."""

    def __init__(self, widgets: Widgets, task_values: TaskValues) -> None:
        self.widgets = widgets
        self.jobs = _Jobs(task_values)
        self.notebook = _Notebook()


class Display:
    """`display`: keeps figures as files, and prints small tables.

    Args:
        folder: where figures go, as NAME-1.png, NAME-2.png …; None shows nothing.
        name: the notebook's.
    """

    def __init__(self, folder: Optional[Path], name: str) -> None:
        self._folder, self._name, self._figures = folder, name, 0

    def __call__(self, *things: Any) -> None:
        """Show each thing; Spark's tables are not computed for it."""
        if self._folder is None:
            return
        for thing in things:
            if isinstance(thing, Figure):
                self._figures += 1
                self._folder.mkdir(parents=True, exist_ok=True)
                path = self._folder / f"{self._name}-{self._figures}.png"
                thing.savefig(path, dpi=120)
                print(f"picture: {path}\n")  # noqa: T201  # what a notebook shows is its output
            elif isinstance(thing, pd.DataFrame):
                text = thing.head(ROWS).to_string(index=False, float_format="{:.4f}".format)
                print(f"{text}\n")  # noqa: T201


def run_notebook(
    path: Path, spark: Any, dbutils: Dbutils, *, pictures: Optional[Path] = None
) -> str:
    """Execute a notebook from top to bottom in a fresh namespace.

    Args:
        path: the notebook.
        spark: the session it finds under that name.
        dbutils: likewise.
        pictures: the folder that `display` keeps figures in; None: it shows nothing.

    Returns:
        What it gave to `dbutils.notebook.exit`, or an empty text.

    Raises:
        JobError: it is no source-format notebook, or uses a magic command other than %md.
    """
    source = path.read_text(encoding="utf-8")
    _check(path, source)
    namespace = {"__name__": "__main__", "__file__": str(path), "spark": spark}
    namespace.update(dbutils=dbutils, display=Display(pictures, path.stem))
    try:
        exec(compile(source, str(path), "exec"), namespace)
    except NotebookExit as exit_:
        return exit_.value
    return ""


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
            magic = line[len(_MAGIC) :].split()[:1]
            if magic and magic[0] not in _PLAIN_MAGICS:
                raise JobError(
                    f"the magic command %{magic[0]} does not work outside Databricks",
                    where=f"{path}:{number}",
                    hint="write the cell in Python",
                )
