"""Reads a log's training rows in bounded blocks, after one pass for counts and ranges."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pandas as pd

from policies.errors import LearningError
from policies.log import Ints, LoggedDecisions, Logs

BLOCK = 20_000  # rows whose text is in memory at once
FEW_ACTIONS = 50  # of more actions, fewer rows are in memory at once
SAMPLE = 200_000  # rows that an encoder is fitted on, at most


@dataclass(frozen=True, eq=False)
class Survey:
    """Counts and ranges of a whole log, needed before its first row is learned from.

    Attributes:
        contexts: an evenly spaced sample of at most 200,000 choice rows' contexts.
        low, high: ends of the declared reward range, else of the rewards seen.
        largest: the largest absolute reward seen.
        newest: the last decision date, where there are dates.
        same_size: whether every choice row had equally many eligible actions.
        counts: (k,) how many choice rows have each action.
    """

    contexts: pd.DataFrame
    low: float
    high: float
    largest: float
    newest: np.datetime64 | None
    same_size: bool
    counts: Ints


def blocks(logs: Logs, action_ids: Sequence[str]) -> Iterator[tuple[int, LoggedDecisions]]:
    """The choice rows of a log, or of its parts, in blocks; with each how many came before it.

    Raises:
        LearningError: a part has other actions, no contexts or no action probabilities.
    """
    before = 0
    size = max(1, BLOCK * FEW_ACTIONS // max(FEW_ACTIONS, len(action_ids)))
    for log in _parts(logs):
        _check(log, action_ids)
        for start in range(0, len(log), size):
            rows: Any = slice(start, start + size)
            choice = log.choice[rows]
            if not choice.all():
                rows = start + np.flatnonzero(choice)
            if choice.any():
                yield before, log.part(rows)
            before += int(np.count_nonzero(choice))


def survey(logs: Logs, action_ids: Sequence[str], *, afresh: bool = True) -> Survey:
    """One pass through a log that is to be learned from.

    Args:
        logs: a log, or its parts in order: anything that can be iterated over more than once.
        action_ids: those of the policy.
        afresh: whether nothing was learned before; then one action or one reward teaches nothing.

    Raises:
        LearningError: nothing can be learned from the log; it says why.
    """
    sample, counts = _Sample(), np.zeros(len(action_ids), dtype=np.int64)
    sizes: set[int] = set()
    low, high, newest, declared = np.inf, -np.inf, None, None
    for _, block in blocks(logs, action_ids):
        assert block.contexts is not None  # `blocks` has checked it
        sample.add(block.contexts)
        declared = declared or block.reward_range
        counts += np.bincount(block.action, minlength=len(counts))
        sizes.update(np.unique(block.eligible.sum(axis=1)).tolist())
        low, high = min(low, block.reward.min()), max(high, block.reward.max())
        if block.decision_date is not None:
            last = block.decision_date.max()
            newest = last if newest is None else max(newest, last)
    if not counts.any():
        rows = sum(len(part) for part in _parts(logs))
        if not rows:
            raise _empty()
        raise LearningError(
            f"none of the log's {rows} rows had a choice",
            hint="a row teaches only where at least two actions were eligible",
        )
    if afresh:
        _require_variety(counts, action_ids, low, high)
    ends, largest = declared or (low, high), max(abs(low), abs(high))
    return Survey(sample.frame(), *ends, largest, newest, len(sizes) == 1, counts)


def joined(logs: Logs, most: int | None = None) -> LoggedDecisions:
    """The parts of a log as one, thinned evenly where it has more than `most` rows.

    Raises:
        LearningError: there are no rows.
    """
    parts = list(_parts(logs)) if most is None else _thinned(logs, most)
    if not parts:
        raise _empty()
    if len(parts) == 1:
        return parts[0]
    names = [field.name for field in fields(LoggedDecisions)]
    return LoggedDecisions(
        **{name: _chained([getattr(part, name) for part in parts]) for name in names}
    )


def _chained(values: list[Any]) -> Any:
    """A field of several logs as one; what is no column is the first one's."""
    if isinstance(values[0], np.ndarray):
        return np.concatenate(values)
    if isinstance(values[0], pd.DataFrame):
        return pd.concat(values, ignore_index=True)
    return values[0]


def _thinned(logs: Logs, most: int) -> list[LoggedDecisions]:
    """Every s-th row of each part, s the least whole number that leaves at most `most` rows."""
    rows = sum(len(part) for part in _parts(logs))
    step, seen, thinned = max(1, math.ceil(rows / most)), 0, []
    for part in _parts(logs):
        thinned.append(part if step == 1 else part[slice(-seen % step, None, step)])
        seen += len(part)
    return [part for part in thinned if len(part)]


class _Sample:
    """Every s-th row of a stream, s the least power of 2 that leaves at most SAMPLE rows."""

    def __init__(self) -> None:
        self.frames: list[pd.DataFrame] = []
        self.step, self.seen = 1, 0

    def add(self, frame: pd.DataFrame) -> None:
        """Add every s-th row, counted from the stream's first row, wherever the stream is cut."""
        self.frames.append(frame.iloc[-self.seen % self.step :: self.step])
        self.seen += len(frame)
        while self.seen > SAMPLE * self.step:
            self.step *= 2
            self.frames = [self.frame().iloc[::2]]

    def frame(self) -> pd.DataFrame:
        """The sample so far."""
        return pd.concat(self.frames, ignore_index=True) if len(self.frames) > 1 else self.frames[0]


def _parts(logs: Any) -> Iterator[LoggedDecisions]:
    """The parts of a log in order; raises LearningError where one is none, or they are spent."""
    if isinstance(logs, Iterator):
        raise LearningError(
            "the parts of a log are read more than once, and an iterator is spent after once",
            hint="pass a list of logs, or an object whose __iter__ starts anew",
        )
    several = isinstance(logs, Iterable) and not isinstance(logs, pd.DataFrame)
    for log in logs if several else [logs]:
        if not isinstance(log, LoggedDecisions):
            raise LearningError(
                f"a policy learns from LoggedDecisions, not from a {type(log).__name__}",
                hint="LoggedDecisions.from_frame(frame, …) makes one",
            )
        yield log


def _check(log: LoggedDecisions, action_ids: Sequence[str]) -> None:
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


def _empty() -> LearningError:
    return LearningError("the log is empty", hint="wait until rewards have matured")


def _require_variety(counts: Ints, action_ids: Sequence[str], low: float, high: float) -> None:
    """Raise LearningError unless several actions and several rewards were seen in choice rows."""
    if np.count_nonzero(counts) < 2:
        raise LearningError(
            f"every choice row has the one action {action_ids[int(counts.argmax())]!r}",
            hint="log with some exploration, so that actions can be compared",
        )
    if low == high:
        raise LearningError(
            f"every choice row has the same reward {low:g}",
            hint="check the reward's definition, or wait for more rows",
        )
