"""Checks of keys, tasks and what they wait for."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter

from engine.bundle.checks.view import Finding, View
from engine.bundle.values import Value, corrected
from policies.errors import did_you_mean

_RUN_JOB = re.compile(r"\$\{resources\.jobs\.([^.}]+)\.id\}")
_NO_KIND = {"disable_auto_optimization"}


def resource_keys(view: View) -> Iterator[Finding]:
    """A key names one resource of one kind."""
    first: dict[str, str] = {}
    for kind, bodies in view.resolved.root["resources"].items.items():
        for key, body in bodies.items.items():
            if key in first:
                what = f"The key {key!r} names a resource of {first[key]} and one of {kind}."
                yield Finding(what, body.place, "give each resource a key of its own")
            first.setdefault(key, kind)


def empty(view: View) -> Iterator[Finding]:
    """A job has tasks, and a resource has a body."""
    for kind, bodies in view.resolved.root["resources"].items.items():
        for key, body in bodies.items.items():
            if body.content is None:
                yield Finding(f"{kind} {key!r} is empty.", body.place, "define it, or take it away")
    for key, job in view.jobs.items():
        if job.items and not job["tasks"].entries and job["tasks"].content is not None:
            yield Finding(f"Job {key!r} has no tasks.", job["tasks"].place, "add a task")


def task_kinds(view: View) -> Iterator[Finding]:
    """A task does exactly one thing."""
    for _, _, task in view.tasks():
        kinds = [key for key in task.items if key.endswith("_task") and key not in _NO_KIND]
        if len(kinds) == 1:
            continue
        name = task["task_key"].text
        what = f"Task {name!r} has no kind." if not kinds else f"Task {name!r} has two kinds."
        place = task[kinds[1]].place if kinds else task.place
        if kinds:
            what = f"Task {name!r} is a {kinds[0]} and a {kinds[1]}."
        yield Finding(what, place, "give it one, such as notebook_task")


def dependencies(view: View) -> Iterator[Finding]:
    """A task waits for other tasks of its job, and no two wait for each other."""
    for key, job in view.jobs.items():
        tasks = {task["task_key"].text: task for task in job["tasks"].entries}
        edges: dict[str, list[str]] = {}
        for name, task in tasks.items():
            edges[name] = []
            for row in task["depends_on"].entries:
                other = row["task_key"].text if row.kind == "map" else row.text
                place = row["task_key"].place if row["task_key"].text else row.place
                if other == name:
                    yield Finding(f"Task {name!r} waits for itself.", place, "take it away")
                elif other not in tasks:
                    what = f"Task {name!r} waits for {other!r}, which is no task of {key}."
                    yield Finding.misspelt(what, row["task_key"], other, tasks)
                else:
                    edges[name].append(other)
                    if row["outcome"].text and not tasks[other]["condition_task"].items:
                        what = f"Task {name!r} waits for an outcome of {other!r}, no condition."
                        yield Finding(what, row["outcome"].place, "wait for a condition_task")
        yield from _cycle(edges, tasks, "These tasks wait for each other")


def job_cycles(view: View) -> Iterator[Finding]:
    """No job runs itself, directly or through others."""
    edges: dict[str, list[str]] = {key: [] for key in view.jobs}
    places: dict[str, Value] = {}
    for key, _, task in view.tasks():
        match = _RUN_JOB.fullmatch(task["run_job_task"]["job_id"].text)
        if match is None or match.group(1) not in edges:
            continue
        job_id = task["run_job_task"]["job_id"]
        if match.group(1) == key:
            yield Finding(f"Job {key!r} runs itself.", job_id.place, "take the task away")
        else:
            edges[key].append(match.group(1))
            places.setdefault(key, job_id)
    yield from _cycle(edges, {**view.jobs, **places}, "These jobs run each other")


def _cycle(
    edges: Mapping[str, list[str]], values: Mapping[str, Value], what: str
) -> Iterator[Finding]:
    try:
        TopologicalSorter(edges).prepare()
    except CycleError as error:
        cycle = error.args[1]
        last = max(cycle, key=lambda name: (values[name].place.line, name))
        place = values[last]["depends_on"].place
        hint = "take one of these links away"
        yield Finding(f"{what}: {' → '.join(reversed(cycle))}.", place, hint)


def jobs_that_are_run(view: View) -> Iterator[Finding]:
    """A task hands on parameters that the job it runs has."""
    for _, _, task in view.tasks():
        match = _RUN_JOB.fullmatch(task["run_job_task"]["job_id"].text)
        target = view.jobs.get(match.group(1)) if match else None
        if target is None or target["parameters"].kind != "list":
            continue
        known = [row["name"].text for row in target["parameters"].entries]
        for name, value in task["run_job_task"]["job_parameters"].items.items():
            if name not in known:
                what = f"Job {match.group(1) if match else ''!r} has no parameter {name!r}."
                fix = corrected(name, known, kind="rename")
                yield Finding(what, value.place, did_you_mean(name, known), fix)
