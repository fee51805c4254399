"""Reward models never see the row they predict, look forward only by date, and predict well."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pandas as pd
import pytest

from policies.errors import EvaluationError
from policies.estimating.regressions import Logistic
from policies.estimating.reward_model import cross_fit, fit_reward_model
from policies.judging.values import evaluate
from policies.log import LoggedDecisions


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


@pytest.mark.parametrize("by", ["folds", "date"])
def test_a_log_without_rows(contextual: Any, by: str) -> None:
    """No row gives no prediction, by folds and by date."""
    log, _, _ = contextual(6, 100)
    assert cross_fit(log[:0], by=by).shape == (0, 3)


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


@pytest.mark.parametrize("model", ["linear", "logistic", "boosted"])
def test_every_model_learns(contextual: Any, model: str) -> None:
    """Out of fold each kind has skill, stays in the range, and keeps customers together."""
    log, target, means = contextual(4, 6_000, customers=2_000)
    found = cross_fit(log, model=model)
    assert found.min() >= 0
    assert found.max() <= 1
    assert np.corrcoef(found[log.eligible], means[log.eligible])[0, 1] > 0.8
    assert evaluate(log, target, expected_reward=found).attrs["model_skill"] > 0.03
    fitted = fit_reward_model(log, model=model).predict(log.contexts)
    assert np.abs(fitted - found).mean() < 0.05


@pytest.mark.parametrize("model", ["logistic", "boosted"])
def test_rewards_of_any_scale(contextual: Any, model: str) -> None:
    """Rewards shifted and stretched give predictions shifted and stretched; money is no class."""
    log, _, _ = contextual(4, 1_500)
    stretched = dataclasses.replace(log, reward=3 + 20 * log.reward, reward_range=(3, 23))
    np.testing.assert_allclose(
        cross_fit(stretched, model=model), 3 + 20 * cross_fit(log, model=model), rtol=1e-4
    )
    rng = np.random.default_rng(0)
    money = dataclasses.replace(
        log, reward=log.reward * rng.gamma(2, 20, len(log)), reward_range=(0, 500)
    )
    taken = cross_fit(money, model=model)[np.arange(len(log)), log.action]
    assert taken[log.choice].mean() == pytest.approx(money.reward[log.choice].mean(), rel=0.1)


@pytest.mark.parametrize("model", ["logistic", "boosted"])
@pytest.mark.parametrize("rewards", ["none", "one", "all"])
def test_rewards_that_hardly_vary(contextual: Any, model: str, rewards: str) -> None:
    """No reward, a single one, or rewards everywhere are learned without an error."""
    log, _, _ = contextual(4, 300)
    reward = {"none": np.zeros(300), "one": (np.arange(300) == 7) * 1.0, "all": np.ones(300)}
    found = cross_fit(dataclasses.replace(log, reward=reward[rewards]), model=model)
    assert np.abs(found - reward[rewards].mean()).max() < 0.2


def test_costly_models_go_forward(contextual: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """By date, a logistic model is fitted on matured rows only, and when they have grown enough."""
    log, _, _ = contextual(5, 1_800, days=30)
    sizes: list[int] = []
    fit = Logistic.fit

    def counted(self: Logistic, *args: Any) -> Any:
        sizes.append(len(self.reward))
        return fit(self, *args)

    monkeypatch.setattr(Logistic, "fit", counted)
    cross_fit(log, by="date", model="logistic")
    assert 5 < len(sizes) < 25  # of 30 days: when a fifth was added, or contexts were encoded anew
    assert sizes == sorted(sizes)
    assert sizes[0] == (log.choice & (log.decision_date == log.decision_date.min())).sum()


def test_skill_by_hand(bandit: Any, always: Any) -> None:
    """Skill is 1 − missed over spread: 1 for the rewards themselves, 0 for their mean, else below."""
    log, target = bandit(0, 400, [0.5, 0.5], [0.2, 0.4]), always(400, 2, 1)

    def skill(predicted: Any) -> float:
        return float(evaluate(log, target, expected_reward=predicted).attrs["model_skill"])

    assert skill(np.tile(log.reward[:, None], 2)) == 1.0
    assert skill(np.full((400, 2), log.reward.mean())) == pytest.approx(0.0)
    assert skill(np.full((400, 2), 1.0)) < -1
    assert np.isnan(evaluate(log, target).attrs["model_skill"])


def test_a_poor_model_makes_dr_less_sure(contextual: Any) -> None:
    """DR with predictions that are noise has a wider interval than IPS, which covers the truth."""
    log, target, means = contextual(7, 4_000)
    noise = np.random.default_rng(0).random(means.shape) * 4
    found = evaluate(log, target, estimators=["ips", "dr"], expected_reward=noise)
    assert found.attrs["model_skill"] < 0
    assert found.loc["dr", "std_error"] > found.loc["ips", "std_error"]
    truth = (np.where(log.choice[:, None], target, log.eligible) * means).sum(axis=1).mean()
    assert found.loc["dr", "low"] < truth < found.loc["dr", "high"]


@pytest.mark.parametrize("model", ["linear", "logistic"])
def test_encodings_grow_with_the_log(model: str) -> None:
    """Forward models come to know categories that were rare, or absent, on the first day."""
    rng, days, m = np.random.default_rng(0), 40, 40
    n, levels = days * m, [f"l{each}" for each in range(8)]
    kind = rng.choice(levels, n)
    chance = dict(zip(levels, np.linspace(0.05, 0.95, 8)))
    log = LoggedDecisions(
        ["a", "b"], rng.integers(0, 2, n), np.full(n, 0.5),
        (rng.random(n) < [chance[each] for each in kind]) * 1.0, reward_range=(0, 1),
        contexts=pd.DataFrame({"kind": kind}),
        decision_date=np.datetime64("2026-01-01") + np.repeat(np.arange(days), m),
    )  # fmt: skip
    late = log.decision_date >= np.datetime64("2026-01-21")
    truth = np.array([chance[each] for each in kind])
    found = cross_fit(log, by="date", model=model)
    assert np.corrcoef(found[late, 0], truth[late])[0, 1] > 0.9


@pytest.mark.parametrize(
    "settings",
    [{"by": None}, {"by": []}, {"model": []}, {"model": None}, {"seed": -1}, {"seed": "x"},
     {"seed": 1.5}, {"seed": None}],
)  # fmt: skip
def test_settings_of_another_kind(contextual: Any, settings: dict[str, Any]) -> None:
    """Names that are no texts and seeds that are no whole numbers are refused."""
    with pytest.raises(EvaluationError):
        cross_fit(contextual(0, 50)[0], **settings)
