"""How wrong probabilities may be: the closed form against brute force over factors."""

from __future__ import annotations

import numpy as np
import pytest

from policies.judging.sensitivity import sensitivity_gamma


def brute(direct: np.ndarray, random: np.ndarray, low: float, limit: float) -> float:
    """The largest factor of a grid at which the bound holds, from the rows themselves."""
    plain = direct + random
    best = 1.0
    for factor in np.linspace(1, 3, 20_001):
        worst = direct + np.minimum(random * factor, random / factor)
        if worst.mean() - (plain.mean() - low) * worst.std() / plain.std() > limit:
            best = factor
    return best


def test_the_closed_form_is_the_worst_case() -> None:
    """Seven sums give what trying every factor on every row gives."""
    rng = np.random.default_rng(0)
    direct, random = rng.normal(0.3, 0.1, 500), rng.normal(0.1, 0.5, 500)
    low = float((direct + random).mean() - 0.05)
    for limit in (0.0, -0.1, 0.3):
        found = sensitivity_gamma(direct, random, low, limit)
        assert found == pytest.approx(brute(direct, random, low, limit), abs=2e-4)
        assert found > 1


def test_no_verdict_is_worse_for_any_odds() -> None:
    """Random errors within the factor never lower the mean below the worst case."""
    rng = np.random.default_rng(1)
    direct, random = np.zeros(300), rng.exponential(1.0, 300) - 0.2
    low = float(random.mean() - 0.2)
    factor = sensitivity_gamma(direct, random, low, 0.0)
    worst = np.minimum(random * factor, random / factor).mean()
    for _ in range(200):
        assert (random * factor ** rng.uniform(-1, 1, 300)).mean() >= worst


def test_its_ends() -> None:
    """1 where the bound does not hold as it is; 100 where nothing rests on probabilities."""
    assert sensitivity_gamma(np.ones(10), np.zeros(10), -0.1, 0.0) == 1.0
    assert sensitivity_gamma(np.ones(10), np.zeros(10), 0.9, 0.0) == 100.0
