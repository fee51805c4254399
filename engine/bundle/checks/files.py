"""Checks of the files that a bundle names: notebooks, scripts, requirements."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from engine.bundle.checks.view import Finding, View
from engine.bundle.values import Fix, Place

HEADERS = {
    ".py": "# Databricks notebook source",
    ".sql": "-- Databricks notebook source",
    ".scala": "// Databricks notebook source",
    ".r": "# Databricks notebook source",
}
NOTEBOOK = ("notebook_task", "notebook_path")
_FILES = (NOTEBOOK, ("spark_python_task", "python_file"), ("sql_task", "file", "path"))


def notebooks(view: View) -> Iterator[Finding]:
    """A notebook or script of a task is in the bundle's folder."""
    for _, job, task in view.tasks():
        for keys in _FILES:
            value = task.find(keys)
            from_git = job["git_source"].items or value is None
            path = None if from_git or value is None else view.local_file(value)
            if path is None or value is None or path.is_file():
                continue
            what = f"There is no file {value.text!r}."
            names = [other.name for other in path.parent.glob("*")] if path.parent.is_dir() else []
            if names:
                yield Finding.misspelt(what, value, path.name, names)
            else:
                yield Finding(what, value.place, "write it, or correct the path")


def headers(view: View) -> Iterator[Finding]:
    """A notebook in source format begins with the line that makes it one."""
    for path, place in notebook_files(view):
        header = HEADERS.get(path.suffix.lower())
        if header and not first_line(path).startswith(header):
            what = f"{path.name} is no notebook: its first line is not `{header}`."
            fix = Fix("prepend", header, path)
            yield Finding(what, place, "add that line on top", fix)


def requirements(view: View) -> Iterator[Finding]:
    """requirements.txt has the versions of uv.lock."""
    path, lock = view.folder / "requirements.txt", view.folder / "uv.lock"
    if not (path.is_file() and lock.is_file()):
        return
    locked: dict[str, set[str]] = {}
    pattern = r'name = "([^"]+)"\nversion = "([^"]+)"'
    for name, version in re.findall(pattern, lock.read_text(encoding="utf-8")):
        locked.setdefault(name, set()).add(version)
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        match = re.match(r"([A-Za-z0-9._-]+)==([^\s;]+)", line)
        if match and match[2] not in locked.get(match[1].lower().replace("_", "-"), ()):
            what = f"requirements.txt has {match[0]}, and uv.lock does not."
            yield Finding(what, Place(path, number, 1), "run ./sync_requirements.sh")
            return


def notebook_files(view: View) -> Iterator[tuple[Path, Place]]:
    """The notebooks in the bundle's folder that tasks run."""
    for _, job, task in view.tasks():
        value = task.find(NOTEBOOK)
        path = None if value is None or job["git_source"].items else view.local_file(value)
        if path is not None and value is not None and path.is_file():
            yield path, value.place


def first_line(path: Path) -> str:
    """The first line of a file, or an empty text."""
    with path.open(encoding="utf-8", errors="replace") as file:
        return file.readline().strip()
