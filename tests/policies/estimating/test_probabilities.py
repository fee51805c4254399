"""Estimated action probabilities: near the true ones, calibrated, and flagged everywhere."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pandas as pd
import pytest

from policies import FixedAction, assess, compare, cross_fit, evaluate
from policies.errors import EvaluationError
from policies.estimating.probabilities import estimate_probabilities
from policies.judging.gate import Gate
from policies.log import LoggedDecisions
from policies.sequences.days import day_sums


def forgotten(log: LoggedDecisions) -> LoggedDecisions:
    """The log without its probabilities."""
    return dataclasses.replace(log, action_probability=None, distribution=None)


@pytest.mark.parametrize(("model", "error"), [("logistic", 0.02), ("boosted", 0.04)])
def test_near_the_truth(contextual: Any, model: str, error: float) -> None:
    """Estimates are near the probabilities that were drawn from, and exact where nothing is free."""
    log, target, _ = contextual(1, 6_000)
    found = estimate_probabilities(forgotten(log), model=model, floor=0.0)
    assert np.abs(found.distribution - log.distribution).mean() < error
    assert (found.distribution[~log.eligible] == 0).all()
    assert (found.action_probability[~log.choice] == 1).all()
    known = evaluate(log, target, estimators="snips").loc["snips"]
    guessed = evaluate(found, target, estimators="snips").loc["snips"]
    assert abs(known.value - guessed.value) < 2 * known.std_error


def test_calibrated_by_action(contextual: Any) -> None:
    """Each action's probabilities add up to its rows."""
    log, _, _ = contextual(2, 3_000)
    found = estimate_probabilities(forgotten(log), floor=0.0)
    counts = np.bincount(log.action, minlength=3)
    np.testing.assert_allclose(found.distribution.sum(axis=0), counts, rtol=2e-3)


def test_without_contexts_rates_remain(bandit: Any) -> None:
    """A log without contexts gets its actions' rates."""
    log = bandit(0, 2_000, [0.7, 0.3], [0.1, 0.2])
    found = estimate_probabilities(forgotten(log), floor=0.0)
    assert found.distribution[0, 0] == pytest.approx((log.action == 0).mean(), abs=1e-4)


def test_wrong_probabilities_are_replaced(contextual: Any) -> None:
    """A log with wrong probabilities is no longer broken, and decides no promotion."""
    log, target, _ = contextual(3, 6_000)
    wrong = np.where(log.action == 1, 0.5, 1.0) * log.action_probability
    halved = dataclasses.replace(log, action_probability=wrong, distribution=None)
    assert assess(halved, target).verdict == "broken"
    found = assess(estimate_probabilities(halved), target)
    assert found.verdict == "decide"
    assert "estimated" in found.reasons[-1]


def test_the_flag_travels(contextual: Any) -> None:
    """evaluate, compare, day sums and parts of the log all say "estimated", and the gate refuses."""
    log, target, _ = contextual(4, 2_000)
    found = estimate_probabilities(forgotten(log))
    model = cross_fit(found)
    assert found[:10].probabilities == "estimated"
    assert evaluate(found, target).attrs["probabilities"] == "estimated"
    fixed = FixedAction(log.action_ids, "a0")
    some = found[found.eligible.all(axis=1)]
    pair = compare(some, fixed, target[found.eligible.all(axis=1)], estimator="ips")
    assert (pair.probabilities, pair.range) == ("estimated", "learned")
    days = day_sums(found, target, found.eligible / found.eligible.sum(axis=1)[:, None], model)
    assert {each.range for each in days} == {"learned"}
    assert not Gate().judge(days).rules["range"]["holds"]


def test_folds_keep_customers_together(contextual: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """No classifier sees a row of a customer whose rows it scores."""
    log, _, _ = contextual(5, 400, customers=40)
    seen: list[tuple[np.ndarray, np.ndarray]] = []

    class Spy:
        def fit(self, design: Any, action: Any) -> Any:
            self.classes, self.rows = np.unique(action), design
            return self

        def predict_proba(self, design: Any) -> Any:
            seen.append((self.rows[:, 0], design[:, 0]))
            return np.full((len(design), len(self.classes)), 1 / len(self.classes))

    monkeypatch.setattr("policies.estimating.probabilities._classifier", lambda *_: Spy())
    numbered = dataclasses.replace(
        log, contexts=pd.DataFrame({"row": pd.factorize(log.customer_id)[0].astype(float)})
    )
    estimate_probabilities(forgotten(numbered))
    assert len(seen) == 5
    for fitted, scored in seen:
        assert not set(fitted) & set(scored)


def test_wrong_arguments(contextual: Any) -> None:
    """Unknown models, one fold, and floors that leave no distribution are refused."""
    log, _, _ = contextual(6, 100)
    for wrong in ({"model": "tree"}, {"folds": 1}, {"floor": 0.5}, {"floor": -0.1}):
        with pytest.raises(EvaluationError):
            estimate_probabilities(log, **wrong)


def test_forced_rows_teach_nothing() -> None:
    """Where one side of the contexts is mostly forced, estimates of the choices stay right."""
    rng, n = np.random.default_rng(0), 10_000
    x, z = rng.normal(size=n), rng.normal(size=n)
    scores = np.exp(np.column_stack([np.zeros(n), z, np.zeros(n)]))
    forced = (x > 0) & (rng.random(n) < 0.8)
    eligible = np.ones((n, 3), dtype=bool)
    eligible[forced, 1:] = False
    chances = scores * eligible / (scores * eligible).sum(axis=1, keepdims=True)
    action = (chances.cumsum(axis=1) > rng.random((n, 1))).argmax(axis=1)
    log = LoggedDecisions(
        ["a", "b", "c"], action, None, np.zeros(n), eligible,  # type: ignore[arg-type]
        contexts=pd.DataFrame({"x": x, "z": z}),
    )  # fmt: skip
    found = estimate_probabilities(log).distribution
    assert found is not None
    assert np.abs(found - chances)[log.choice].mean() < 0.02


def test_rare_actions_keep_their_share() -> None:
    """An action of 0.3 % is not lifted to the floor, so its value and the log stay sound."""
    rng, n = np.random.default_rng(1), 5_000
    action = rng.choice(3, n, p=[0.5, 0.497, 0.003])
    log = LoggedDecisions(
        ["a", "b", "c"], action, None, (action == 2) * 1.0,  # type: ignore[arg-type]
        contexts=pd.DataFrame({"z": rng.normal(size=n)}),
    )  # fmt: skip
    found = estimate_probabilities(log)
    target = np.tile([0.0, 0.0, 1.0], (n, 1))
    assert evaluate(found, target, estimators="ips").value["ips"] == pytest.approx(1.0, abs=0.15)
    assert assess(found, target).verdict == "collect"
