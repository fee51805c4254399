"""A drop of a paired difference is noticed, dated, and not imagined."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import numpy as np
import pytest

from policies.errors import EvaluationError
from policies.judging.change_detection import noticed_drop
from policies.sequences.days import DaySums, Side

START, ROWS, SD = dt.date(2026, 1, 1), 2_000, 0.45


def days_of(means: np.ndarray, seed: int) -> list[DaySums]:
    """Day sums of differences with these means per row and a standard deviation of .45."""
    rng = np.random.default_rng(seed)
    found = []
    for number, mean in enumerate(means):
        values = rng.normal(mean, SD, ROWS)
        total, square = float(values.sum()), float(values @ values)
        side = Side(total, square, 1.0)
        names = ("reward", "reward_square", "residual", "spread", "centre")
        sums = {"total": total, "square": square, **dict.fromkeys(names, 0.0)}
        day = DaySums(
            decision_date=START + dt.timedelta(days=number),
            n=ROWS,
            n_choice=ROWS,
            n_differing=ROWS,
            weight=1.0,
            weight_square=1.0,
            low=side,
            high=side,
            **sums,
        )
        found.append(day)
    return found


def test_a_drop_is_noticed_within_days_and_dated() -> None:
    """A lead of .03 that turns into -.03 after 40 days is noticed within 5, to about the day."""
    means = np.repeat([0.03, -0.03], [40, 10])
    for seed in range(20):
        days = days_of(means, seed)
        looks = [n for n in range(1, 51) if noticed_drop(days[:n], 0.01) is not None]
        assert 41 <= looks[0] <= 45
        drop = noticed_drop(days, 0.01)
        assert drop is not None
        assert abs((drop.since - START).days - 40) <= 2
        assert drop.before == pytest.approx(0.03, abs=0.006)
        assert drop.after == pytest.approx(-0.03, abs=0.015)
        assert drop.std_errors > 5


def test_nothing_is_noticed_where_nothing_changes() -> None:
    """In 150 steady streams of 60 daily looks there is no alarm, and none for a rise."""
    for seed in range(150):
        days = days_of(np.full(60, 0.01), seed)
        assert all(noticed_drop(days[:n]) is None for n in range(1, 61, 3))
    rising = days_of(np.repeat([0.0, 0.05], 30), 0)
    assert noticed_drop(rising) is None


def test_small_drops_and_short_pasts_are_left_alone() -> None:
    """A drop below what matters, or before a week has passed, raises no alarm."""
    days = days_of(np.repeat([0.04, 0.01], [20, 20]), 1)
    assert noticed_drop(days, 0.01) is not None
    assert noticed_drop(days, 0.05) is None
    assert noticed_drop(days_of(np.repeat([0.1, -0.1], [3, 3]), 1)) is None
    assert noticed_drop([]) is None


def test_a_drop_needs_dates() -> None:
    """Days without a date cannot date a drop."""
    [day] = days_of(np.zeros(1), 0)
    with pytest.raises(EvaluationError, match="no date"):
        noticed_drop([replace(day, decision_date=None)])
