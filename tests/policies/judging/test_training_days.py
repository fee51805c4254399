"""Days by use: fit first, select next, judge last, with rewards matured in between."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pytest

from policies import LoggedDecisions
from policies.errors import LearningError
from policies.judging.training_days import Span, Split, split_days
from policies.learning.reading import Logs, joined

START = np.datetime64("2026-03-01")


def log_of(days: int, matures_after: int = 4) -> LoggedDecisions:
    """Three rows a day."""
    dates = START + np.repeat(np.arange(days), 3)
    n = len(dates)
    return LoggedDecisions(
        ("a", "b"),
        np.zeros(n, dtype=np.int64),
        np.full(n, 0.5),
        np.zeros(n),
        decision_date=dates,
        matured_on=dates + matures_after,
    )


def days(logs: Logs) -> list[int]:
    """The days of a log, counted from the first."""
    log = joined(logs)
    assert log.decision_date is not None
    return sorted({int(day) for day in (log.decision_date - START).astype(int)})


def split(n_days: int, reserve: int, share: float = 0.5, matures_after: int = 4) -> Split:
    """The split of a log with so many days."""
    return split_days(log_of(n_days, matures_after), reserve_days=reserve, fit_share=share)


def test_days_go_to_one_use_each() -> None:
    """The last days are reserved; of those matured by then the early ones fit, the rest selects."""
    found = split(20, reserve=5)
    assert found.cut == dt.date(2026, 3, 16)
    assert days(found.fit) == [0, 1, 2, 3, 4, 5]
    assert days(found.select) == [6, 7, 8, 9, 10, 11]  # day 12 matures on the 17th


def test_parts_are_split_as_the_whole_is() -> None:
    """A log in parts goes to the same uses as in one piece, and its spans count its rows."""
    log = log_of(20)
    found = split_days([log[:7], log[7:8], log[8:]], reserve_days=5, fit_share=0.5)
    assert days(found.fit) == [0, 1, 2, 3, 4, 5]
    assert days(found.select) == [6, 7, 8, 9, 10, 11]
    assert days(found.known) == list(range(12))
    assert found.fit_span == Span(dt.date(2026, 3, 1), dt.date(2026, 3, 6), 18)
    assert found.select_span == Span(dt.date(2026, 3, 7), dt.date(2026, 3, 12), 18)


def test_rewards_that_mature_later_are_not_used_earlier() -> None:
    """The days just before the reserved ones are used by nobody while their reward is open."""
    found = split(20, reserve=5, matures_after=1)
    assert days(found.fit) + days(found.select) == list(range(15))


@pytest.mark.parametrize(("share", "fit"), [(0.01, 1), (0.65, 8), (0.99, 11)])
def test_each_use_gets_a_day(share: float, fit: int) -> None:
    """Whatever the share, at least one day fits and at least one selects."""
    found = split(20, reserve=5, share=share)
    assert (len(days(found.fit)), len(days(found.select))) == (fit, 12 - fit)


@pytest.mark.parametrize(("n_days", "reserve"), [(0, 5), (9, 5), (3, 5)])
def test_too_few_days_are_an_error(n_days: int, reserve: int) -> None:
    """A log too short to keep the uses apart says so, and what to do."""
    with pytest.raises(LearningError) as caught:
        split(n_days, reserve)
    assert "wait" in str(caught.value.hint)


def test_selection_is_thinned_and_fitting_is_not() -> None:
    """Rows that select are thinned evenly to a limit; spans and fitting count all rows."""
    found = split_days(log_of(20), reserve_days=5, fit_share=0.5, select_rows=9)
    assert (len(found.select), found.select_span.rows) == (9, 18)
    assert days(found.select) == [6, 7, 8, 9, 10, 11]
    assert len(joined(found.fit)) == 18


def test_the_shortest_log_that_can_be_split() -> None:
    """Two days matured before the reserved ones are enough."""
    found = split(10, reserve=5)
    assert (days(found.fit), days(found.select)) == ([0], [1])
