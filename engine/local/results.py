"""Results of tasks in a local run, and which tasks may run after them (`run_if`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Optional

from engine.bundle.jobs import Condition, Task
from engine.errors import JobError

SUCCESS, FAILED, TIMED_OUT = "SUCCESS", "FAILED", "TIMED_OUT"
UPSTREAM_FAILED, EXCLUDED = "UPSTREAM_FAILED", "EXCLUDED"
NOT_SELECTED = "NOT_SELECTED"  # left out by --only or --from; dependent tasks do not wait for it
FAILURES = (FAILED, TIMED_OUT, UPSTREAM_FAILED)


@dataclass
class TaskResult:
    """What became of a task.

    Args:
        result: one of the words above.
        attempts: how often it was tried.
        seconds: how long all tries took.
        values: its task values, by name.
        outcome: of a condition: "true" or "false".
        said: the value it exited with, or its error.
    """

    result: str
    attempts: int = 0
    seconds: float = 0.0
    values: dict[str, Any] = field(default_factory=dict)
    outcome: Optional[str] = None
    said: str = ""

    @property
    def failed(self) -> bool:
        """Whether it, or what it waited for, failed."""
        return self.result in FAILURES


def readiness(task: Task, results: Mapping[str, TaskResult]) -> Optional[str]:
    """None where a task may run now; otherwise the result that it gets without running."""
    states = []
    for key, outcome in task.depends_on.items():
        earlier = results[key]
        if earlier.result == NOT_SELECTED:
            continue
        if outcome is not None and earlier.result == SUCCESS and earlier.outcome != outcome:
            return EXCLUDED
        states.append(earlier.result)
    return _readiness(task.run_if, states)


def _readiness(run_if: str, states: Sequence[str]) -> Optional[str]:
    failed = [state in FAILURES for state in states]
    succeeded = [state == SUCCESS for state in states]
    runs = {
        "ALL_SUCCESS": all(succeeded),
        "ALL_DONE": True,
        "NONE_FAILED": not any(failed) and any(succeeded),
        "AT_LEAST_ONE_SUCCESS": any(succeeded),
        "ALL_FAILED": all(failed),
        "AT_LEAST_ONE_FAILED": any(failed),
    }
    if not states or runs[run_if]:
        return None
    return UPSTREAM_FAILED if any(failed) and not run_if.endswith("FAILED") else EXCLUDED


def job_result(tasks: Sequence[Task], results: Mapping[str, TaskResult]) -> str:
    """A job fails where a task fails that no other task waits for; Databricks counts so, too."""
    waited_for = {key for task in tasks for key in task.depends_on}
    last = [results[task.key] for task in tasks if task.key not in waited_for]
    return FAILED if any(result.failed for result in last) else SUCCESS


def holds(condition: Condition, where: str) -> bool:
    """Whether a condition with its references filled in is true.

    Raises:
        JobError: an order is asked for between texts that are no numbers.
    """
    left, right = condition.left, condition.right
    if condition.op in ("EQUAL_TO", "NOT_EQUAL"):
        return (left == right) == (condition.op == "EQUAL_TO")
    try:
        x, y = float(left), float(right)
    except ValueError as error:
        what = f"{condition.op} compares numbers, and was given {left!r} and {right!r}."
        raise JobError(what, where=where, hint="compare numbers, or use EQUAL_TO") from error
    return {
        "GREATER_THAN": x > y,
        "GREATER_THAN_OR_EQUAL": x >= y,
        "LESS_THAN": x < y,
        "LESS_THAN_OR_EQUAL": x <= y,
    }[condition.op]
