"""Bounds known before the draw: they hold for every draw, and bounded terms stay unbiased or below."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from policies.errors import EvaluationError
from policies.log import LoggedDecisions
from policies.sequences.terms import LinearTerms


def every_draw(
    t: list[float], p: list[float], q: list[float], means: list[float], known: bool = True
) -> tuple[LinearTerms, np.ndarray]:
    """One row per possible (action, reward in {0, 1}), and the probability of each."""
    draws = [(a, r) for a, r in product(range(len(p)), (0, 1)) if p[a] > 0]
    chance = np.array([p[a] * (means[a] if r else 1 - means[a]) for a, r in draws])
    n = len(draws)
    action = np.array([a for a, _ in draws])
    log = LoggedDecisions(
        [str(index) for index in range(len(p))],
        action,
        np.array(p)[action],
        np.array([float(r) for _, r in draws]),
        distribution=np.tile(p, (n, 1)) if known else None,
        reward_range=(0, 1),
    )
    floor = None if known else min(each for each in p if each > 0)
    return LinearTerms.of(log, np.tile(t, (n, 1)), np.tile(q, (n, 1)), floor=floor), chance


ROWS = [
    ([-1.0, 1.0, 0.0], [0.5, 0.1, 0.4], [0.2, 0.6, 0.3], [0.3, 0.4, 0.9]),
    ([0.0, 0.0, 1.0], [0.9, 0.05, 0.05], [0.2, 0.2, 0.9], [0.1, 0.2, 0.1]),
    ([0.3, -0.5, 0.2], [0.02, 0.96, 0.02], [1.4, -0.2, 0.5], [0.5, 0.5, 0.5]),
    ([-0.5, 0.0, 0.5], [0.3, 0.7, 0.0], [0.5, 0.5, 0.1], [0.2, 0.4, 0.9]),
]


@pytest.mark.parametrize(("t", "p", "q", "means"), ROWS)
@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize(("bound", "centre"), [(0.3, 0.0), (0.3, 0.25), (2.0, -0.5), (60.0, 0.2)])
def test_bounded_terms(
    t: list[float], p: list[float], q: list[float], means: list[float],
    mirrored: bool, bound: float, centre: float,
) -> None:  # fmt: skip
    """For each possible draw the exponential term is valid: mean at most the row's, above the bound.

    E exp(λ(X − μ) − ψ(λ)(Z − centre)²) <= 1 is computed exactly, by summing over all draws.
    """
    terms, chance = every_draw(t, p, q, means)
    mean = float(np.dot(t, means))
    if mirrored:
        terms, mean = terms.mirrored(), -mean
    values, squares = terms.bounded(np.full(len(chance), centre), bound)
    assert chance @ values <= mean + 1e-12
    for lam in (0.1, 0.5, 0.9):
        psi = -np.log1p(-lam) - lam
        assert (
            chance @ np.exp(lam * (values - mean) / bound - psi * squares / bound**2) <= 1 + 1e-12
        )


@pytest.mark.parametrize(("t", "p", "q", "means"), ROWS[:3])
def test_a_wide_bound_changes_nothing(
    t: list[float], p: list[float], q: list[float], means: list[float]
) -> None:
    """Where no row can pass the bound, contributions are the estimator's own."""
    terms, _ = every_draw(t, p, q, means)
    values, _ = terms.bounded(np.zeros(len(terms.action)), 1_000.0)
    np.testing.assert_allclose(values, terms.direct + terms.residual)


@pytest.mark.parametrize(("t", "p", "q", "means"), ROWS[:3])
@pytest.mark.parametrize("known", [True, False])
def test_the_least_residual_is_the_least(
    t: list[float], p: list[float], q: list[float], means: list[float], known: bool
) -> None:
    """No draw gives less than the least residual; with a known distribution one draw gives it."""
    terms, _ = every_draw(t, p, q, means, known)
    least = terms.least_residual()
    assert (terms.residual >= least - 1e-12).all()
    if known:
        assert terms.residual.min() == pytest.approx(least[0])


@pytest.mark.parametrize(("t", "p", "q", "means"), ROWS[:3])
@pytest.mark.parametrize("room", [0.1, 0.5, 3.0])
def test_moved_models_keep_within_room(
    t: list[float], p: list[float], q: list[float], means: list[float], room: float
) -> None:
    """With q moved, up or down, no residual falls below −room; what was within is left alone."""
    terms, _ = every_draw(t, p, q, means)
    moved = replace(terms, model=terms.moved(np.full(len(terms.action), room)))
    assert (moved.residual >= -room - 1e-12).all()
    if -terms.least_residual().min() <= room:
        np.testing.assert_array_equal(moved.model, terms.model)


def test_a_suggested_bound_costs_three_percent() -> None:
    """The bound is far below the lowest residual, and the variance it is bought with is 3 %."""
    terms, _ = every_draw([-0.9, 0.9], [0.97, 0.03], [0.2, 0.25], [0.2, 0.25])
    bound, spread = terms.suggested_bound(), 0.9 * 2
    assert bound < 0.8 * -terms.least_residual().min()
    room = max(bound - 0.25 * spread, bound / 2)
    dearer = terms.expected_square(terms.moved(np.full(len(terms.action), room)))
    assert 1.02 * terms.expected_square() < dearer <= 1.03 * terms.expected_square()


def test_the_expected_square_is_exact_for_binary_rewards() -> None:
    """For rewards at either end of the range, whose mean is q, it is Σ residual²'s expectation."""
    t, p, q = [-0.4, 0.7, 0.0], [0.5, 0.1, 0.4], [0.2, 0.6, 0.3]
    terms, chance = every_draw(t, p, q, q)
    exact = chance @ terms.residual**2 * len(chance)
    assert terms.expected_square() == pytest.approx(exact)
    other = np.tile([0.5, 0.1, 0.3], (len(chance), 1))
    exact = chance @ replace(terms, model=other).residual ** 2 * len(chance)
    assert terms.expected_square(other) == pytest.approx(exact)


def test_rows_without_doubt() -> None:
    """Rows where candidate and incumbent agree add what is known, and nothing to V."""
    terms, _ = every_draw([0.0, 0.0], [0.5, 0.5], [0.2, 0.4], [0.1, 0.2])
    assert not terms.uncertain.any()
    assert terms.suggested_bound() == 0.0
    values, squares = terms.bounded(np.full(4, 0.3), 1.0)
    assert (values == 0).all()
    assert (squares == 0).all()


def test_equal_rewards_have_no_range() -> None:
    """A log whose rewards are all equal cannot show their range."""
    log = LoggedDecisions(["a", "b"], np.array([0, 1]), np.array([0.5, 0.5]), np.zeros(2))
    with pytest.raises(EvaluationError, match="declare reward_range"):
        LinearTerms.of(log, np.array([[1.0, 0.0]] * 2)).suggested_bound()
