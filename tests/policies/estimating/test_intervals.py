"""Intervals: errors by brute force, coverage, and the mixture against numerical integration."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from policies.estimating import intervals
from policies.estimating.sums import Customers, Parts, Sums


def by(ids: np.ndarray) -> Customers:
    """Customers as `LoggedDecisions.customers` gives them."""
    codes, seen = pd.factorize(ids)
    return codes, len(seen)


def around(values: np.ndarray, customers: Customers | None = None) -> tuple[float, float]:
    """The 95 % normal interval around the mean of some values."""
    error = Sums.of(Parts(values), customers).std_error
    return intervals.normal(float(values.mean()), error, 0.95)


def test_coverage_with_repeated_customers() -> None:
    """Normal and bootstrap intervals by customer cover 95 % where rows of a customer are alike."""
    hits = {"normal": 0, "bootstrap": 0, "by row": 0}
    rng = np.random.default_rng(1)
    for seed in range(300):
        ids = rng.integers(0, 150, 600)
        values = rng.normal(size=150)[ids] + rng.normal(size=600)
        found = {
            "normal": around(values, by(ids)),
            "bootstrap": intervals.bootstrap(values, 0.95, by(ids), draws=300, seed=seed),
            "by row": around(values),
        }
        for name, (low, high) in found.items():
            hits[name] += low <= 0 <= high
    assert 0.90 <= hits["normal"] / 300 <= 0.98
    assert 0.90 <= hits["bootstrap"] / 300 <= 0.98
    assert hits["by row"] / 300 < 0.85


def test_bootstrap_is_seeded_and_works_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A seed gives the same interval again, also when its draws do not fit in one block."""
    values = np.random.default_rng(0).normal(size=200)
    whole = intervals.bootstrap(values, 0.9, seed=3)
    assert whole == intervals.bootstrap(values, 0.9, seed=3)
    assert whole != intervals.bootstrap(values, 0.9, seed=4)
    monkeypatch.setattr(intervals, "_BLOCK", 700)
    assert intervals.bootstrap(values, 0.9, seed=3) == pytest.approx(whole)


def test_bernstein_covers_rare_rewards() -> None:
    """The empirical Bernstein interval covers in at least 95 % where the normal one does not."""
    rng, hits, normal = np.random.default_rng(0), 0, 0
    for _ in range(1_000):
        values = 20.0 * (rng.random(200) < 0.0015)
        low, high = intervals.bernstein(values, 0.95, 20.0)
        hits += low <= 0.03 <= high
        low, high = around(values)
        normal += low <= 0.03 <= high
    assert hits >= 950 > normal
    assert intervals.bernstein(np.ones(1), 0.95, 1.0) == (-math.inf, math.inf)


def test_bernstein_by_hand() -> None:
    """The half width is Maurer and Pontil's."""
    values = np.array([0.0, 1.0, 1.0, 0.0])
    low, high = intervals.bernstein(values, 0.9, 1.0)
    logs = math.log(40)
    assert (high - low) / 2 == pytest.approx(math.sqrt(2 / 3 * logs / 4) + 7 * logs / 9)
    assert (high + low) / 2 == pytest.approx(0.5)
