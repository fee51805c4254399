"""What a log teaches: its choice rows, surveyed once and then read in blocks of bounded size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any, Union

import numpy as np
import numpy.typing as npt
import pandas as pd

from policies.errors import LearningError
from policies.log import Bools, Floats, Ints, LoggedDecisions

BLOCK = 20_000  # rows whose text is in memory at once
FEW_ACTIONS = 50  # of more actions, fewer rows are in memory at once
SAMPLE = 200_000  # rows that an encoder is fitted on, at most

Logs = Union[LoggedDecisions, Iterable[LoggedDecisions]]


@dataclass(frozen=True, eq=False)
class Block:
    """Some choice rows, in the log's order; fields as in LoggedDecisions.

    `before` is how many choice rows of the log came before these.
    """

    before: int
    contexts: pd.DataFrame
    action: Ints
    action_probability: Floats
    reward: Floats
    eligible: Bools
    decision_date: npt.NDArray[np.datetime64] | None


@dataclass(frozen=True, eq=False)
class Survey:
    """What must be known of a whole log before its first row is learned from.

    Attributes:
        contexts: an evenly spaced sample of at most 200,000 choice rows' contexts.
        low, high: ends of the declared reward range, else of the rewards seen.
        largest: the largest size of a reward seen.
        newest: the last decision date, where there are dates.
        same_size: whether every choice row had equally many eligible actions.
        taken: (k,) how many choice rows took each action.
    """

    contexts: pd.DataFrame
    low: float
    high: float
    largest: float
    newest: np.datetime64 | None
    same_size: bool
    taken: Ints


def blocks(logs: Logs, action_ids: Sequence[str]) -> Iterator[Block]:
    """The choice rows of a log, or of its parts one after the other.

    Raises:
        LearningError: a part has other actions, or no contexts.
    """
    before = 0
    for log in _parts(logs):
        _check(log, action_ids)
        contexts = log.contexts
        assert contexts is not None  # _check saw to it
        size = max(1, BLOCK * FEW_ACTIONS // max(FEW_ACTIONS, len(action_ids)))
        for start in range(0, len(log), size):
            rows = slice(start, start + size)
            choice = log.choice[rows]
            kept = rows if choice.all() else start + np.flatnonzero(choice)
            action = log.action[kept]
            yield Block(
                before,
                contexts.iloc[kept],
                action,
                log.action_probability[kept],
                log.reward[kept],
                log.eligible[kept],
                None if log.decision_date is None else log.decision_date[kept],
            )
            before += len(action)


def survey(logs: Logs, action_ids: Sequence[str], *, afresh: bool = True) -> Survey:
    """Look once through a log that is to be learned from.

    Args:
        logs: a log, or its parts in order: anything that can be iterated over more than once.
        action_ids: those of the policy.
        afresh: whether nothing was learned before; then one action or one reward teaches nothing.

    Raises:
        LearningError: nothing can be learned from the log; it says why.
    """
    sample, taken, sizes = _Sample(), np.zeros(len(action_ids), dtype=np.int64), set()
    rows, low, high, newest = 0, np.inf, -np.inf, None
    declared = None
    for log in _parts(logs):
        _check(log, action_ids)
        rows, declared = rows + len(log), declared or log.reward_range
        for block in blocks(log, action_ids):
            sample.add(block.contexts)
            taken += np.bincount(block.action, minlength=len(taken))
            sizes.update(np.unique(block.eligible.sum(axis=1)).tolist())
            low = min(low, float(block.reward.min(initial=np.inf)))
            high = max(high, float(block.reward.max(initial=-np.inf)))
            if block.decision_date is not None and len(block.decision_date):
                last = block.decision_date.max()
                newest = last if newest is None else max(newest, last)
    _require_rows(rows, taken)
    if afresh:
        _require_variety(taken, action_ids, low, high)
    low_end, high_end = declared or (low, high)
    largest = max(abs(low), abs(high))
    return Survey(sample.frame(), low_end, high_end, largest, newest, len(sizes) == 1, taken)


def joined(logs: Logs, most: int | None = None) -> LoggedDecisions:
    """The parts of a log as one, thinned evenly where it has more than `most` rows.

    Raises:
        LearningError: there are no rows.
    """
    parts = list(_parts(logs)) if most is None else _thinned(logs, most)
    if not parts:
        raise LearningError("the log is empty", hint="wait until rewards have matured")
    if len(parts) == 1:
        return parts[0]
    columns: dict[str, Any] = {}
    for each in fields(LoggedDecisions):
        values = [getattr(part, each.name) for part in parts]
        columns[each.name] = values[0]
        if isinstance(values[0], np.ndarray):
            columns[each.name] = np.concatenate(values)
        elif isinstance(values[0], pd.DataFrame):
            columns[each.name] = pd.concat(values, ignore_index=True)
    return LoggedDecisions(**columns)


def _thinned(logs: Logs, most: int) -> list[LoggedDecisions]:
    """Every s-th row of each part, s the least whole number that leaves at most `most` rows."""
    rows = sum(len(part) for part in _parts(logs))
    step, seen, kept = max(1, -(-rows // most)), 0, []
    for part in _parts(logs):
        kept.append(part if step == 1 else part[slice(-seen % step, None, step)])
        seen += len(part)
    return [part for part in kept if len(part)]


class _Sample:
    """Every s-th row of a stream, s the least power of 2 that leaves at most SAMPLE rows."""

    def __init__(self) -> None:
        self.kept: list[pd.DataFrame] = []
        self.step, self.seen = 1, 0

    def add(self, frame: pd.DataFrame) -> None:
        """Take the rows that are due; how the stream is cut does not matter."""
        self.kept.append(frame.iloc[-self.seen % self.step :: self.step])
        self.seen += len(frame)
        while self.seen > SAMPLE * self.step:
            self.step *= 2
            self.kept = [self.frame().iloc[::2]]

    def frame(self) -> pd.DataFrame:
        """The sample so far."""
        return pd.concat(self.kept, ignore_index=True) if len(self.kept) > 1 else self.kept[0]


def _parts(logs: Logs) -> Iterable[LoggedDecisions]:
    if isinstance(logs, LoggedDecisions):
        return [logs]
    if isinstance(logs, Iterator):
        raise LearningError(
            "the parts of a log are read more than once, and an iterator is spent after once",
            hint="pass a list of logs, or an object whose __iter__ starts anew",
        )
    if isinstance(logs, pd.DataFrame) or not isinstance(logs, Iterable):
        raise _no_log(logs)
    return logs


def _no_log(given: object) -> LearningError:
    return LearningError(
        f"a policy learns from LoggedDecisions, not from a {type(given).__name__}",
        hint="LoggedDecisions.from_frame(frame, …) makes one",
    )


def _check(log: LoggedDecisions, action_ids: Sequence[str]) -> None:
    if not isinstance(log, LoggedDecisions):
        raise _no_log(log)
    if tuple(log.action_ids) != tuple(action_ids):
        raise LearningError(
            f"the log's actions {list(log.action_ids)} are not the policy's {list(action_ids)}",
            hint="make the policy with the log's action_ids, in their order",
        )
    if log.probabilities == "unknown":
        raise LearningError(
            "the log has no action probabilities",
            hint="estimate them: log = estimate_probabilities(log)",
        )
    if log.contexts is None:
        raise LearningError("the log has no contexts", hint="give it contexts, a row a decision")


def _require_rows(rows: int, taken: Ints) -> None:
    """Raise LearningError unless there was a choice row."""
    if not rows:
        raise LearningError("the log is empty", hint="wait until rewards have matured")
    if not taken.any():
        raise LearningError(
            f"none of the log's {rows} rows had a choice",
            hint="a row teaches only where at least two actions were eligible",
        )


def _require_variety(taken: Ints, action_ids: Sequence[str], low: float, high: float) -> None:
    """Raise LearningError unless several actions and several rewards were seen in choice rows."""
    if np.count_nonzero(taken) < 2:
        raise LearningError(
            f"every choice row took the one action {action_ids[int(taken.argmax())]!r}",
            hint="log with some exploration, so that actions can be told apart",
        )
    if low == high:
        raise LearningError(
            f"every choice row has the same reward {low:g}",
            hint="check the reward's definition, or wait for more rows",
        )
