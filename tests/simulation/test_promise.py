"""The demo in memory, against the truth: learning pays, and intervals hold the true value."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, Optional

import numpy as np
import pytest

from engine.config import load_config
from engine.models.registry import Version
from engine.source_definitions import SimulatedSource
from engine.training.train import train
from policies import Policy, cross_fit, evaluate
from simulation import scenario

SEEDS = range(20)
START = dt.date(2026, 1, 19)


class KeepingRegistry:
    """Stands in for the registry: it is empty, and keeps the registered policy."""

    policy: Optional[Policy] = None

    def find(self, **_: str) -> None:
        """Nothing."""

    def has_run(self, **_: str) -> bool:
        """Nothing was."""
        return False

    def register(self, policy: Policy, *_: Any, tags: Mapping[str, str], **__: Any) -> Version:
        """Keep it."""
        self.policy = policy
        return Version("1", tags)


class Outcome(NamedTuple):
    """One world's truth about the learned policy and the rules, and the estimate's interval."""

    learned: float
    rules: float
    low: float
    high: float


def demo(seed: int, repository: Path) -> Outcome:
    """Train on the demo's past as the engine does, and evaluate on the days reserved for the gate."""
    config = load_config(repository / "conf")
    assert isinstance(config.source, SimulatedSource)
    days = config.source.history_days
    world = scenario("stable", config.source.customers, seed)
    log = world.history(days=days, start=str(START))
    as_of = START + dt.timedelta(days=days)
    log = log[log.matured_before(np.datetime64(as_of))]
    registry: Any = KeepingRegistry()
    training = train(log, ("rules", world.incumbent), registry, config, as_of, None)
    unseen = log.split_by_date(training.split.cut)[1]
    policy = registry.policy
    table = evaluate(unseen, policy, estimators=("dr",), expected_reward=cross_fit(unseen))
    return Outcome(
        world.true_value(policy, unseen),
        world.true_value(world.incumbent, unseen),
        *table.loc["dr", ["low", "high"]],
    )


@pytest.mark.slow
def test_learning_beats_the_rules_and_intervals_hold_the_truth(repository: Path) -> None:
    """Over 20 worlds the learned policy is truly better in all, and DR's interval right in 17."""
    outcomes = [demo(seed, repository) for seed in SEEDS]
    gains = [outcome.learned - outcome.rules for outcome in outcomes]
    assert min(gains) > 0, gains
    covered = [outcome.low <= outcome.learned <= outcome.high for outcome in outcomes]
    assert sum(covered) >= 17, outcomes
    widths = [outcome.high - outcome.low for outcome in outcomes]
    assert max(widths) < 0.05  # an interval that says nothing would cover, too
