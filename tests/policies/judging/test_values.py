"""evaluate and compare: what they return, pair, and refuse."""

from __future__ import annotations

import dataclasses
import tracemalloc
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from policies.errors import EvaluationError
from policies.estimating.estimators import DR, ESTIMATORS, IPS, DRos
from policies.estimating.reward_model import cross_fit
from policies.estimating.rows import evaluation_rows
from policies.estimating.summing import row_contributions
from policies.estimating.sums import WeightSums
from policies.judging.question import INTERVALS
from policies.judging.values import compare, evaluate, evaluate_by
from policies.learning.baselines import UniformPolicy
from policies.log import LoggedDecisions

COLUMNS = ["value", "std_error", "low", "high", "n", "n_choice", "effective_n"]
COLUMNS += ["max_weight", "mean_weight"]


def test_the_frame(contextual: Any) -> None:
    """evaluate gives one row per estimator with the agreed columns and index."""
    log, target, means = contextual(0, 400)
    frame = evaluate(log, target, expected_reward=means)
    assert frame.index.name == "estimator"
    assert list(frame.index) == ["ips", "snips", "dm", "dr"]
    assert list(frame.columns) == COLUMNS
    assert (frame["low"] < frame["value"]).all()
    assert (frame["value"] < frame["high"]).all()
    assert (frame["n"] == 400).all()
    assert (frame["n_choice"] == log.choice.sum()).all()


def test_diagnostics_by_hand() -> None:
    """Effective n, largest and mean weight are those of choice rows, computed by hand."""
    log = LoggedDecisions(
        ["a", "b"],
        np.array([0, 1, 1]),
        np.array([0.5, 0.5, 1.0]),
        np.array([1.0, 0.0, 5.0]),
        np.array([[True, True], [True, True], [False, True]]),
    )
    row = evaluate(log, np.array([[1, 0], [0.75, 0.25], [0, 1]]), estimators="ips").loc["ips"]
    assert row["value"] == pytest.approx((2 + 0 + 5) / 3)
    assert (row["n"], row["n_choice"]) == (3, 2)
    assert row["effective_n"] == pytest.approx(2.5**2 / 4.25)
    assert (row["max_weight"], row["mean_weight"]) == (2.0, 1.25)


@pytest.mark.parametrize("name", sorted(set(ESTIMATORS) - {"auto"}))
def test_values_come_from_the_contributions(contextual: Any, name: str) -> None:
    """Value and error are those of the contributions, with other estimators and without."""
    log, target, means = contextual(0, 400)
    log = dataclasses.replace(log, customer_id=None)
    values = row_contributions(ESTIMATORS[name](), evaluation_rows(log, target, means))
    alone = evaluate(log, target, estimators=name, expected_reward=means)
    assert alone.loc[name, "value"] == pytest.approx(values.mean(), rel=1e-12)
    assert alone.loc[name, "std_error"] == pytest.approx(stats.sem(values), rel=1e-9)
    among = evaluate(log, target, estimators=[name, "auto"], expected_reward=means)
    np.testing.assert_allclose(alone.loc[name], among.loc[name], rtol=1e-12)
    assert alone.attrs["model_skill"] == pytest.approx(
        WeightSums.of(evaluation_rows(log, target, means), log.choice).model_skill
    )


def test_what_needs_no_other_rows_makes_no_vector(contextual: Any) -> None:
    """A formula of the row, or a ratio of sums, takes memory by the block, not by the log."""
    log, target, means = contextual(0, 60_000, 8)
    log = dataclasses.replace(log, customer_id=None)
    evaluate(log, target, estimators="dr", expected_reward=means)  # what the log keeps is made
    tracemalloc.start()
    evaluate(log, target, estimators=["ips", "snips", "dr", "dros"], expected_reward=means)
    extra = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert extra < 0.5 * target.nbytes


@pytest.mark.parametrize("name", ["snips", "replay"])
@pytest.mark.parametrize("level", [0.0, 1e7])
def test_a_ratio_seen_once_is_as_exact(contextual: Any, name: str, level: float) -> None:
    """Moments of one visit give a ratio's value and error also where rewards lie far from 0."""
    log, target, _ = contextual(0, 30_000)
    log = dataclasses.replace(
        log, customer_id=None, reward=level + log.reward, reward_range=(level, level + 1)
    )
    values = row_contributions(ESTIMATORS[name](), evaluation_rows(log, target))
    found = evaluate(log, target, estimators=name).loc[name]
    assert found["value"] - level == pytest.approx(values.mean() - level, abs=1e-8)
    assert found["std_error"] == pytest.approx(stats.sem(values), rel=1e-6)
    log = dataclasses.replace(log, reward=np.full(len(log), level))
    found = evaluate(log, target, estimators=name).loc[name]
    assert found["std_error"] == pytest.approx(0, abs=1e-15 * level)


def test_a_policy_is_its_distribution(contextual: Any) -> None:
    """A policy and the array of its probabilities have the same value."""
    log, _, _ = contextual(1, 300)
    uniform = log.eligible / log.eligible.sum(axis=1, keepdims=True)
    by_policy = evaluate(log, UniformPolicy(log.action_ids), estimators=["ips"])
    assert by_policy.equals(evaluate(log, uniform, estimators=[IPS()]))


def test_defaults_leave_out_what_cannot_be_had(contextual: Any) -> None:
    """The default estimators shrink to those the arguments allow; asked for by name they raise."""
    log, target, means = contextual(2, 200)
    assert list(evaluate(log, target).index) == ["ips", "snips"]
    found = evaluate(log, target, expected_reward=means, interval="sequence")
    assert list(found.index) == ["ips", "dr"]
    with pytest.raises(EvaluationError, match="cross_fit"):
        evaluate(log, target, estimators=["dm"])
    for interval in ("sequence", "bernstein"):
        with pytest.raises(EvaluationError, match="use dr or ips"):
            evaluate(log, target, estimators=["snips"], interval=interval)


@pytest.mark.parametrize(
    "wrong",
    [{"interval": "norml"}, {"confidence": 95}, {"confidence": 0.0}, {"estimators": ["ipw"]}],
)
def test_wrong_arguments(contextual: Any, wrong: dict[str, Any]) -> None:
    """Unknown names and impossible confidences are refused."""
    log, target, means = contextual(2, 200)
    with pytest.raises(EvaluationError):
        evaluate(log, target, **{"expected_reward": means, **wrong})


def test_an_empty_log_and_a_negative_margin(contextual: Any) -> None:
    """An empty log has no value, and a margin cannot be negative."""
    log, target, means = contextual(2, 200)
    with pytest.raises(EvaluationError, match="empty"):
        evaluate(log[:0], target[:0])
    with pytest.raises(EvaluationError, match="margin"):
        compare(log, target, target, expected_reward=means, margin=-0.1)


@pytest.mark.parametrize("interval", ["normal", "bootstrap", "bernstein", "sequence"])
@pytest.mark.parametrize("dated", [True, False])
def test_row_order_does_not_matter(contextual: Any, interval: str, dated: bool) -> None:
    """Shuffled rows give the same interval; a sequence needs dates for that."""
    log, target, means = contextual(5, 300)
    if not dated:
        names = ("action_ids", "action", "action_probability", "reward", "eligible")
        log = LoggedDecisions(**{name: getattr(log, name) for name in names}, reward_range=(0, 1))
    order = np.random.default_rng(0).permutation(300)
    one = evaluate(log, target, expected_reward=means, interval=interval, seed=1)
    other = evaluate(
        log[order], target[order], expected_reward=means[order], interval=interval, seed=1
    )
    if interval == "bootstrap":  # other customers get the same draws
        assert np.allclose(one["value"], other["value"])
    elif dated or interval != "sequence":
        assert np.allclose(one, other, rtol=1e-9)
    else:
        assert not np.allclose(one["low"], other["low"], rtol=1e-9)


def test_a_comparison_is_paired(contextual: Any) -> None:
    """The difference is that of the values, its error that of the paired contributions."""
    log, target, means = contextual(4, 2_000)
    uniform = log.eligible / log.eligible.sum(axis=1, keepdims=True)
    found = compare(log, target, uniform, expected_reward=means, interval="normal")
    values = [
        evaluate(log, each, estimators=["dr"], expected_reward=means) for each in (target, uniform)
    ]
    assert found.difference == pytest.approx(values[0].value["dr"] - values[1].value["dr"])
    assert found.std_error < values[0].std_error["dr"]
    weight = (np.abs(target - uniform)[np.arange(2_000), log.action] / log.action_probability)[
        log.choice
    ]
    assert found.effective_n == pytest.approx(weight.sum() ** 2 / (weight**2).sum())
    assert found.to_dict()["verdict"] == found.verdict


def test_forced_rows_contribute_nothing(contextual: Any) -> None:
    """Rewards of rows with one eligible action do not move a difference, whatever they are."""
    log, target, means = contextual(4, 1_000)
    uniform = log.eligible / log.eligible.sum(axis=1, keepdims=True)
    moved = LoggedDecisions(
        log.action_ids, log.action, log.action_probability, np.where(log.choice, log.reward, 1.0),
        log.eligible, customer_id=log.customer_id, decision_date=log.decision_date,
        distribution=log.distribution, reward_range=log.reward_range,
    )  # fmt: skip
    assert (moved.reward != log.reward).any()
    for interval in ("normal", "sequence"):
        settings: dict[str, Any] = {"expected_reward": means, "interval": interval}
        assert compare(log, target, uniform, **settings) == compare(
            moved, target, uniform, **settings
        )


@pytest.mark.parametrize(
    ("rates", "margin", "verdict"),
    [([0.1, 0.4], 0.0, "promote"), ([0.4, 0.1], 0.0, "reject"), ([0.2, 0.2], 0.0, "hold"),
     ([0.2, 0.2], 0.2, "promote")],
)  # fmt: skip
@pytest.mark.parametrize("interval", ["normal", "sequence", "bernstein"])
def test_verdicts(
    bandit: Any, always: Any, rates: list[float], margin: float, verdict: str, interval: str
) -> None:
    """A better candidate is promoted, a worse one rejected, an equal one only within a margin."""
    log = bandit(2, 3_000, [0.5, 0.5], rates)
    found = compare(
        log,
        always(3_000, 2, 1),
        always(3_000, 2, 0),
        estimator="ips",
        interval=interval,
        margin=margin,
    )
    assert found.verdict == verdict


def test_equal_policies_differ_by_nothing(contextual: Any) -> None:
    """A policy compared with itself: exactly 0, with no uncertainty, and no evidence."""
    log, target, means = contextual(0, 300)
    found = compare(log, target, target, expected_reward=means)
    assert (found.difference, found.low, found.high, found.effective_n) == (0, 0, 0, 0)
    assert found.verdict == "hold"


def test_a_learned_range_is_said(bandit: Any, always: Any) -> None:
    """Without a declared range, or probabilities, a sequence says that its range was learned."""
    log, target = bandit(0, 500, [0.5, 0.5], [0.1, 0.2], known=False), always(500, 2, 1)
    assert compare(log, target, always(500, 2, 0), estimator="ips").range == "learned"
    assert compare(log, target, always(500, 2, 0), estimator="ips", floor=0.5).range == "declared"
    assert evaluate(log, target, interval="sequence").attrs["range"] == "learned"
    undeclared = LoggedDecisions(log.action_ids, log.action, log.action_probability, log.reward)
    found = compare(undeclared, target, always(500, 2, 0), estimator="ips", floor=0.5)
    assert found.range == "learned"
    with pytest.raises(EvaluationError, match="declared floor"):
        compare(log, target, target, estimator="ips", floor=0.6)


@pytest.mark.parametrize(
    ("chances", "arm", "least", "most"),
    [([1 / 3] * 3, 1, 0.026, 0.045), ([0.9, 0.05, 0.05], 1, 0.068, 0.125)],
)
def test_width_of_a_sequence(
    bandit: Any, always: Any, chances: list[float], arm: int, least: float, most: float
) -> None:
    """At n = 10,000 a DR sequence with a cross-fitted model is near the fixed-n interval's width."""
    log = bandit(7, 10_000, chances, [0.106, 0.183, 0.151])
    found = evaluate(
        log,
        always(10_000, 3, arm),
        estimators=[DR()],
        expected_reward=cross_fit(log),
        interval="sequence",
    ).loc["dr"]
    assert least <= found["high"] - found["low"] <= most


def test_normal_coverage(contextual: Any) -> None:
    """Over 300 logs the 95 % normal interval of DR covers the value of the contexts in about 95 %."""
    hits = 0
    for seed in range(300):
        log, target, means = contextual(seed, 500)
        truth = (target * means).sum(axis=1).mean()
        row = evaluate(log, target, estimators=["dr"], expected_reward=means * 0.9).loc["dr"]
        hits += row["low"] <= truth <= row["high"]
    assert 0.92 <= hits / 300 <= 0.985


@pytest.mark.parametrize("interval", ["normal", "bernstein", "sequence"])
@pytest.mark.parametrize("known", [True, False])
def test_an_action_never_drawn_is_not_judged(
    bandit: Any, always: Any, interval: str, known: bool
) -> None:
    """About an action that the logger never draws the log says nothing: hold, with a wide interval."""
    log = bandit(0, 4_000, [0.5, 0.5, 0.0], [0.5, 0.5, 0.5], known=known)
    settings: dict[str, Any] = {"estimator": "ips", "interval": interval}
    found = compare(log, always(4_000, 3, 2), always(4_000, 3, 0), **settings)
    assert (found.verdict, found.robust_to, found.unsupported) == ("hold", None, 1.0)
    assert found.low < -0.5
    assert found.high > 0.49
    half = 0.5 * always(4_000, 3, 2) + 0.5 * always(4_000, 3, 0)
    row = evaluate(log, half, estimators="ips", interval=interval).loc["ips"]
    assert row["low"] <= 0.25
    assert row["high"] >= 0.75


class Counting:
    """A policy that counts the rows it is called for."""

    def __init__(self, target: Any) -> None:
        self.target, self.rows = target, 0

    def distribution(self, contexts: Any, eligible: Any) -> Any:
        """The rows that follow those of the last call."""
        part = self.target[self.rows : self.rows + len(eligible)]
        self.rows += len(eligible)
        return part


@pytest.mark.parametrize("interval", INTERVALS)
@pytest.mark.parametrize("customers", [True, False])
def test_a_policy_is_called_once_per_row(contextual: Any, interval: str, customers: bool) -> None:
    """Whatever the estimators and the interval, each policy is called once for each row."""
    log, target, means = contextual(6, 300)
    log = log if customers else dataclasses.replace(log, customer_id=None)
    uniform = log.eligible / log.eligible.sum(axis=1, keepdims=True)
    by_row = ["ips", "dr", "auto"]
    names = sorted(ESTIMATORS) if interval in ("normal", "bootstrap") else by_row
    for chosen in (*names, names):
        ours = Counting(target)
        evaluate(log, ours, estimators=chosen, expected_reward=means, interval=interval)
        assert ours.rows == 300, chosen
    for name in names:
        pair = Counting(target), Counting(uniform)
        compare(log, *pair, estimator=name, expected_reward=means, interval=interval)
        assert [each.rows for each in pair] == [300, 300], name
    ours = Counting(target)
    evaluate_by(log, ours, "kind", estimators=names, expected_reward=means)
    assert ours.rows == 300


def test_ratios_are_of_choice_rows(contextual: Any) -> None:
    """Over 200 logs with forced rows of large rewards, SNIPS differences have the error they state."""
    found = []
    for seed in range(200):
        log, target, _ = contextual(seed, 400)
        raised = np.where(log.choice, log.reward, 5.0)
        log = LoggedDecisions(
            log.action_ids, log.action, log.action_probability, raised, log.eligible
        )
        uniform = log.eligible / log.eligible.sum(axis=1, keepdims=True)
        pair = compare(log, target, uniform, estimator="snips", interval="normal")
        found.append((pair.difference, pair.std_error))
    differences, errors = np.array(found).T
    assert errors.mean() == pytest.approx(differences.std(), rel=0.2)


def test_columns_of_a_frame_are_matched_by_name(bandit: Any) -> None:
    """A target given as a frame is read by its columns' names, or refused."""
    log = bandit(0, 200, [0.5, 0.5], [0.0, 1.0])
    frame = pd.DataFrame({"a1": np.ones(200), "a0": np.zeros(200)})
    assert evaluate(log, frame, estimators="ips").loc["ips", "value"] > 0.5
    with pytest.raises(EvaluationError, match="are not the actions"):
        evaluate(log, frame.rename(columns={"a0": "b"}))


def test_two_of_a_kind_keep_their_names(contextual: Any) -> None:
    """Two instances of a class are told apart by their parameters."""
    log, target, means = contextual(0, 200)
    frame = evaluate(log, target, estimators=[DRos(1.0), DRos(9.0), "ips"], expected_reward=means)
    assert list(frame.index) == ["DRos(lam=1.0)", "DRos(lam=9.0)", "ips"]


WRONG: list[tuple[Any, dict[str, Any]]] = [
    ("email", {}),
    (UniformPolicy, {}),
    ([["email"]] * 50, {}),
    (None, {"estimators": DR}),
    (None, {"estimators": []}),
    (None, {"estimators": 5}),
    (None, {"confidence": "95%"}),
    (None, {"confidence": None}),
    (None, {"floor": "1%"}),
    (None, {"interval": "sequence", "bounds": (0, 1)}),
    (None, {"interval": "sequence", "bounds": 10}),
    (None, {"expected_reward": "linear"}),
]


@pytest.mark.parametrize(("target", "settings"), WRONG)
def test_mistakes_are_named(contextual: Any, target: Any, settings: dict[str, Any]) -> None:
    """What a user may well write instead is an EvaluationError, never a traceback of numpy's."""
    log, right, _ = contextual(0, 50)
    with pytest.raises(EvaluationError):
        evaluate(log, right if target is None else target, **settings)


def test_what_is_no_log(contextual: Any) -> None:
    """A frame in the log's place, or arguments the wrong way round, are named."""
    log, target, _ = contextual(0, 50)
    for call in (
        lambda: evaluate(log.contexts, target),  # type: ignore[arg-type]
        lambda: evaluate(UniformPolicy(log.action_ids), log),  # type: ignore[arg-type]
        lambda: cross_fit(log.contexts),  # type: ignore[arg-type]
        lambda: compare(log, target, target, margin="5%"),  # type: ignore[arg-type]
        lambda: cross_fit(log, folds=10**6),
    ):
        with pytest.raises(EvaluationError):
            call()


@pytest.mark.slow
@pytest.mark.parametrize("interval", ["normal", "bootstrap", "bernstein"])
def test_coverage_of_fixed_n_intervals(bandit: Any, always: Any, interval: str) -> None:
    """Over 2,000 logs IPS intervals cover in 93.5 to 96.5 %, Bernstein's in at least 95 %."""
    hits, target = 0, always(1_000, 3, 1)
    for seed in range(2_000):
        log = bandit(seed, 1_000, [0.4, 0.3, 0.3], [0.2, 0.4, 0.3])
        row = evaluate(log, target, estimators="ips", interval=interval, seed=seed).loc["ips"]
        hits += row["low"] <= 0.4 <= row["high"]
    assert hits / 2_000 >= (0.95 if interval == "bernstein" else 0.935)
    assert interval == "bernstein" or hits / 2_000 <= 0.965
