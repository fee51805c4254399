"""Scarce actions fit their capacity."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.deciding.capacity import within_capacity
from policies.errors import CapacityError

ALL = np.ones((2, 3), dtype=bool)


def test_scales_what_is_above_the_floor() -> None:
    """One factor on the mass above the floor, and what it frees is shared in proportion.

    Action 2 has .5 + .9 = 1.4 for a capacity of .8 at floor .1, so theta = (.8 - .2) / 1.2 = .5:
    it keeps .3 and .5; the freed .2 goes 3:2 in the first row, the freed .4 1:0 in the second.
    """
    before = np.array([[0.3, 0.2, 0.5], [0.1, 0.0, 0.9]])
    result = within_capacity(before, ALL, {2: 0.8}, 0.1)
    assert np.allclose(result, [[0.42, 0.28, 0.3], [0.5, 0.0, 0.5]], atol=1e-12)


def test_leaves_what_fits() -> None:
    """Where nothing is scarce the distribution is returned bit for bit, in an array of its own."""
    before = np.array([[0.3, 0.2, 0.5], [0.1, 0.0, 0.9]])
    result = within_capacity(before, ALL, {2: 1.4}, 0.0)
    assert np.array_equal(result, before)
    assert result is not before


def test_overflow_does_not_flood_another_scarce_action() -> None:
    """What one scarce action frees never pushes a second one over its own capacity."""
    before = np.array([[0.1, 0.0, 0.9], [0.1, 0.0, 0.9]])
    result = within_capacity(before, ALL, {2: 0.4, 0: 0.5}, 0.0)
    assert np.allclose(result.sum(axis=0), [0.5, 1.1, 0.4])


def test_refuses_a_floor_that_does_not_fit() -> None:
    """Floors, and rows without another choice, that exceed the capacity alone are refused."""
    with pytest.raises(CapacityError, match="needs 0.4 a day of a capacity of 0.3"):
        within_capacity(np.full((2, 3), 1 / 3), ALL, {1: 0.3}, 0.2)
    forced = np.array([[True, True, True], [False, True, False]])
    with pytest.raises(CapacityError, match="needs 1.0 a day"):
        within_capacity(np.array([[1, 0, 0], [0, 1, 0]], dtype=float), forced, {1: 0.9}, 0.0)


def test_refuses_rows_with_nothing_else() -> None:
    """Rows whose every action is at capacity cannot be served."""
    with pytest.raises(CapacityError, match="only actions that are at capacity"):
        within_capacity(np.full((2, 3), 1 / 3), ALL, {0: 0.1, 1: 0.1, 2: 0.1}, 0.0)


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    shares=st.tuples(*[st.floats(0.02, 1.2)] * 2),
    floor=st.sampled_from([0.0, 0.01, 0.05]),
)
def test_holds_capacity_and_floor(seed: int, shares: tuple[float, float], floor: float) -> None:
    """Counts fit, rows sum to 1, floors hold, and nothing appears off the eligible set."""
    rng = np.random.default_rng(seed)
    eligible = rng.random((30, 4)) < 0.7
    eligible[:, 0] = True
    many = eligible.sum(axis=1, keepdims=True)
    before = np.where(eligible, rng.random((30, 4)), 0.0)
    before = eligible * floor + (1 - many * floor) * before / before.sum(axis=1, keepdims=True)
    before[many[:, 0] == 1] = eligible[many[:, 0] == 1]
    limits = {
        2: floor * eligible[:, 2].sum() + shares[0] * 5,
        3: floor * eligible[:, 3].sum() + shares[1] * 5,
    }
    result = within_capacity(before, eligible, limits, floor)
    assert all(result[:, column].sum() <= limit * (1 + 1e-6) for column, limit in limits.items())
    assert np.allclose(result.sum(axis=1), 1, atol=1e-9)
    assert (result[~eligible] == 0).all()
    assert (result >= np.where(eligible, floor, 0) - 1e-12).all()
