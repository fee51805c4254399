"""What a log can say about a target: decide, collect, or broken, and why."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from policies.errors import EvaluationError
from policies.judging.assessment import assess
from policies.judging.log_checks import action_checks, weights_off
from policies.judging.values import compare, evaluate
from policies.log import LoggedDecisions

SKEWED = [0.9, 0.05, 0.05]


def test_a_clean_log_decides(contextual: Any) -> None:
    """Clean logs with overlap decide: at most 5 % of 100 are called broken."""
    found = [assess(*contextual(seed, 2_000)[:2]).verdict for seed in range(100)]
    assert found.count("broken") <= 5
    assert found.count("decide") >= 95


@pytest.mark.parametrize("chances", [[1 / 3] * 3, SKEWED])
def test_halved_probabilities_are_found(bandit: Any, always: Any, chances: list[float]) -> None:
    """Halving the logged probability of one action breaks the log, whatever the target."""
    log = bandit(0, 10_000, chances, [0.1, 0.2, 0.3], known=False)
    wrong = np.where(log.action == 1, 0.5, 1.0) * log.action_probability
    found = assess(dataclasses.replace(log, action_probability=wrong), always(10_000, 3, 0))
    assert found.verdict == "broken"
    assert "'a1'" in found.reasons[0]


def peaked(rng: np.random.Generator, n: int) -> np.ndarray:
    """(n,) the probability of one of five actions, by a softmax without a floor."""
    scores = np.exp(rng.normal(size=(n, 4)) @ rng.normal(size=(4, 5)))
    return np.asarray(scores[:, 0] / scores.sum(axis=1))


@pytest.mark.parametrize(
    "chance",
    [lambda _, n: np.full(n, 0.01), lambda _, n: np.full(n, 0.5), peaked],
    ids=["rare", "even", "softmax"],
)
def test_halved_probabilities_of_any_size_are_found(chance: Any) -> None:
    """Over 200 logs of 10,000 rows halved probabilities are found in 92 %, right ones in none."""
    found = alarms = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        p = chance(rng, 10_000)
        weight = (rng.random(10_000) < p) / p
        found += weights_off(2 * weight)
        alarms += weights_off(weight)
    assert found >= 0.92 * 200
    assert alarms == 0


def test_heavy_weights_are_believed() -> None:
    """Honest weights whose variance is infinite are called wrong at most once in a thousand."""
    alarms = 0
    for seed in range(1_000):
        rng = np.random.default_rng(seed)
        p = rng.random(2_000) ** 3
        alarms += weights_off((rng.random(2_000) < p) / p)
    assert alarms <= 3


def test_duplicates_break_a_log(contextual: Any) -> None:
    """Two decisions for one customer on one date are not believed."""
    log, target, _ = contextual(0, 1_000)
    rows = np.r_[np.arange(1_000), 5, 6]
    found = assess(log[rows], target[rows])
    assert found.verdict == "broken"
    assert "2 rows repeat" in found.reasons[0]


def test_what_must_be_collected(bandit: Any, always: Any) -> None:
    """Too few effective rows, a missing action, or too small an effect: collect, with a number."""
    log, target = bandit(0, 1_000, SKEWED, [0.1, 0.2, 0.3]), always(1_000, 3, 2)
    few = assess(log, target)
    assert few.verdict == "collect"
    assert few.effective_n == (log.action == 2).sum() < 100
    asked = assess(log, always(1_000, 3, 0), minimum_effect=0.01)
    assert asked.verdict == "collect"
    contributions = np.where(log.action == 0, log.reward / 0.9, 0.0)
    assert asked.rows_needed == pytest.approx(7.85 * contributions.var(ddof=1) / 1e-4, abs=1)
    assert assess(log, always(1_000, 3, 0), minimum_effect=0.1).verdict == "decide"
    never = bandit(0, 1_000, [0.5, 0.5, 0.0], [0.1, 0.2, 0.3])
    found = assess(never, always(1_000, 3, 2))
    assert found.verdict == "collect"
    assert "100.0%" in " ".join(found.reasons)
    with pytest.raises(EvaluationError, match="minimum_effect"):
        assess(log, target, minimum_effect=0)


def misdrawn(seed: int, n: int = 4_000) -> LoggedDecisions:
    """A log that says it drew by its distribution, and drew by a flatter one."""
    rng = np.random.default_rng(seed)
    first = rng.uniform(0.1, 0.9, n)
    distribution = np.column_stack([first, 1 - first])
    action = (rng.random(n) > 0.5 + 0.5 * (first - 0.5)).astype(int)
    reward = (rng.random(n) < 0.2).astype(float)
    return LoggedDecisions(
        ["a", "b"], action, distribution[np.arange(n), action], reward, distribution=distribution
    )


def test_calibration_by_halves() -> None:
    """Probabilities that are right on average and wrong where they are low or high break a log."""
    log = misdrawn(0)
    found = assess(log, np.tile([1.0, 0.0], (len(log), 1)))
    table = found.actions.loc["a"]
    assert abs(table.logged - table.expected) < 4 * np.sqrt(len(log)) / 2
    assert abs(table.z) > 4.5
    assert found.verdict == "broken"


def test_z_by_hand(bandit: Any) -> None:
    """z is draws less their expectation over the root of Σ p (1 − p), the worst of three parts."""
    log = bandit(3, 1_000, [0.3, 0.7], [0.1, 0.1])
    table = action_checks(log)
    taken = (log.action == 0).sum()
    assert table.loc["a0", "expected"] == pytest.approx(300)
    assert table.loc["a0", "z"] == pytest.approx((taken - 300) / np.sqrt(1_000 * 0.21))
    assert table.loc["a0", "mean_weight"] == pytest.approx(taken / 300)


def test_lost_rows_are_found(bandit: Any, always: Any) -> None:
    """A log that lost a third of one action's rows names the action."""
    log = bandit(1, 10_000, [0.5, 0.3, 0.2], [0.1, 0.2, 0.3])
    kept = ~((log.action == 2) & (np.arange(10_000) % 3 == 0))
    found = assess(log[kept], always(int(kept.sum()), 3, 0))
    assert found.verdict == "broken"
    assert "'a2' was drawn" in " ".join(found.reasons)


def test_groups_of_the_wrong_size(contextual: Any) -> None:
    """A group that is far from its declared share of decisions breaks the log; a right one not."""
    log, target, _ = contextual(0, 3_000)
    group = np.where(np.random.default_rng(0).random(3_000) < 0.1, "uniform", "policy")
    grouped = dataclasses.replace(log, group=group)
    assert assess(grouped, target, group_shares={"uniform": 0.1}).verdict == "decide"
    found = assess(grouped, target, group_shares={"uniform": 0.2})
    assert found.verdict == "broken"
    assert "sample ratio mismatch: group 'uniform'" in found.reasons[0]


@pytest.mark.parametrize("shares", [{"uniform": 2}, {"uniform": -0.1}, {"uniform": "a"}, 0.1])
def test_shares_are_shares(contextual: Any, shares: Any) -> None:
    """Declared shares outside [0, 1] are refused, whether or not the log has groups."""
    log, target, _ = contextual(0, 100)
    for each in (log, dataclasses.replace(log, group=np.full(100, "uniform"))):
        with pytest.raises(EvaluationError):
            assess(each, target, group_shares=shares)


def test_a_day_without_outcomes(bandit: Any, always: Any) -> None:
    """A day on which an action has no outcome at all is found where its rate says it must have."""
    days = np.repeat(np.arange(10), 1_000)
    log = bandit(2, 10_000, [0.5, 0.49, 0.01], [0.2, 0.2, 0.2], days=days)
    lost = (days == 4) & (log.action == 1)
    broken = dataclasses.replace(log, reward=np.where(lost, 0.0, log.reward))
    found = assess(broken, always(10_000, 3, 0))
    assert found.verdict == "broken"
    assert found.actions["capture"].to_dict() == {
        "a0": "complete",
        "a1": "no outcome on 2026-01-05",
        "a2": "not identifiable",
    }
    undated = bandit(2, 10_000, [0.5, 0.5], [0.2, 0.2])
    assert set(action_checks(undated)["capture"]) == {"not identifiable"}


def test_what_exploration_would_save() -> None:
    """The what-if foretells the variance that a log with more exploration really has."""

    def drawn(first: np.ndarray, seed: int) -> tuple[LoggedDecisions, np.ndarray]:
        rng, n = np.random.default_rng(seed), len(first)
        action = (rng.random(n) > first).astype(int)
        distribution = np.column_stack([first, 1 - first])
        reward = (rng.random(n) < 0.3).astype(float)
        log = LoggedDecisions(
            ["a", "b"], action, distribution[np.arange(n), action], reward,
            distribution=distribution,
            decision_date=np.datetime64("2026-01-01") + np.arange(n) // 4_000,
        )  # fmt: skip
        return log, np.tile([0.0, 1.0], (n, 1))

    first = np.random.default_rng(0).uniform(0.9, 0.97, 40_000)
    log, target = drawn(first, 1)
    found = assess(log, target, minimum_effect=0.005)
    u, n = 0.2, len(log)
    explored = assess(*drawn((1 - u) * first + u / 2, 2), minimum_effect=0.005)
    variances = [
        each.rows_needed * 0.005**2 / 7.85 for each in (found, explored) if each.rows_needed
    ]
    wanted = 7.85 / 0.005**2
    assert found.exploration[u] == pytest.approx(
        variances[1] * (wanted - n / variances[0]), rel=0.1
    )
    assert found.days_needed == pytest.approx((found.rows_needed - n) / 4_000, abs=1)
    assert "of the further rows would do" in found.reasons[0]
    assert list(found.exploration.values()) == sorted(found.exploration.values(), reverse=True)


def test_a_plan_for_a_difference(contextual: Any) -> None:
    """With an incumbent and a model, the rows needed are those of the paired DR difference."""
    log, target, means = contextual(3, 3_000)
    uniform = log.eligible / log.eligible.sum(axis=1, keepdims=True)
    found = assess(log, target, incumbent=uniform, expected_reward=means, minimum_effect=0.001)
    row_by_row = dataclasses.replace(log[log.choice], customer_id=None)
    pair = compare(row_by_row, target[log.choice], uniform[log.choice],
                   expected_reward=means[log.choice], interval="normal")  # fmt: skip
    variance = pair.std_error**2 * pair.n
    assert found.rows_needed == pytest.approx(7.85 * variance / 1e-6, rel=1e-3)
    assert found.effective_n == pytest.approx(pair.effective_n)


def test_a_handful_of_rows(bandit: Any, always: Any) -> None:
    """Where one row of a hundred holds most of the weight, more rows are asked for."""
    log = bandit(1, 40_000, [0.996, 0.004], [0.2, 0.2])
    found = assess(log, always(40_000, 2, 1))
    assert found.top_share == 1.0
    assert found.verdict == "collect"
    assert "1 % of the choice rows" in str(found)
    assert found.to_dict()["actions"][0]["action_id"] == "a0"


@pytest.mark.parametrize("known", [True, False])
def test_peaked_loggers_are_believed(known: bool) -> None:
    """Clean logs of a logger that is nearly sure of itself are not called broken."""
    alarms = 0
    for seed in range(20):
        rng, n, k = np.random.default_rng(seed), 5_000, 10
        scores = np.exp(rng.normal(size=(n, 4)) @ (rng.normal(size=(4, k)) * 2))
        chances = 1e-4 + (1 - k * 1e-4) * scores / scores.sum(axis=1, keepdims=True)
        action = np.minimum((rng.random((n, 1)) > chances.cumsum(axis=1)).sum(axis=1), k - 1)
        log = LoggedDecisions(
            [str(each) for each in range(k)], action, chances[np.arange(n), action],
            (rng.random(n) < 0.05) * 1.0, distribution=chances if known else None,
        )  # fmt: skip
        alarms += assess(log, np.full((n, k), 1 / k)).verdict == "broken"
    assert alarms <= 1


def test_sticky_groups_are_counted_by_customer() -> None:
    """A holdout that sticks to customers is tested as so many customers, not as so many rows."""
    alarms = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        customer = np.tile(np.arange(1_000), 30)
        group = np.where((rng.random(1_000) < 0.1)[customer], "holdout", "policy")
        log = LoggedDecisions(
            ["a", "b"], rng.integers(0, 2, 30_000), np.full(30_000, 0.5), np.zeros(30_000),
            customer_id=customer, decision_date=np.datetime64("2026-01-01") + np.repeat(
                np.arange(30), 1_000), group=group,
        )  # fmt: skip
        shares = {"holdout": 0.1, "policy": 0.9}
        target = np.full((30_000, 2), 0.5)
        alarms += assess(log, target, group_shares=shares).verdict == "broken"
    assert alarms == 0


@pytest.mark.parametrize("rate", [0.1, 0.6, 0.9])
def test_lost_outcomes_at_any_rate(bandit: Any, always: Any, rate: float) -> None:
    """A day on which one action's outcomes were lost is found, also where most decisions have one."""
    days = np.repeat(np.arange(20), 500)
    log = bandit(1, 10_000, [0.5, 0.5], [rate, rate], days=days)
    gone = (days == 7) & (log.action == 1)
    lost = dataclasses.replace(log, reward=np.where(gone, 0.0, log.reward))
    assert set(action_checks(log)["capture"]) == {"complete"}
    assert list(action_checks(lost)["capture"]) == ["complete", "no outcome on 2026-01-08"]
    assert assess(lost, always(10_000, 2, 0)).verdict == "broken"


def test_a_day_without_any_outcome_is_a_note(bandit: Any, always: Any) -> None:
    """Where no action has an outcome the shop may be closed: the day is named, nothing is broken."""
    days = np.repeat(np.arange(20), 500)
    log = bandit(1, 10_000, [0.5, 0.5], [0.2, 0.2], days=days)
    closed = dataclasses.replace(log, reward=np.where(days % 7 == 6, 0.0, log.reward))
    found = assess(closed, always(10_000, 2, 0))
    assert found.verdict == "decide"
    assert found.reasons == [
        "no action has an outcome on 2026-01-07, 2026-01-14: leave out days whose outcomes were lost"
    ]


def test_growing_sales_are_believed(always: Any) -> None:
    """Early days without a reward of one action are none that lost them, if the others had few."""
    alarms = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        days = np.repeat(np.arange(40), 500)
        action = (rng.random(20_000) < 0.1).astype(int)
        reward = (rng.random(20_000) < 0.2 * ((days + 1) / 40) ** 4) * 1.0
        log = LoggedDecisions(
            ["a", "b"], action, np.where(action == 1, 0.1, 0.9), reward,
            decision_date=np.datetime64("2026-01-01") + days,
        )  # fmt: skip
        alarms += assess(log, always(20_000, 2, 1)).verdict == "broken"
    assert alarms <= 1


def test_a_sticky_test_logged_at_every_visit_is_believed() -> None:
    """One draw a customer, logged many times, is one draw; a halved probability is found all the same."""
    alarms, found = 0, 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        customer = np.repeat(np.arange(400), rng.geometric(0.03, 400))
        action = rng.integers(0, 2, 400)[customer]
        n = len(customer)
        reward = (rng.random(n) < 0.1) * 1.0
        p = np.full(n, 0.5)
        days = np.datetime64("2026-01-01") + rng.integers(0, 30, n)
        sticky = LoggedDecisions(
            ["a", "b"], action, p, reward, customer_id=customer, decision_date=days
        )
        alarms += assess(sticky, np.full((n, 2), 0.5)).verdict == "broken"
        wrong = dataclasses.replace(sticky, action_probability=np.where(action == 1, 0.25, 0.5))
        found += assess(wrong, np.full((n, 2), 0.5)).verdict == "broken"
    assert alarms <= 1
    assert found >= 38


def test_two_eligible_actions_imply_each_others_probability() -> None:
    """The top action's probability in every row, and p of the action not taken, are contradictions."""
    for seed in range(20):
        rng = np.random.default_rng(seed)
        action = (rng.random(6_000) > 0.8).astype(int)
        reward, target = (rng.random(6_000) < 0.1) * 1.0, np.full((6_000, 2), 0.5)
        right = np.where(action == 0, 0.8, 0.2)
        verdicts = [
            assess(LoggedDecisions(["a", "b"], action, p, reward), target).verdict
            for p in (right, np.full(6_000, 0.8), 1 - right)
        ]
        assert verdicts == ["decide", "broken", "broken"]


def test_without_a_minimum_effect_a_fifth_of_the_mean_reward_is_asked(bandit: Any) -> None:
    """A log of rare rewards says how many rows such a difference needs."""
    log = bandit(3, 10_000, [0.5, 0.5], [0.004, 0.004])
    found = assess(log, np.tile([0.0, 1.0], (10_000, 1)))
    asked = float(f"{log.reward.mean() / 5:.2g}")
    weight = np.where(log.action == 1, 2.0, 0.0)
    variance = max((weight * log.reward).var(ddof=1), (weight**2).mean() * log.reward.var())
    assert found.verdict == "collect"
    assert found.rows_needed == pytest.approx(7.85 * variance / asked**2, abs=1)


def test_a_reward_that_has_not_come_yet_is_foreseen() -> None:
    """Where a rare action has no reward so far, the rows needed are those of its true variance."""
    decided = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        n = 5_000
        action = (rng.random(n) < 0.05).astype(int)
        reward = (rng.random(n) < 0.003) * 1.0
        log = LoggedDecisions(["a", "b"], action, np.where(action == 1, 0.05, 0.95), reward)
        decided += (
            assess(log, np.tile([0.0, 1.0], (n, 1)), minimum_effect=0.003).verdict == "decide"
        )
    assert decided == 0


def test_a_logger_that_never_varied_supports_nothing_there() -> None:
    """Rows of probability 1 say nothing of what was not drawn: wide intervals, and `collect`."""
    rng = np.random.default_rng(0)
    for share in (1.0, 0.5):
        n = 4_000
        certain = rng.random(n) < share
        x = rng.integers(0, 2, n)
        action = np.where(certain, x, rng.integers(0, 2, n))
        reward = (rng.random(n) < 0.1 + 0.1 * action) * 1.0
        log = LoggedDecisions(["a", "b"], action, np.where(certain, 1.0, 0.5), reward)
        target = np.full((n, 2), 0.5)
        [row] = evaluate(log, target, estimators=("ips",)).to_dict("records")
        assert row["low"] < 0.15 < row["high"]
        assert row["high"] - row["low"] > share / 2
        found = assess(log, target)
        assert found.verdict == "collect"
        assert any("the logger never draws there" in reason for reason in found.reasons)


def test_several_decisions_a_day_are_no_copies(contextual: Any) -> None:
    """Rows that differ are decisions of their own, though of one customer on one date."""
    log, target, _ = contextual(2, 1_000)
    busy = dataclasses.replace(log, customer_id=np.arange(1_000) % 120)
    assert not any("copies" in each for each in assess(busy, target).reasons)


@pytest.mark.slow
@pytest.mark.parametrize(
    "chances",
    [[1 / 3] * 3, SKEWED, [0.5, 0.3, 0.15, 0.05], [0.98, 0.01, 0.01], [0.91] + [0.01] * 9],
)
def test_error_rates_of_broken(bandit: Any, always: Any, chances: list[float]) -> None:
    """Over 300 logs of 10,000 rows a halved probability is found in 95 %, and clean ones pass."""
    k, alarms, found = len(chances), 0, 0
    days = np.repeat(np.arange(20), 500)
    for seed in range(300):
        clean = bandit(seed, 10_000, chances, np.linspace(0.05, 0.2, k), days=days)
        alarms += assess(clean, always(10_000, k, seed % k)).verdict == "broken"
        wrong = np.where(clean.action == seed % k, 0.5, 1.0) * clean.action_probability
        halved = dataclasses.replace(clean, action_probability=wrong, distribution=None)
        found += assess(halved, always(10_000, k, 0)).verdict == "broken"
    assert found >= 0.95 * 300
    assert alarms <= 0.05 * 300


@pytest.mark.parametrize("fault", ["none", "swapped", "flat", "sharp"])
def test_probabilities_of_other_actions_and_of_another_spread_are_found(fault: str) -> None:
    """A tenth of rows with two actions' probabilities exchanged, or all a fifth too flat or sharp."""
    broken, n, k = 0, 10_000, 4
    for seed in range(40):
        rng = np.random.default_rng(seed)
        scores = np.exp(rng.normal(size=(n, k)))
        true = 0.02 + (1 - 0.02 * k) * scores / scores.sum(axis=1, keepdims=True)
        action = np.minimum((rng.random((n, 1)) > true.cumsum(axis=1)).sum(axis=1), k - 1)
        logged = true.copy()
        if fault == "swapped":
            rows = rng.random(n) < 0.1
            logged[rows] = np.roll(true[rows], 1, axis=1)
        elif fault == "flat":
            logged = 0.8 * true + 0.2 / k
        elif fault == "sharp":
            logged = true**1.3 / (true**1.3).sum(axis=1, keepdims=True)
        log = LoggedDecisions(
            list("abcd"), action, logged[np.arange(n), action], (rng.random(n) < 0.1) * 1.0,
            distribution=logged,
        )  # fmt: skip
        broken += assess(log, np.full((n, k), 1 / k)).verdict == "broken"
    assert broken == 0 if fault == "none" else broken >= 38
