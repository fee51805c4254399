"""Sequences: the mixture against numerical integration, and the error rate under many looks."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy import integrate, special

from policies.errors import EvaluationError
from policies.evaluation import sequence
from policies.evaluation.day_sums import day_sums
from policies.evaluation.sequence import sequence_interval
from policies.evaluation.value import compare, evaluate
from policies.logged import LoggedDecisions


@pytest.mark.parametrize(
    ("s", "v", "rho"), [(1, 0.5, 2), (30, 100, 12), (0, 5, 0.3), (400, 1e4, 5)]
)
def test_the_mixture_is_the_integral(s: float, v: float, rho: float) -> None:
    """The closed form equals the integral of exp(λs − ψ(λ)v) over the truncated gamma density."""
    constant = rho * math.log(rho) - special.gammaln(rho) - math.log(special.gammainc(rho, rho))

    def integrand(lam: float) -> float:
        psi = -math.log1p(-lam) - lam
        density = constant + (rho - 1) * math.log1p(-lam) - rho * (1 - lam)
        return math.exp(lam * s - psi * v + density)

    peak = s / (s + v + rho)
    found, _ = integrate.quad(integrand, 0, 1, points=[peak / 2, peak, peak**0.5], limit=500)
    closed = sequence.log_mixture(np.asarray(float(s)), np.asarray(float(v)), rho)
    assert float(closed) == pytest.approx(math.log(found), abs=1e-8)


@pytest.mark.parametrize("alpha", [0.5, 0.05, 1e-6])
@pytest.mark.parametrize("rho", [1e-3, 1.0, 1e4])
def test_the_boundary_solves_the_mixture(alpha: float, rho: float) -> None:
    """At the boundary the mixture is 1/alpha, for every V from 0 to a billion, and it rises."""
    v = np.concatenate([[0.0], np.geomspace(1e-6, 1e9, 31)])
    s = sequence.boundary(v, alpha, rho)
    np.testing.assert_allclose(sequence.log_mixture(s, v, rho), math.log(1 / alpha), atol=1e-6)
    assert (np.diff(s) >= 0).all()


def test_rho_is_best_where_it_is_tuned() -> None:
    """The boundary at V is within 3 % of the least that any rho could give there."""
    for v in (30.0, 1_000.0, 100_000.0):
        tuned = float(sequence.boundary(v, 0.025, sequence.best_rho(0.025, v)))
        least = min(
            float(sequence.boundary(v, 0.025, v * scale)) for scale in np.geomspace(0.01, 1, 40)
        )
        assert least <= tuned <= 1.03 * least


LOOKS = np.geomspace(200, 10_000, 20).astype(int)


def stream(
    seed: int,
    chances: list[float],
    rate: float,
    *,
    arms: tuple[int, ...],
    adaptive: bool,
    model: bool,
) -> tuple[list[tuple[float, float, float]], float]:
    """Bounds after each of 20 looks, every arm having the same mean reward; and the truth."""
    rng, n, k = np.random.default_rng(seed), int(LOOKS[-1]), len(chances)
    day = np.searchsorted(LOOKS, np.arange(n), side="right")
    distribution, expected = np.tile(chances, (n, 1)), np.zeros((n, k))
    action, reward = np.zeros(n, dtype=int), (rng.random(n) < rate).astype(float)
    total, count = np.zeros(k), np.full(k, 5.0)
    for each in range(day.max() + 1):
        rows = np.flatnonzero(day == each)
        if adaptive and each:  # leans to what has looked best so far
            distribution[rows] = 0.05 + (1 - 0.05 * k) * np.eye(k)[np.argmax(total / count)]
        action[rows] = (distribution[rows].cumsum(axis=1) > rng.random((len(rows), 1))).argmax(
            axis=1
        )
        expected[rows] = total / count if model else 0.0
        total += np.bincount(action[rows], reward[rows], minlength=k)
        count += np.bincount(action[rows], minlength=k)
    log = LoggedDecisions(
        [str(index) for index in range(k)], action, distribution[np.arange(n), action], reward,
        distribution=distribution, reward_range=(0, 1),
        decision_date=np.datetime64("2026-01-01") + day,
    )  # fmt: skip
    candidate = np.tile(np.eye(k)[arms[0]], (n, 1))
    incumbent = np.tile(np.eye(k)[arms[1]], (n, 1)) if len(arms) > 1 else None
    days = day_sums(log, candidate, incumbent, expected)
    looks = [sequence_interval(days[: look + 1], 0.025, 0.025) for look in range(len(days))]
    return looks, 0.0 if len(arms) > 1 else rate


def miss_rate(runs: int, *args: Any, **settings: Any) -> float:
    """The share of streams in which the truth lay outside at any look."""
    missed = 0
    for seed in range(runs):
        looks, truth = stream(seed, *args, **settings)
        missed += any(low > truth or high < truth for low, high, _ in looks)
    return missed / runs


SKEWED = [0.9, 0.05, 0.05]
CASES = [
    ([1 / 3] * 3, 0.15, {"arms": (1,), "adaptive": False, "model": True}),
    (SKEWED, 0.03, {"arms": (1, 0), "adaptive": False, "model": False}),
    (SKEWED, 0.15, {"arms": (1, 0), "adaptive": True, "model": True}),
    (SKEWED, 0.03, {"arms": (1,), "adaptive": True, "model": True}),
]


@pytest.mark.parametrize(("chances", "rate", "settings"), CASES)
def test_misses_are_rare(chances: list[float], rate: float, settings: dict[str, Any]) -> None:
    """In 40 A/A streams of 10,000 rows with 20 looks the truth is excluded at most 4 times."""
    assert miss_rate(40, chances, rate, **settings) <= 0.1


@pytest.mark.slow
@pytest.mark.parametrize(("chances", "rate", "settings"), CASES)
def test_the_miss_rate(chances: list[float], rate: float, settings: dict[str, Any]) -> None:
    """In 1,000 A/A streams with 20 looks the truth is ever excluded in at most 5 %."""
    assert miss_rate(1_000, chances, rate, **settings) <= 0.05


def test_the_asymptotic_bound_by_hand(bandit: Any, always: Any) -> None:
    """Its half width is the closed form for V = Σ x² − (Σ x)² / n, at one day's sums."""
    log = bandit(3, 2_000, [0.5, 0.5], [0.2, 0.4], days=np.zeros(2_000, dtype=int))
    days = day_sums(log, always(2_000, 2, 1), estimator="ips")
    low, high, value = sequence.asymptotic_interval(days, 0.025, 0.025)
    terms = np.where(log.action == 1, log.reward / 0.5, 0.0)
    v = float(((terms - terms.mean()) ** 2).sum())
    rho = sequence.best_rho(0.025, sequence.TUNED_ROWS) * v / 2_000
    half = math.sqrt(2 * (v + rho) * math.log1p(math.sqrt((v + rho) / rho) / 0.05)) / 2_000
    assert value == pytest.approx(terms.mean())
    assert (low, high) == pytest.approx((value - half, value + half))
    assert half > 1.96 * math.sqrt(v) / 2_000


def test_the_asymptotic_sequence_is_an_interval_too(contextual: Any) -> None:
    """evaluate and compare offer it, for the estimators that a sequence takes."""
    log, target, means = contextual(1, 3_000)
    uniform = log.eligible / log.eligible.sum(axis=1, keepdims=True)
    for interval in ("sequence", "asymptotic_sequence"):
        found = evaluate(log, target, expected_reward=means, interval=interval)
        assert list(found.index) == ["ips", "dr"]
        assert (found["low"] < found["value"]).all()
    pair = compare(log, target, uniform, expected_reward=means, interval="asymptotic_sequence")
    assert pair.low < pair.difference < pair.high


def test_an_ips_value_keeps_its_error_rate() -> None:
    """The reward level that an IPS sequence takes from earlier days leaves its misses rare."""
    missed = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        action = rng.choice(3, 4_000, p=SKEWED)
        log = LoggedDecisions(
            ["a", "b", "c"], action, np.array(SKEWED)[action], (rng.random(4_000) < 0.2) * 1.0,
            distribution=np.tile(SKEWED, (4_000, 1)), reward_range=(0, 1),
            decision_date=np.datetime64("2026-01-01") + np.arange(4_000) // 200,
        )  # fmt: skip
        days = day_sums(log, np.tile([0.0, 1.0, 0.0], (4_000, 1)), estimator="ips")
        looks = [sequence_interval(days[: n + 1], 0.025, 0.025) for n in range(len(days))]
        missed += any(low > 0.2 or high < 0.2 for low, high, _ in looks)
    assert missed <= 4


@pytest.mark.parametrize("offset", [0.0, 10.0, 1e6])
def test_ips_sequences_do_not_feel_a_shift(bandit: Any, always: Any, offset: float) -> None:
    """Rewards in [offset, offset + 1] give nearly the width that rewards in [0, 1] give."""
    days = np.repeat(np.arange(30), 200)
    log = bandit(5, 6_000, [0.5, 0.5], [0.2, 0.4], days=days)
    shifted = LoggedDecisions(
        log.action_ids, log.action, log.action_probability, log.reward + offset,
        distribution=log.distribution, decision_date=log.decision_date,
        reward_range=(offset, offset + 1),
    )  # fmt: skip
    widths = []
    for each in (log, shifted):
        found = evaluate(each, always(6_000, 2, 1), estimators="ips", interval="sequence")
        widths.append(found.loc["ips", "high"] - found.loc["ips", "low"])
    assert widths[1] == pytest.approx(widths[0], rel=0.05)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("bounds", [(1e-300, 1e-300), (1e300, 1e300), (1e9, None), (np.inf, 1.0)])
def test_bounds_beyond_all_reason(bandit: Any, always: Any, bounds: Any) -> None:
    """Bounds that no computer can work with are refused, not a crash."""
    log = bandit(0, 200, [0.5, 0.5], [0.2, 0.3])
    uniform = np.full((200, 2), 0.5)
    with pytest.raises(EvaluationError, match="bounds"):
        compare(log, always(200, 2, 1), uniform, estimator="ips", bounds=bounds)
