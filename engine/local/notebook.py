"""Runs one source-format notebook outside Databricks, with the `dbutils` that notebooks rely on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Optional

import pandas as pd
from matplotlib.figure import Figure

from engine.errors import JobError
from policies.errors import require_known

HEADER = "# Databricks notebook source"
_MAGIC = "# MAGIC %"
ROWS = 40  # of a table that `display` prints


class NotebookExit(BaseException):
    """Ends a notebook. Like SystemExit it is not an Exception, so notebooks do not catch it."""


class Dbutils:
    """The part of Databricks' `dbutils` that the notebooks of this project use.

    Args:
        parameters: of the job and the task, as texts: what widgets hold. A default that a notebook
            declares gives way to them.
    """

    def __init__(self, parameters: Mapping[str, str]) -> None:
        values = dict(parameters)

        def get(name: str) -> str:
            require_known(name, values, JobError, f"this task has no parameter {name!r}")
            return values[name]

        def text(name: str, default: str = "", label: Optional[str] = None) -> None:
            values.setdefault(name, default)

        def set_value(key: str, value: Any) -> None:
            """Databricks shows it; a laptop has nowhere to, and no task of the bundle reads one."""

        def leave(value: str = "") -> None:
            raise NotebookExit(value)

        self.widgets = SimpleNamespace(get=get, text=text)
        self.jobs = SimpleNamespace(taskValues=SimpleNamespace(set=set_value))
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
