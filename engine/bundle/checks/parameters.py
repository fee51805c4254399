"""Checks of parameters: what notebooks read, what tasks pass, and dynamic references."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from engine.bundle.checks.files import NOTEBOOK
from engine.bundle.checks.view import Finding, View
from engine.bundle.dynamic import dynamic_references
from engine.bundle.values import Value, corrected
from policies.errors import did_you_mean

_TIMES = "iso_weekday is_weekday iso_date iso_datetime year month day hour minute second"
_TIMES = f"{_TIMES} timestamp_ms timestamp"
_KNOWN = [
    *["job.id", "job.name", "job.run_id", "job.repair_count", "job.trigger.type"],
    "job.trigger.file_arrival.location",
    *(
        f"job.{moment}.{part}"
        for moment in ("start_time", "trigger.time")
        for part in _TIMES.split()
    ),
    *["task.name", "task.run_id", "task.execution_count", "task.notebook_path"],
    *["workspace.id", "workspace.url", "input"],
    *[
        "job_id",
        "run_id",
        "start_date",
        "start_time",
        "task_key",
        "parent_run_id",
        "task_retry_count",
    ],
]
_OF_TASKS = [
    "run_id",
    "result_state",
    "error_code",
    "execution_count",
    "notebook_path",
    "values",
    "output",
]
_OTHER_ROOTS = ("input", "secrets", "backfill", "job.trigger.table_update", "job.trigger.model")


@dataclass(frozen=True)
class Widgets:
    """The parameters that a notebook reads, and those that have a default there."""

    read: frozenset[str]
    declared: frozenset[str]


def dynamic(view: View) -> Iterator[Finding]:
    """A reference `{{…}}` names something that Databricks fills in."""
    for key, job in view.jobs.items():
        known = [row["name"].text for row in job["parameters"].entries]
        tasks = [task["task_key"].text for task in job["tasks"].entries]
        for _, value in job.scalars():
            if not isinstance(value.content, str):
                continue
            for name in dynamic_references(value.text):
                problem = _problem(name, known, tasks)
                if problem is not None:
                    what, own, names = problem
                    what = f"{{{{{name}}}}} {what} in {key}."
                    yield Finding.misspelt(what, value, own, names)


def _problem(
    name: str, parameters: list[str], tasks: list[str]
) -> Optional[tuple[str, str, list[str]]]:
    """What is wrong with a reference: what, the misspelt name, and the known ones; or None."""
    parts = name.split(".")
    if name.startswith(_OTHER_ROOTS) or name in _KNOWN:
        return None
    if name.startswith("job.parameters."):
        own = name[len("job.parameters.") :].strip("[]")
        known = own in parameters
        return None if known else ("names no parameter", own, parameters)
    if parts[0] == "tasks" and len(parts) > 2:
        if parts[1] not in tasks:
            return "names no task", parts[1], tasks
        if parts[2].split("[")[0] in _OF_TASKS:
            return None
        return "names nothing of a task", parts[2], _OF_TASKS
    if "/" in name or not re.fullmatch(r"[\w.\[\]-]+", name):
        return None
    head, _, own = name.rpartition(".")
    if own in parameters and head.startswith("job"):
        return "names nothing that is known", head, ["job.parameters"]
    return "names nothing that is known", name, _KNOWN


def unread(view: View) -> Iterator[Finding]:
    """A task passes what its notebook reads."""
    for _, _, task, widgets in _read(view):
        for name, value in task["notebook_task"]["base_parameters"].items.items():
            if name not in widgets.read | widgets.declared:
                what = f"The notebook does not read the parameter {name!r}."
                free = widgets.read - task["notebook_task"]["base_parameters"].items.keys()
                fix = corrected(name, free, kind="rename")
                yield Finding(what, value.place, did_you_mean(name, widgets.read), fix)


def unset(view: View) -> Iterator[Finding]:
    """A notebook reads what its task or job passes, or what has a default in the notebook."""
    for key, job, task, widgets in _read(view):
        passed = {row["name"].text for row in job["parameters"].entries}
        passed |= task["notebook_task"]["base_parameters"].items.keys()
        for name in sorted(widgets.read - widgets.declared - passed):
            what = f"The notebook reads the parameter {name!r}, which nothing in {key} passes."
            hint = did_you_mean(name, passed) if passed else "add it to base_parameters"
            yield Finding(what, task["notebook_task"]["notebook_path"].place, hint)


def _read(view: View) -> Iterator[tuple[str, Value, Value, Widgets]]:
    """Each task with a notebook whose parameters can be told from its text."""
    for key, job, task in view.tasks():
        value = task.find(NOTEBOOK)
        path = None if value is None or job["git_source"].items else view.local_file(value)
        if path is not None and path.suffix == ".py" and path.is_file():
            widgets = _widgets(path)
            if widgets is not None:
                yield key, job, task, widgets


def _widgets(path: Path) -> Optional[Widgets]:
    """None where the text does not tell: another notebook is run, or the getter is handed on."""
    source = path.read_text(encoding="utf-8", errors="replace")
    if re.search(r"^# MAGIC %(run|sql|scala|r)\b|getAll|get_all|\bgetArgument\b", source, re.M):
        return None
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return None
    read: set[str] = set()
    declared: set[str] = set()
    calls = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _of_widgets(node.func):
            calls.add(id(node.func))
            name = node.args[0] if node.args else next((k.value for k in node.keywords), None)
            if not isinstance(name, ast.Constant):
                return None
            method = getattr(node.func, "attr", "")
            (read if method == "get" else declared).add(str(name.value))
    handed_on = (node for node in ast.walk(tree) if _of_widgets(node) and id(node) not in calls)
    if any(True for _ in handed_on):
        return None
    return Widgets(frozenset(read), frozenset(declared))


def _of_widgets(node: ast.AST) -> bool:
    """Whether this asks for the widgets of a notebook."""
    if not isinstance(node, ast.Attribute) or node.attr in ("remove", "removeAll"):
        return False
    return isinstance(node.value, ast.Attribute) and node.value.attr == "widgets"
