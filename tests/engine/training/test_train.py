"""Training: the best recipe of the early days becomes a version that says where it came from."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Optional

import numpy as np
import pandas as pd
import pytest

from engine.config import Config, load_config
from engine.data.lineages import lineages
from engine.features.customer import BEHAVIOUR
from engine.registry import Version
from engine.training.train import Trained, log_hash, train
from policies import LoggedDecisions, Policy
from policies.learning.selection import default_grid
from simulation import World, scenario

START, DAYS = dt.date(2026, 1, 1), 24
AS_OF = START + dt.timedelta(days=DAYS)


class Shelf:
    """Stands in for the registry: versions with their tags, and all that was logged."""

    def __init__(self) -> None:
        self.versions: list[Version] = []
        self.logged: list[dict[str, Any]] = []

    def find(self, **tags: str) -> Optional[Version]:
        """The newest version with these tags."""
        found = [each for each in self.versions if tags.items() <= dict(each.tags).items()]
        return found[-1] if found else None

    def register(
        self, policy: Policy, features: Any, example: Any, *, tags: Mapping[str, str], **rest: Any
    ) -> Version:
        """Keep everything."""
        self.versions.append(Version(str(len(self.versions) + 1), dict(tags)))
        self.logged.append({"policy": policy, "features": features, "example": example, **rest})
        return self.versions[-1]


@pytest.fixture(scope="module")
def config(repository: Path) -> Config:
    """What ships, with fewer days kept for the gate."""
    shipped = load_config(repository / "conf")
    training = shipped.engine.training.model_copy(update={"reserve_days": 6})
    engine = shipped.engine.model_copy(update={"training": training})
    return Config(shipped.catalogue, engine, simulation=shipped.simulation)


@pytest.fixture(scope="module")
def world() -> World:
    """A small world."""
    return scenario("stable", customers=300, seed=2)


@pytest.fixture(scope="module")
def log(world: World) -> LoggedDecisions:
    """All that had matured by AS_OF."""
    log = world.history(days=DAYS, start=str(START))
    return log[log.matured_before(AS_OF)]


@pytest.fixture(scope="module")
def trained(world: World, config: Config, log: LoggedDecisions) -> tuple[Shelf, Trained]:
    """A first training."""
    shelf: Any = Shelf()
    return shelf, train(log, world.incumbent, shelf, config, BEHAVIOUR, AS_OF, None)


def test_the_version_says_where_it_came_from(
    trained: tuple[Shelf, Trained], config: Config
) -> None:
    """Tags name recipe, lineage, days, and the hashes of log, features, catalogue and code."""
    shelf, made = trained
    tags = made.version.tags
    assert tags["recipe"] in {each.recipe for each in default_grid(config.catalogue.action_ids)}
    assert tags["lineage"] == f"{tags['recipe']}@{AS_OF}"
    assert tags["as_of"] == str(AS_OF)
    assert tags["trained_through"] == str(made.split.cut)
    assert tags["first_day"] == str(START)
    assert tags["catalogue_hash"] == config.catalogue.hash
    for name in ("log_hash", "config_hash", "code_hash", "feature_hash", "training_key"):
        assert len(tags[name]) == 12
    assert shelf.logged[0]["params"]["judged_from"] == str(made.split.cut)
    assert shelf.logged[0]["features"] == BEHAVIOUR


def test_the_best_lower_bound_wins_and_is_refitted(trained: tuple[Shelf, Trained]) -> None:
    """What is registered is the pessimistic best, fitted on all days that may be learned from."""
    shelf, made = trained
    assert made.selection is not None
    table = made.selection.table
    assert made.version.tags["recipe"] == table["low"].idxmax() == table.index[0]
    assert len(table) == 4
    policy = shelf.logged[0]["policy"]
    assert policy.recipe == table.index[0]
    contexts = made.split.select.contexts
    both = policy.distribution(contexts), made.selection.best.distribution(contexts)
    assert not np.allclose(*both)


def test_the_example_can_be_served(trained: tuple[Shelf, Trained]) -> None:
    """The logged example has every feature and lists of eligible actions."""
    shelf, _ = trained
    example: pd.DataFrame = shelf.logged[0]["example"]
    assert set(BEHAVIOUR) < set(example.columns)
    assert all("no_contact" in each for each in example["eligible_actions"])


def test_an_equal_training_finds_its_version(
    trained: tuple[Shelf, Trained], world: World, config: Config, log: LoggedDecisions
) -> None:
    """The same log, configuration and code register nothing, whatever the day is called."""
    shelf, first = trained
    later = AS_OF + dt.timedelta(days=1)
    again = train(log, world.incumbent, shelf, config, BEHAVIOUR, later, None)  # type: ignore[arg-type]
    assert again.version == first.version
    assert again.selection is None
    assert len(shelf.versions) == 1


def test_what_the_gate_will_judge_does_not_matter_to_training(
    trained: tuple[Shelf, Trained], world: World, config: Config, log: LoggedDecisions
) -> None:
    """Other rewards on reserved days change nothing: training never reads them."""
    shelf, first = trained
    assert log.decision_date is not None
    reserved = log.decision_date >= np.datetime64(first.split.cut)
    assert reserved.sum() > 1_000
    fields = {name: getattr(log, name) for name in log.__dataclass_fields__}
    other = LoggedDecisions(**{**fields, "reward": np.where(reserved, 1.0, log.reward)})
    again = train(other, world.incumbent, shelf, config, BEHAVIOUR, AS_OF, None)  # type: ignore[arg-type]
    assert again.version == first.version


def test_a_lineage_on_trial_is_trained_on(
    trained: tuple[Shelf, Trained], world: World, config: Config
) -> None:
    """A day later the recipe on trial alone is fitted, and its version joins the lineage."""
    _, first = trained
    mine: Any = Shelf()
    mine.versions.append(first.version)
    later = AS_OF + dt.timedelta(days=1)
    more = world.history(days=DAYS + 1, start=str(START))
    more = more[more.matured_before(later)]
    [trial] = lineages([(first.version.number, first.version.tags)], later)
    made = train(more, world.incumbent, mine, config, BEHAVIOUR, later, trial)
    assert made.version.number == "2"
    assert made.version.tags["lineage"] == first.version.tags["lineage"]
    assert made.selection is not None
    assert list(made.selection.table.index) == [first.version.tags["recipe"]]


def test_a_logs_hash_is_that_of_what_learning_reads(log: LoggedDecisions) -> None:
    """A reward, a context or a date more or less gives another hash; a copy gives the same."""
    fields = {name: getattr(log, name) for name in log.__dataclass_fields__}
    assert log_hash(LoggedDecisions(**fields)) == log_hash(log)
    assert log.contexts is not None
    reward = log.reward.copy()
    reward[0] = 0.5
    contexts = log.contexts.copy()
    contexts.loc[3, "visits_7d"] += 1
    changes = ({"reward": reward}, {"contexts": contexts})
    hashes = {log_hash(LoggedDecisions(**{**fields, **change})) for change in changes}
    assert len(hashes | {log_hash(log), log_hash(log[1:])}) == 4
