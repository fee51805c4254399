"""Day sums continue a sequence exactly, the sequence keeps its error rate, and logs are assessed."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import numpy as np
import pytest

from policies.errors import EvaluationError
from policies.evaluation.evidence import DaySums, assess, day_sums, sequence_interval
from policies.evaluation.reward_model import cross_fit
from policies.evaluation.value import compare
from policies.logged import LoggedDecisions

LOOKS = np.geomspace(200, 10_000, 20).astype(int)


def paired(contextual: Any, n: int = 3_000) -> tuple[LoggedDecisions, Any, Any, Any]:
    """A log, a candidate, an incumbent, and a forward reward model."""
    log, target, _ = contextual(11, n)
    uniform = log.eligible / log.eligible.sum(axis=1, keepdims=True)
    return log, target, uniform, cross_fit(log, by="date")


@pytest.mark.parametrize("estimator", ["ips", "dr"])
def test_days_merge_to_the_whole(contextual: Any, estimator: str) -> None:
    """Sums made day by day, through a flat table row, give the bounds of the whole log at once."""
    log, target, uniform, model = paired(contextual)
    kept: list[DaySums] = []
    assert log.decision_date is not None
    for day in np.unique(log.decision_date):
        rows = log.decision_date == day
        new = day_sums(log[rows], target[rows], uniform[rows], model[rows],
                       estimator=estimator, before=kept)  # fmt: skip
        kept += [DaySums.from_dict({**each.to_dict(), "lineage": "x"}) for each in new]
    assert kept == day_sums(log, target, uniform, model, estimator=estimator)
    low, high, difference = sequence_interval(kept, 0.025, 0.025)
    whole = compare(log, target, uniform, estimator=estimator, expected_reward=model)
    assert (low, high) == pytest.approx((whole.low, whole.high), rel=1e-9)
    assert difference == pytest.approx(whole.difference)
    assert sum(each.n for each in kept) == whole.n
    assert sum(each.n_choice for each in kept) == whole.n_choice
    weight = sum(each.weight for each in kept) ** 2 / sum(each.weight_square for each in kept)
    assert weight == pytest.approx(whole.effective_n)


def test_a_row_of_a_table(contextual: Any) -> None:
    """to_dict gives plain numbers, strings and a date."""
    day = day_sums(*paired(contextual, 300))[0]
    flat = day.to_dict()
    assert json.loads(json.dumps(flat, default=str))["decision_date"] == "2026-01-01"
    assert {type(each).__name__ for each in flat.values()} == {"date", "int", "float", "str"}


def test_a_day_is_fixed_by_the_days_before(contextual: Any) -> None:
    """Rewards of a day change neither its own centre nor its bounds."""
    log, target, uniform, model = paired(contextual)
    assert log.decision_date is not None
    last = log.decision_date == log.decision_date.max()
    moved = dataclasses.replace(log, reward=np.where(last, 1 - log.reward, log.reward))
    ours, theirs = (
        day_sums(log, target, uniform, model)[-1],
        day_sums(moved, target, uniform, model)[-1],
    )
    assert ours.centre == theirs.centre
    assert ours.low.bound == theirs.low.bound
    assert ours.total != theirs.total


def test_days_come_in_order(contextual: Any) -> None:
    """A day that is summed already, or earlier, is refused; so are bounds that change."""
    log, target, uniform, model = paired(contextual)
    days = day_sums(log, target, uniform, model)
    with pytest.raises(EvaluationError, match="is not after"):
        day_sums(log, target, uniform, model, before=days)
    side = dataclasses.replace(days[0].low, bound=99.0)
    with pytest.raises(EvaluationError, match="changed within the sequence"):
        sequence_interval([dataclasses.replace(days[0], low=side), *days[1:]], 0.05, 0.05)
    with pytest.raises(EvaluationError, match="at least one row"):
        sequence_interval([], 0.05, 0.05)
    with pytest.raises(EvaluationError, match="use dr or ips"):
        day_sums(log, target, uniform, model, estimator="snips")


def test_a_declared_bound_is_kept(contextual: Any) -> None:
    """Declared bounds are used as they are, also small ones, and the interval stays valid."""
    log, target, uniform, model = paired(contextual)
    days = day_sums(log, target, uniform, model, bound_low=0.2, bound_high=3.0)
    assert {each.low.bound for each in days} == {0.2}
    low, high, difference = sequence_interval(days, 0.025, 0.025)
    assert low < difference < high
    assert sum(each.low.total for each in days) < sum(each.total for each in days)


def test_days_on_which_both_agree_wait(contextual: Any) -> None:
    """Days before the first difference leave the bound open; they count rows and nothing else."""
    log, target, uniform, model = paired(contextual)
    assert log.decision_date is not None
    early = (log.decision_date < np.datetime64("2026-01-03"))[:, None]
    days = day_sums(log, np.where(early, uniform, target), uniform, model)
    assert [each.low.bound > 0 for each in days] == [False, False, True, True, True, True]
    assert days[0].low.total == days[0].low.square == 0.0
    low, high, _ = sequence_interval(days, 0.025, 0.025)
    assert low < high


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
