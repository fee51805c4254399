"""The verdicts that a real randomised log supports, and coverage of its random halves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from policies import FixedAction, LoggedDecisions, UniformPolicy, compare, cross_fit, evaluate

pytestmark = pytest.mark.slow
ARMS = ("Mens E-Mail", "No E-Mail", "Womens E-Mail")
FEATURES = ["recency", "history", "mens", "womens", "zip_code", "newbie", "channel"]


@pytest.fixture(scope="module")
def frame(real_file: Path) -> pd.DataFrame:
    """The file."""
    return pd.read_csv(real_file)


def log_of(frame: pd.DataFrame, reward: str, highest: float) -> LoggedDecisions:
    """The log with one of its columns as the reward."""
    third = np.full((len(frame), 3), 1 / 3)
    return LoggedDecisions.from_frame(
        frame, ARMS, "segment", third[:, 0], reward, FEATURES,
        distribution=third, reward_range=(0, highest),
    )  # fmt: skip


@pytest.fixture(scope="module")
def visits(frame: pd.DataFrame) -> tuple[LoggedDecisions, Any]:
    """Visits, and cross-fitted predictions of them."""
    log = log_of(frame, "visit", 1)
    return log, cross_fit(log, model="logistic")


def test_mens_beats_the_logged_mix(visits: Any) -> None:
    """Always-Mens is promoted over the mix that was logged, by about +.0355."""
    log, q = visits
    found = compare(log, FixedAction(ARMS, ARMS[0]), UniformPolicy(ARMS), expected_reward=q)
    assert found.difference == pytest.approx(0.0355, abs=0.002)
    assert (found.verdict, found.range) == ("promote", "declared")
    assert found.robust_to is not None
    assert found.robust_to > 1.05


def test_personalising_is_held(visits: Any) -> None:
    """A logistic greedy policy against always-Mens: about −.0007 ± .0039, so held."""
    log, q = visits
    greedy = np.eye(3)[q.argmax(axis=1)]
    found = compare(log, greedy, FixedAction(ARMS, ARMS[0]), expected_reward=q)
    assert found.difference == pytest.approx(-0.0007, abs=0.002)
    assert 1.96 * found.std_error == pytest.approx(0.0039, abs=0.0015)
    assert found.verdict == "hold"


def test_a_worse_policy_is_rejected(visits: Any) -> None:
    """A policy .010 worse than always-Mens is rejected by the sequence."""
    log, q = visits
    rates = [log.reward[log.action == arm].mean() for arm in range(3)]
    share = 0.010 / (rates[0] - rates[1])
    worse = np.tile([1 - share, share, 0.0], (len(log), 1))
    found = compare(log, worse, FixedAction(ARMS, ARMS[0]), expected_reward=q)
    assert found.difference == pytest.approx(-0.010, abs=0.001)
    assert found.verdict == "reject"


@pytest.mark.parametrize("model", ["linear", "logistic", "boosted"])
def test_spend_promotes_nobody(frame: pd.DataFrame, model: str) -> None:
    """On spend, where 578 customers bought, no learned policy is promoted over always-Mens."""
    log = log_of(frame, "spend", 500)
    q = cross_fit(log, model=model)
    greedy = np.eye(3)[q.argmax(axis=1)]
    mens = FixedAction(ARMS, ARMS[0])
    for interval in ("normal", "sequence"):
        found = compare(log, greedy, mens, expected_reward=q, interval=interval)
        assert found.verdict != "promote", (interval, found)


def test_random_halves(visits: Any) -> None:
    """The difference of an arm's value on two random halves is covered in 93–97 % of 2,000."""
    log, _ = visits
    hits = dict.fromkeys(ARMS, 0)
    rng = np.random.default_rng(0)
    targets = {arm: FixedAction(ARMS, arm) for arm in ARMS}
    for _ in range(2_000):
        order = rng.permutation(len(log))
        halves = [log[order[: len(log) // 2]], log[order[len(log) // 2 :]]]
        for arm, target in targets.items():
            one, other = (evaluate(half, target, estimators="ips").loc["ips"] for half in halves)
            half_width = 1.96 * np.hypot(one.std_error, other.std_error)
            hits[arm] += abs(one.value - other.value) <= half_width
    assert all(0.93 <= count / 2_000 <= 0.97 for count in hits.values()), hits
