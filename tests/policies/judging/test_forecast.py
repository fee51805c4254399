"""Forecasts: the winner's curse is there, and the posterior does not suffer from it."""

from __future__ import annotations

import numpy as np
import pytest

from policies.errors import EvaluationError
from policies.judging.forecast import Forecast, Prior, Retention, forecast, trial_result
from policies.log import LoggedDecisions
from policies.sequences.days import day_sums
from tests.policies.judging.test_change_detection import days_of


def test_a_normal_prior_gives_the_textbook_posterior() -> None:
    """With prior N(0, t²) and estimate x ± s the mean is x·t²/(t²+s²), the interval ±1.645 of its sd."""
    days = days_of(np.full(4, 0.02), 3)
    raw, error = trial_result(days)
    spread = 0.01
    told = forecast(days, Prior.default(spread), Retention(1.0, 0.0))
    shrink = spread**2 / (spread**2 + error**2)
    sd = np.sqrt(shrink) * error
    assert told.raw == raw
    assert told.difference == told.posterior_mean == pytest.approx(raw * shrink, rel=2e-3)
    assert told.std_error == pytest.approx(sd, rel=0.01)
    assert told.low == pytest.approx(raw * shrink - 1.6449 * sd, abs=sd * 0.02)
    assert told.high == pytest.approx(raw * shrink + 1.6449 * sd, abs=sd * 0.02)
    half = forecast(days, Prior.default(spread), Retention(0.5, 0.0))
    assert half.difference == pytest.approx(told.difference / 2)
    assert half.low == pytest.approx(told.low / 2, abs=sd * 0.02)
    wider = forecast(days, Prior.default(spread), Retention(1.0, sd / told.difference))
    assert wider.high - wider.low == pytest.approx(np.sqrt(2) * (told.high - told.low), rel=0.02)


def test_what_is_kept_is_learned_from_promotions() -> None:
    """From many promotions the mean share that is left is found, and how much it varies."""
    rng = np.random.default_rng(0)
    true = rng.uniform(0.005, 0.03, 400)
    later = true * (0.6 + 0.4 * rng.normal(size=400)) + rng.normal(0, 0.002, 400)
    past = [
        (Forecast(0.0, t + rng.normal(0, 0.001), 0.001, 0.0, 0.0, 0.0, 0.9), x, 0.002)
        for t, x in zip(true, later)
    ]
    kept = Retention().updated(past)
    assert kept.share == pytest.approx(0.6, abs=0.05)
    assert kept.spread == pytest.approx(0.4, abs=0.05)
    assert Retention().updated([]) == Retention()
    steady = [(each, each.posterior_mean * 0.6, 0.002) for each, _, _ in past]
    assert Retention().updated(steady).spread == Retention().spread


def test_estimate_and_error_are_those_of_the_rows() -> None:
    """The difference per row and its standard error, by hand from three rows."""
    log = LoggedDecisions(
        ["a", "b"], [0, 1, 1], [0.5, 0.5, 0.5], [1.0, 0.0, 1.0], reward_range=(0, 1)
    )
    ours, theirs = np.tile([1.0, 0.0], (3, 1)), np.tile([0.0, 1.0], (3, 1))
    terms = np.array([2.0, 0.0, -2.0])
    mean, error = trial_result(day_sums(log, ours, theirs, estimator="ips"))
    assert mean == pytest.approx(terms.mean())
    assert error == pytest.approx(terms.std() / np.sqrt(3))


def test_a_prior_is_learned_from_all_lineages() -> None:
    """From many noisy results the spread of true differences is found: their mean and their sd."""
    rng = np.random.default_rng(0)
    true = rng.normal(0.015, 0.008, 600)
    errors = rng.uniform(0.004, 0.008, 600)
    prior = Prior.default(0.02).updated(list(zip(true + errors * rng.normal(size=600), errors)))
    mean = prior.masses @ prior.differences
    sd = np.sqrt(prior.masses @ (prior.differences - mean) ** 2)
    assert mean == pytest.approx(0.015, abs=0.001)
    assert sd == pytest.approx(0.008, abs=0.002)
    assert Prior.default(0.02).updated([]).masses.sum() == pytest.approx(1)


def test_stopping_at_a_verdict_biases_the_estimate_and_not_the_forecast() -> None:
    """Streams stopped when they look good are raw too good; forecasts with the right prior are not."""
    rng = np.random.default_rng(1)
    spread, sd, look = 0.01, 0.45, 2_000
    raw, told, true, inside = [], [], [], []
    prior = Prior.default(spread)
    for _ in range(1500):
        delta = rng.normal(0, spread)
        looks = rng.normal(delta, sd / np.sqrt(look), 30)
        means = np.cumsum(looks) / np.arange(1, 31)
        errors = sd / np.sqrt(look * np.arange(1, 31))
        crossed = np.flatnonzero(means > 2.5 * errors)
        if not len(crossed):
            continue
        at = crossed[0]
        likely = prior.masses * np.exp(-(((means[at] - prior.differences) / errors[at]) ** 2) / 2)
        likely /= likely.sum()
        raw.append(means[at])
        told.append(likely @ prior.differences)
        true.append(delta)
        below = np.cumsum(likely)
        low, high = np.interp([0.05, 0.95], below, prior.differences)
        inside.append(low <= delta <= high)
    off, error = np.subtract(told, true), np.std(np.subtract(told, true)) / np.sqrt(len(true))
    assert len(true) > 250
    assert np.mean(np.subtract(raw, true)) > 5 * error
    assert abs(off.mean()) < 2.5 * error
    assert np.mean(inside) > 0.86


def test_impossible_forecasts_are_refused() -> None:
    """No rows, no spread and no confidence are errors."""
    with pytest.raises(EvaluationError, match="no rows"):
        trial_result([])
    with pytest.raises(EvaluationError, match="spread"):
        Prior.default(0.0)
    with pytest.raises(EvaluationError, match="confidence"):
        forecast(days_of(np.zeros(1), 0), Prior.default(0.01), confidence=1.0)
