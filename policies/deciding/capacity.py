"""Scarce actions: a distribution re-weighted until its expected counts fit the day's capacity."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from policies.errors import CapacityError
from policies.log import Bools, Floats

_SLACK = 1e-9  # relative: counts are sums of rounded probabilities


def within_capacity(
    distribution: Floats, eligible: Bools, capacity: Mapping[int, float], floor: ArrayLike
) -> Floats:
    """Scale scarce actions down until sum over rows of P(action) <= capacity.

    p' = floor + theta_a (p - floor) with one factor theta_a per scarce action (its price); what a
    row frees goes to its other eligible actions in proportion, never to one already at capacity.

    Args:
        distribution: (n, k) with every eligible action of a choice row at least at the floor.
        eligible: (n, k) bool.
        capacity: column of a scarce action -> the most that may be expected that day.
        floor: probability below which nothing is scaled, a number or (n, 1).

    Returns:
        (n, k): rows still sum to 1; unchanged where nothing was scarce.

    Raises:
        CapacityError: the floor and rows without another choice exceed a capacity by themselves,
            or a row has no action left that is not at capacity.
    """
    choice = np.count_nonzero(eligible, axis=1, keepdims=True) > 1
    fixed = np.where(eligible, np.where(choice, np.asarray(floor, dtype=np.float64), 1.0), 0.0)
    for column, limit in capacity.items():
        least = fixed[:, column].sum()
        if least > limit * (1 + _SLACK):
            raise CapacityError(
                f"the floor alone needs {least:.1f} a day of a capacity of {limit:g}",
                where=f"column {column}",
                hint="lower the floor, raise the capacity, or narrow who is eligible",
            )
    result = np.array(distribution, dtype=np.float64)
    open_to = eligible.copy()
    while True:
        counts = result.sum(axis=0)
        full = [column for column in capacity if counts[column] > capacity[column] * (1 + _SLACK)]
        over = [column for column in full if open_to[:, column].any()]
        if not over:
            return result
        open_to[:, over] = False
        freed = np.zeros(len(result))
        for column in over:
            above = result[:, column] - fixed[:, column]
            theta = max(capacity[column] - fixed[:, column].sum(), 0.0) / above.sum()
            freed += (1 - theta) * above
            result[:, column] -= (1 - theta) * above
        result += freed[:, None] * _shares(result, open_to, freed > 0)


def _shares(result: Floats, open_to: Bools, rows: Bools) -> Floats:
    """How a row's freed mass is shared among its actions that still have room; 0 off `rows`."""
    if not open_to[rows].any(axis=1).all():
        raise CapacityError(
            "some customers have only actions that are at capacity",
            hint="keep one action without a capacity in every eligible set",
        )
    weights = np.where(open_to, result, 0.0)
    empty = rows & (weights.sum(axis=1) == 0)
    weights[empty] = open_to[empty]
    total = weights.sum(axis=1)
    return np.where(rows, 1 / np.where(total > 0, total, 1.0), 0.0)[:, None] * weights
