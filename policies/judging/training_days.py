"""Which matured days of a log fit, which select, and which are reserved for the gate."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from policies.errors import TooFewDaysError
from policies.learning.reading import joined
from policies.log import Bools, Dates, LoggedDecisions, Logs

SELECT_ROWS = 1_000_000  # that selection values recipes on, at most: all of them in memory


@dataclass(frozen=True)
class Rows:
    """The rows of a log for which `keep` holds, part by part; can be read again and again."""

    parts: Iterable[LoggedDecisions]
    keep: Callable[[LoggedDecisions], Bools]

    def __iter__(self) -> Iterator[LoggedDecisions]:
        """The parts that have such rows, without the other rows."""
        for part in self.parts:
            rows = self.keep(part)
            if rows.any():
                yield part if rows.all() else part[rows]


@dataclass(frozen=True)
class Span:
    """First and last day of a use, and how many rows they have."""

    first: dt.date
    last: dt.date
    rows: int


@dataclass(frozen=True)
class Split:
    """Rows by use.

    Args:
        fit, select: what fits recipes and what selects among them; `select` is thinned evenly where
            it has too many rows.
        known: both together. All of it had matured by `cut`, so a model of it is fixed before any
            decision of `cut` or later was taken.
        cut: the first day whose decisions the gate may score.
        fit_span, select_span: the days of `fit` and of `select`, before thinning.
    """

    fit: Logs
    select: LoggedDecisions
    known: Logs
    cut: dt.date
    fit_span: Span
    select_span: Span


def split_days(
    log: Logs, *, reserve_days: int, fit_share: float, select_rows: int = SELECT_ROWS
) -> Split:
    """Earliest days fit, later ones select, the last `reserve_days` matured days stay unseen.

    Args:
        log: matured decisions with their dates, or their parts.
        reserve_days: how many of the newest matured days are left to the gate, at least 1.
        fit_share: share of the days known by then that fits; at least a day fits and one selects.
        select_rows: that `select` has at most.

    Raises:
        TooFewDaysError: there are too few matured days.
    """
    parts = [log] if isinstance(log, LoggedDecisions) else log
    calendar = _calendar(parts)
    days = np.unique(calendar["day"])
    if not len(days):
        raise TooFewDaysError("No decision has matured yet.", hint="wait for rewards to mature")
    cut = days[-reserve_days] if len(days) > reserve_days else days[0]
    matured = calendar[calendar["known"] <= cut]
    known = np.unique(matured["day"])
    if len(known) < 2:
        what = f"The log has {len(days)} matured days, too few to fit, select and judge apart."
        hint = f"wait for more days, or lower training.reserve_days ({reserve_days})"
        raise TooFewDaysError(what, where="rewarded_decisions", hint=hint)
    n_fit = min(max(round(fit_share * len(known)), 1), len(known) - 1)
    first = known[n_fit]
    early = matured["day"] < first
    selecting = Rows(parts, lambda part: part.matured_before(cut) & (_days(part) >= first))
    return Split(
        fit=Rows(parts, lambda part: part.matured_before(cut) & (_days(part) < first)),
        select=joined(selecting, select_rows),
        known=Rows(parts, lambda part: part.matured_before(cut)),
        cut=cut.astype(object),
        fit_span=_span(matured[early]),
        select_span=_span(matured[~early]),
    )


def _calendar(parts: Iterable[LoggedDecisions]) -> np.ndarray[Any, Any]:
    """Rows by decision day and by the day they were known: a record array of day, known, rows."""
    counts: Counter[tuple[np.datetime64, np.datetime64]] = Counter()
    for part in parts:
        dates = np.stack([_days(part), part.known_on])
        pairs, rows = np.unique(dates, axis=1, return_counts=True)
        counts.update(dict(zip(map(tuple, pairs.T), rows.tolist())))
    kinds = [("day", "datetime64[D]"), ("known", "datetime64[D]"), ("rows", np.int64)]
    return np.array([(*pair, rows) for pair, rows in counts.items()], dtype=kinds)


def _days(part: LoggedDecisions) -> Dates:
    return np.asarray(part.decision_date)


def _span(rows: np.ndarray[Any, Any]) -> Span:
    days = rows["day"]
    return Span(days.min().item(), days.max().item(), int(rows["rows"].sum()))
