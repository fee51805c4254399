"""Reward models never see the row they predict, look forward only by date, and predict well."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

import numpy as np
import pandas as pd
import pytest

from policies.errors import EvaluationError
from policies.evaluation.reward_model import cross_fit, fit_reward_model
from policies.logged import LoggedDecisions


@pytest.mark.parametrize("by", ["folds", "date"])
def test_no_row_sees_its_own_reward(contextual: Any, by: str) -> None:
    """Changing a row's reward leaves its own prediction, and that of its customer, as it was."""
    log, _, _ = contextual(0, 600, customers=200)
    before = cross_fit(log, by=by)
    for row in np.flatnonzero(log.choice)[[0, 50, 300]]:
        reward = log.reward.copy()
        reward[row] = 1 - reward[row]
        after = cross_fit(dataclasses.replace(log, reward=reward), by=by)
        same = log.customer_id == log.customer_id[row] if by == "folds" else np.arange(600) == row
        np.testing.assert_array_equal(after[same], before[same])
        if row < 300:  # with days to come
            assert (after != before).any()


def test_by_date_looks_forward_only(contextual: Any) -> None:
    """Neither rewards nor contexts of a day, or of any later one, change that day's predictions."""
    log, _, _ = contextual(1, 600)
    late = log.decision_date >= np.datetime64("2026-01-04")
    before = cross_fit(log, by="date")
    contexts = log.contexts.copy()
    contexts.loc[late, "x"] = contexts.loc[late, "x"] * 50 + 3
    moved = dataclasses.replace(
        log, contexts=contexts, reward=np.where(late, 1 - log.reward, log.reward)
    )
    np.testing.assert_array_equal(cross_fit(moved, by="date")[~late], before[~late])
    shown = dataclasses.replace(log, reward=np.where(late, 1 - log.reward, log.reward))
    first = log.decision_date == np.datetime64("2026-01-04")
    np.testing.assert_array_equal(cross_fit(shown, by="date")[first], before[first])


def test_by_date_waits_until_rewards_mature(contextual: Any) -> None:
    """Days before the first matured reward are predicted with 0; later ones by matured rows."""
    log, _, _ = contextual(1, 600)
    late = dataclasses.replace(log, matured_on=log.decision_date + 4)
    predicted = cross_fit(late, by="date")
    early = log.decision_date < np.datetime64("2026-01-05")
    assert (predicted[early] == 0).all()
    assert (predicted[~early] > 0).any()
    fifth = log.decision_date == np.datetime64("2026-01-05")
    matured = log[late.matured_before("2026-01-05")]
    assert set(matured.decision_date) == {np.datetime64("2026-01-01")}
    rates = [matured.reward[(matured.action == a) & matured.choice].mean() for a in range(3)]
    assert np.abs(predicted[fifth].mean(axis=0) - rates).max() < 0.2


def test_by_date_equals_fitting_afresh(contextual: Any) -> None:
    """Sums carried from day to day give the model that a fit on all matured rows gives."""
    log, _, _ = contextual(2, 900)
    plain = dataclasses.replace(log, contexts=None)
    predicted = cross_fit(plain, by="date")
    for day in ("2026-01-03", "2026-01-06"):
        rows = log.decision_date == np.datetime64(day)
        fresh = fit_reward_model(plain[plain.matured_before(day)])
        np.testing.assert_allclose(predicted[rows], fresh.predict(None, int(rows.sum())), rtol=1e-9)


def test_folds_are_seeded(contextual: Any) -> None:
    """The same seed gives the same predictions, another seed others."""
    log, _, _ = contextual(3, 500)
    once = cross_fit(log, seed=1)
    np.testing.assert_array_equal(once, cross_fit(log, seed=1))
    assert not np.array_equal(once, cross_fit(log, seed=2))


def test_it_learns(contextual: Any) -> None:
    """Out of fold it predicts the true means far better than each action's average does."""
    log, _, means = contextual(4, 8_000)
    error = np.mean((cross_fit(log) - means)[log.eligible] ** 2)
    average = np.array([log.reward[log.action == a].mean() for a in range(3)])
    assert error < 0.5 * np.mean((average - means)[log.eligible] ** 2)


def test_rare_actions_lean_on_the_others() -> None:
    """An action with one row is predicted near the overall mean, one without any exactly there."""
    action = np.r_[np.zeros(500, dtype=int), 1]
    reward = np.r_[np.tile([0.0, 0.0, 0.0, 1.0, 0.0], 100), 1.0]
    log = LoggedDecisions(["a", "b", "c"], action, np.full(501, 1 / 3), reward)
    found = fit_reward_model(log).predict(None, 1)[0]
    assert found[0] == pytest.approx(0.2, abs=0.01)
    assert 0.2 < found[1] < 0.3
    assert found[2] == pytest.approx(101 / 501, abs=1e-6)


def test_predictions_stay_in_the_range(contextual: Any) -> None:
    """Predictions are clipped to the declared range, else to the range seen."""
    log, _, _ = contextual(5, 500)
    wild = pd.DataFrame({"x": [-50.0, 50.0], "kind": ["low", "never seen"]})
    for each in (log, dataclasses.replace(log, reward_range=None)):
        found = fit_reward_model(each).predict(wild)
        assert found.min() >= 0
        assert found.max() <= 1
    shifted = dataclasses.replace(log, reward=log.reward + 3, reward_range=(3, 4))
    assert cross_fit(shifted, by="date").min() == 3.0


def test_forced_rows_do_not_teach(contextual: Any) -> None:
    """Rewards of rows with one eligible action change no prediction."""
    log, _, _ = contextual(6, 500)
    moved = dataclasses.replace(log, reward=np.where(log.choice, log.reward, 1.0))
    np.testing.assert_array_equal(cross_fit(log), cross_fit(moved))


def test_wrong_arguments(contextual: Any) -> None:
    """Unknown names, one fold, and dates that are not there are refused."""
    log, _, _ = contextual(6, 100)
    undated = dataclasses.replace(log, decision_date=None)
    for wrong in ({"by": "dates"}, {"model": "lineal"}, {"folds": 1}):
        with pytest.raises(EvaluationError):
            cross_fit(log, **wrong)
    with pytest.raises(EvaluationError, match="needs decision_date"):
        cross_fit(undated, by="date")
    with pytest.raises(EvaluationError, match="at least one row"):
        fit_reward_model(log[:0])


def test_forward_models_are_fast() -> None:
    """60 days of 1,000 rows with 25 features and 6 actions are predicted within 2 s."""
    rng, n = np.random.default_rng(0), 60_000
    log = LoggedDecisions(
        [str(index) for index in range(6)],
        rng.integers(0, 6, n),
        np.full(n, 1 / 6),
        rng.random(n),
        contexts=pd.DataFrame(
            rng.normal(size=(n, 25)), columns=[f"x{index}" for index in range(25)]
        ),
        decision_date=np.datetime64("2026-01-01") + np.arange(n) // 1_000,
    )
    start = time.perf_counter()
    cross_fit(log, by="date")
    assert time.perf_counter() - start < 2.0
