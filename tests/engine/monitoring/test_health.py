"""The daily check of the log."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from engine.monitoring.health import LOG, health_rows, problems, refusal_rows
from policies import AsDeployed, Exploration, FixedAction, LoggedDecisions, assess

IDS = ("none", "email", "call")


def skewed_log(n: int = 3_000) -> LoggedDecisions:
    """Decisions by a logger that hardly ever calls."""
    p = np.array([0.58, 0.4, 0.02])
    action = np.random.default_rng(0).choice(3, size=n, p=p)
    return LoggedDecisions(
        IDS,
        action,
        p[action],
        (action == 2).astype(float),
        distribution=np.tile(p, (n, 1)),
        reward_range=(0, 1),
    )


def test_the_candidate_is_assessed_as_deployed() -> None:
    """The check's effective sample size is that of the deployed candidate, not of the raw policy."""
    log, candidate, exploration = skewed_log(), FixedAction(IDS, "call"), Exploration(0.02, 0.5)
    reward = SimpleNamespace(range=(0.0, 1.0))
    config: Any = SimpleNamespace(exploration=exploration, engine=SimpleNamespace(reward=reward))
    rows = health_rows(log, candidate, config)
    expected = assess(log, AsDeployed(candidate, exploration), minimum_effect=1.0)
    raw = assess(log, candidate)
    assert set(rows["subject"]) == {LOG}
    assert set(rows["value"]) == {expected.effective_n}
    assert expected.effective_n > 1.1 * raw.effective_n
    assert set(rows["status"]) == {expected.verdict}
    assert problems(rows) == []


def test_a_refused_version_on_trial_holds_the_gate() -> None:
    """Each refused version is a row with its reason; only one on trial is a problem of the log."""
    rows = refusal_rows({"2": "no weights", "3": "no model"}, on_trial=["3", "4"])
    assert list(rows["subject"]) == ["models", LOG]
    assert list(rows["metric"]) == ["refused_2", "refused_3"]
    assert list(rows["reason"]) == [
        "version 2 cannot be used: no weights",
        "version 3 cannot be used: no model",
    ]
    assert rows[["value", "threshold"]].isna().all(axis=None)
    assert problems(rows) == ["version 3 cannot be used: no model"]
    assert problems(refusal_rows({"2": "no weights"})) == []
