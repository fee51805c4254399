"""Logs for the tests of evaluation, drawn in memory; each fixture is a function that draws one."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest

from policies.log import LoggedDecisions

Floats = npt.NDArray[np.float64]


def _ids(k: int) -> list[str]:
    return [f"a{index}" for index in range(k)]


def _always(n: int, k: int, action: int) -> Floats:
    return np.tile(np.eye(k)[action], (n, 1))


def _bandit(
    seed: int, n: int, chances: Any, rates: Any, *, days: Any = None, known: bool = True
) -> LoggedDecisions:
    """A context-free log with Bernoulli rewards; `days` is the day number of each row."""
    rng, k = np.random.default_rng(seed), len(chances)
    action = rng.choice(k, n, p=chances)
    reward = (rng.random(n) < np.asarray(rates)[action]).astype(float)
    return LoggedDecisions(
        _ids(k),
        action,
        np.asarray(chances)[action],
        reward,
        reward_range=(0, 1),
        distribution=np.tile(chances, (n, 1)) if known else None,
        decision_date=None if days is None else np.datetime64("2026-01-01") + days,
    )


def _contextual(
    seed: int, n: int, k: int = 3, *, days: int = 6, customers: int | None = None
) -> Any:
    """A log with contexts, forced rows, customers and dates; its target, and true means (n, k)."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    eligible = rng.random((n, k)) < 0.8
    eligible[:, 0] = True
    scores = np.exp(np.outer(x, np.linspace(-0.7, 0.7, k))) * eligible
    distribution = scores / scores.sum(axis=1, keepdims=True)
    action = (distribution.cumsum(axis=1) > rng.random((n, 1))).argmax(axis=1)
    means = 1 / (1 + np.exp(1.5 - np.outer(x, np.linspace(-1, 1, k))))
    reward = (rng.random(n) < means[np.arange(n), action]).astype(float)
    log = LoggedDecisions(
        _ids(k),
        action,
        distribution[np.arange(n), action],
        reward,
        eligible,
        contexts=pd.DataFrame({"x": x, "kind": np.where(x > 0.5, "high", "low")}),
        decision_date=np.datetime64("2026-01-01") + np.arange(n) * days // n,
        customer_id=np.arange(n) if customers is None else rng.integers(0, customers, n),
        distribution=distribution,
        reward_range=(0, 1),
    )
    wanted = np.where(eligible, np.exp(np.outer(x, np.linspace(-1, 1, k))), 0.0)
    return log, wanted / wanted.sum(axis=1, keepdims=True), means


@pytest.fixture
def always() -> Any:
    """(n, k, action) -> the target that always takes it."""
    return _always


@pytest.fixture
def bandit() -> Any:
    """(seed, n, chances, rates, days=None, known=True) -> a log without contexts."""
    return _bandit


@pytest.fixture
def contextual() -> Any:
    """(seed, n, k=3, days=6, customers=None) -> a log, a target and true means."""
    return _contextual
