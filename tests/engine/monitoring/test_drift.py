"""Drift: the population stability index, on numbers, text and what is missing."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from engine.monitoring.drift import drift_rows, psi


def normal(seed: int, n: int = 20_000, mean: float = 0.0) -> pd.Series:
    """n normal numbers."""
    return pd.Series(np.random.default_rng(seed).normal(mean, 1, n))


def test_by_hand() -> None:
    """Shares .5/.5 against .8/.2 give .3·ln(1.6) - .3·ln(.4)."""
    old, new = pd.Series(["a", "b"] * 50), pd.Series(["a"] * 80 + ["b"] * 20)
    assert psi(old, new) == pytest.approx(0.3 * np.log(1.6) - 0.3 * np.log(0.4))


def test_the_same_population_is_stable_and_a_shifted_one_is_not() -> None:
    """Another sample of the same numbers stays below .01, half a deviation goes beyond .2."""
    assert psi(normal(1), normal(2)) < 0.01
    assert psi(normal(1), normal(2, mean=0.5)) > 0.2


def test_a_normal_shift_has_its_divergence() -> None:
    """With many bins' worth of data the index nears the symmetric divergence, mean squared."""
    found = psi(normal(1, 200_000), normal(2, 200_000, mean=0.3))
    assert found == pytest.approx(0.3**2, rel=0.1)


@pytest.mark.parametrize("values", [normal(1, 100), pd.Series(["a", "b"] * 50)])
def test_missing_values_are_a_bin_of_their_own(values: pd.Series) -> None:
    """Half of the values going missing is a change, in numbers as in text."""
    gone = values.copy()
    gone[::2] = None
    assert psi(values, gone) > 0.2
    assert psi(gone, gone) == 0


def test_counts_with_few_values_and_constants() -> None:
    """Repeated quantiles and a constant column are no trouble; a new constant is a change."""
    counts = pd.Series(np.random.default_rng(3).poisson(0.2, 5_000))
    assert psi(counts, counts) == 0
    assert psi(counts, pd.Series(np.random.default_rng(4).poisson(2.0, 5_000))) > 0.2
    assert psi(pd.Series([1.0] * 50), pd.Series([1.0] * 20)) == 0
    assert psi(pd.Series([1.0] * 50), pd.Series([2.0] * 20)) > 0.2


@pytest.mark.parametrize("rare", [0, 1])
def test_a_rare_value_that_becomes_common_is_a_change(rare: int) -> None:
    """Where most values are equal, those below them are told apart as well as those above."""
    old = pd.Series([rare] * 5 + [1 - rare] * 95)
    assert psi(old, pd.Series([rare] * 50 + [1 - rare] * 50)) > 0.2
    assert psi(pd.Series([1.0] * 50), pd.Series([0.5] * 20)) > 0.2


def test_levels_that_are_new_or_gone_count() -> None:
    """A level that only one side has raises the index instead of failing."""
    assert psi(pd.Series(["a"] * 50), pd.Series(["a"] * 25 + ["z"] * 25)) > 0.2


def test_one_row_a_feature() -> None:
    """Each feature gets its value, the threshold, and whether it changed."""
    old = pd.DataFrame({"x": normal(1, 500), "plan": ["basic", "plus"] * 250})
    rows = drift_rows(old, old.assign(x=old["x"] + 3), threshold=0.2).set_index("subject")
    assert list(rows["status"]) == ["changed", "stable"]
    assert set(rows["threshold"]) == {0.2}
    assert rows.loc["plan", "value"] == 0
