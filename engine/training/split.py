"""Which matured days fit, which select, and which are kept for the gate."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from engine.errors import JobError
from engine.settings import Training
from policies import LoggedDecisions
from policies.learning.reading import Logs, joined

SELECT_ROWS = 1_000_000  # that selection values recipes on, at most: all of them in memory


@dataclass(frozen=True)
class Rows:
    """Those rows of a log for which `keep` holds, part by part; can be read again and again."""

    parts: Iterable[LoggedDecisions]
    keep: Callable[[LoggedDecisions], np.ndarray]

    def __iter__(self) -> Iterator[LoggedDecisions]:
        """The parts that have such rows, without the others."""
        for part in self.parts:
            kept = self.keep(part)
            if kept.any():
                yield part if kept.all() else part[kept]


@dataclass(frozen=True)
class Span:
    """Days of a use, first and last, and how many rows they have."""

    first: dt.date
    last: dt.date
    rows: int


@dataclass(frozen=True)
class Split:
    """Rows by use; `cut` is the first day whose decisions the gate may score.

    Everything in `fit`, `select` and `known` (both) had matured by `cut`, so a model made of it is
    fixed before any decision of `cut` or later was taken. `select` is thinned evenly where it has
    more than a million rows.
    """

    fit: Logs
    select: LoggedDecisions
    known: Logs
    cut: dt.date
    fit_span: Span
    select_span: Span


def split_days(log: Logs, settings: Training) -> Split:
    """Earliest days fit, later ones select, the last `reserve_days` matured days stay unseen.

    Args:
        log: matured decisions with their dates, or their parts.
        settings: how many days to reserve, and which share of the earlier ones fits.

    Raises:
        JobError: there are too few matured days.
    """
    parts = [log] if isinstance(log, LoggedDecisions) else log
    calendar = _calendar(parts)
    days = np.unique(calendar["day"])
    if not len(days):
        raise JobError("No decision has matured yet.", hint="wait for rewards to mature")
    cut = days[-settings.reserve_days] if len(days) > settings.reserve_days else days[0]
    matured = calendar[calendar["known"] <= cut]
    known = np.unique(matured["day"])
    if len(known) < 2:
        raise JobError(
            f"The log has {len(days)} matured days, too few to fit, select and judge apart.",
            where="rewarded_decisions",
            hint=f"wait for more days, or lower training.reserve_days ({settings.reserve_days})",
        )
    n_fit = min(max(round(settings.fit_share * len(known)), 1), len(known) - 1)
    first = known[n_fit]
    early = matured["day"] < first
    return Split(
        fit=Rows(parts, lambda part: part.matured_before(cut) & (_dates(part) < first)),
        select=joined(
            Rows(parts, lambda part: part.matured_before(cut) & (_dates(part) >= first)),
            SELECT_ROWS,
        ),
        known=Rows(parts, lambda part: part.matured_before(cut)),
        cut=cut.astype(object),
        fit_span=_span(matured[early]),
        select_span=_span(matured[~early]),
    )


def _calendar(parts: Iterable[LoggedDecisions]) -> np.ndarray:
    """Rows by decision day and by the day they were known: a record array of day, known, rows."""
    found: Counter[tuple[np.datetime64, np.datetime64]] = Counter()
    for part in parts:
        dates = _dates(part)
        known = dates + 1 if part.matured_on is None else part.matured_on
        pairs, rows = np.unique(np.stack([dates, known]), axis=1, return_counts=True)
        found.update(dict(zip(map(tuple, pairs.T), rows.tolist())))
    kinds = [("day", "datetime64[D]"), ("known", "datetime64[D]"), ("rows", np.int64)]
    return np.array([(*pair, rows) for pair, rows in found.items()], dtype=kinds)


def _dates(part: LoggedDecisions) -> np.ndarray:
    assert part.decision_date is not None
    return part.decision_date


def _span(rows: np.ndarray) -> Span:
    first, last = rows["day"].min(), rows["day"].max()
    return Span(first.astype(object), last.astype(object), int(rows["rows"].sum()))
