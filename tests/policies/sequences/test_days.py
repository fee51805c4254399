"""Day sums: they merge to the whole, are fixed beforehand, and carry a sequence on exactly."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import numpy as np
import pytest

from policies.errors import EvaluationError
from policies.estimating.reward_model import cross_fit
from policies.judging.values import compare
from policies.log import LoggedDecisions
from policies.sequences.confidence_sequence import sequence_interval
from policies.sequences.days import DaySums, day_sums, noise_share


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
    assert ours.spread == theirs.spread > 0
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


def test_noise_known_beforehand_opens_the_first_day(contextual: Any) -> None:
    """With a share the first day expects that much of the largest variance; without, nothing."""
    log, target, model = contextual(11, 3_000)
    uniform = log.eligible / log.eligible.sum(axis=1, keepdims=True)
    first = day_sums(log, target, uniform, model)[0]
    half, whole = (day_sums(log, target, uniform, model, noise=each)[0] for each in (0.5, 1.0))
    assert first.spread == 0
    assert whole.spread == pytest.approx(2 * half.spread)
    assert whole.spread > 0
    assert dataclasses.replace(whole, spread=0.0) == first


def test_noise_share_by_hand() -> None:
    """Matured choice rows' variance over (mean − low)·(high − mean); what matures later is unseen."""
    log = LoggedDecisions(
        ["a", "b"], np.zeros(5, dtype=int), np.full(5, 0.5), np.array([0.0, 4.0, 8.0, 8.0, 0.0]),
        np.array([[True, True]] * 3 + [[True, False], [True, True]]), reward_range=(-1, 10),
        decision_date=np.array(["2026-01-01"] * 4 + ["2026-01-03"], dtype="datetime64[D]"),
    )  # fmt: skip
    assert noise_share(log, "2026-01-02") == pytest.approx((32 / 3) / (5 * 6))
    assert noise_share(log, "2026-01-03") == pytest.approx((32 / 3) / (5 * 6))
    assert noise_share(log, "2026-01-01") is None
    assert noise_share(dataclasses.replace(log, reward_range=None), "2026-01-02") is None
    with pytest.raises(EvaluationError, match="decision_date"):
        noise_share(dataclasses.replace(log, decision_date=None), "2026-01-02")
