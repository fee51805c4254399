"""Sequences keep their error rate under many looks, tuned or not, and say when they will decide."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from policies.errors import EvaluationError
from policies.judging.values import compare, evaluate
from policies.log import LoggedDecisions
from policies.sequences.boundaries import POWER_AT, Tuning, boundary
from policies.sequences.confidence_sequence import rows_to_decide, sequence_interval, tuned_days
from policies.sequences.days import day_sums

LOOKS = np.geomspace(200, 10_000, 20).astype(int)


def stream(
    seed: int,
    chances: list[float],
    rate: float,
    *,
    arms: tuple[int, ...],
    adaptive: bool,
    model: bool,
    minimum_effect: float | None = None,
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
    looks = [
        sequence_interval(days[: look + 1], 0.025, 0.025, minimum_effect=minimum_effect)
        for look in range(len(days))
    ]
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
    (SKEWED, 0.03, {"arms": (1, 0), "adaptive": False, "model": False, "minimum_effect": 0.02}),
    (SKEWED, 0.15, {"arms": (1, 0), "adaptive": True, "model": True, "minimum_effect": 0.05}),
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


def test_a_tuned_sequence_by_hand(bandit: Any, always: Any) -> None:
    """It begins on the second day, whose expected variance per row, known before it, tunes it."""
    n = 4_000
    log = bandit(3, n, [0.9, 0.1], [0.2, 0.3], days=np.arange(n) // 1_000)
    days = day_sums(log, always(n, 2, 1), always(n, 2, 0), np.full((n, 2), 0.2))
    assert [each.spread > 0 for each in days] == [False, True, True, True]
    assert list(tuned_days(days)) == days[1:]
    assert sequence_interval(days[:1], 0.05, 0.05, minimum_effect=0.05)[:2] == (-math.inf, math.inf)
    first = log.reward[:1_000].mean()
    most = max(0.2 * 0.8, first * (1 - first))  # of a reward in [0, 1] whose mean is known
    assert days[1].spread == pytest.approx(1_000 * (1 / 0.1 + 1 / 0.9) * most)
    low, _, value = sequence_interval(days, 0.05, 0.05, minimum_effect=0.05)
    c = days[1].low.bound
    tuning = Tuning.to_decide(0.05, days[1].spread / 1_000, 0.05, c)
    v = sum(each.low.square for each in days[1:])
    half = c * float(boundary(v / c**2, 0.05, tuning.rho, tuning.lines))
    assert low == pytest.approx((sum(each.low.total for each in days[1:]) - half) / 3_000)
    assert value == pytest.approx(sum(each.total for each in days[1:]) / 3_000)


def test_the_number_of_rows_is_where_the_effect_passes_the_boundary(
    bandit: Any, always: Any
) -> None:
    """n·effect equals the boundary at n times the expected variance, and .84 standard errors."""
    n = 4_000
    log = bandit(3, n, [0.9, 0.1], [0.2, 0.3], days=np.arange(n) // 1_000)
    days = day_sums(log, always(n, 2, 1), always(n, 2, 0), np.full((n, 2), 0.2))
    rows = rows_to_decide(days, 0.05, 0.04, 0.03)
    assert rows is not None
    v, c = rows * sum(each.spread for each in days[1:]) / 3_000, days[1].low.bound
    tuning = Tuning.to_decide(0.03, days[1].spread / 1_000, 0.05, c)
    reach = c * float(boundary(v / c**2, 0.05, tuning.rho, tuning.lines))
    assert rows * 0.04 == pytest.approx(reach + POWER_AT * math.sqrt(v), rel=0.01)
    assert rows_to_decide(days[:1], 0.05, 0.04, 0.03) is None
    assert rows_to_decide(days, 0.05, 1e-9, 0.03) is None
