"""Training: the best recipe of the early days becomes a version that says where it came from."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Optional

import numpy as np
import pandas as pd
import pytest

from engine.config import Config, load_config
from engine.models.registry import Version
from engine.training.train import Trained, log_hash, train
from policies import LoggedDecisions, Policy
from policies.judging.lineages import TrainedVersion, lineages
from simulation import World, scenario

START, DAYS = dt.date(2026, 1, 1), 24
AS_OF = START + dt.timedelta(days=DAYS)


class Shelf:
    """Stands in for the registry: versions with their tags, and all that was logged."""

    def __init__(self) -> None:
        self.versions: list[Version] = []
        self.kept: list[dict[str, Any]] = []
        self.runs: list[dict[str, Any]] = []

    def find(self, **tags: str) -> Optional[Version]:
        """The newest version with these tags."""
        found = [each for each in self.versions if tags.items() <= dict(each.tags).items()]
        return found[-1] if found else None

    def has_run(self, **tags: str) -> bool:
        """Whether a run with these tags was logged."""
        return any(tags.items() <= dict(each["tags"]).items() for each in self.runs)

    def register(
        self,
        policy: Optional[Policy],
        features: Any,
        example: Any,
        *,
        tags: Mapping[str, str],
        **rest: Any,
    ) -> Optional[Version]:
        """Keep everything."""
        self.runs.append({"tags": tags, **rest})
        if policy is None:
            return None
        self.versions.append(Version(str(len(self.versions) + 1), dict(tags)))
        self.kept.append({"policy": policy, "features": features, "example": example, **rest})
        return self.versions[-1]


@pytest.fixture(scope="module")
def config(repository: Path) -> Config:
    """What ships, with fewer days kept for the gate."""
    shipped = load_config(repository / "conf")
    training = shipped.engine.training.model_copy(update={"reserve_days": 6})
    engine = shipped.engine.model_copy(update={"training": training})
    return replace(shipped, engine=engine)


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
    return shelf, train(log, ("rules", world.incumbent), shelf, config, AS_OF, None)


def test_the_version_says_where_it_came_from(
    trained: tuple[Shelf, Trained], config: Config
) -> None:
    """Tags name recipe, lineage, days, and the hashes of log, features, catalogue and code."""
    shelf, made = trained
    assert made.version is not None
    assert made.selection is not None
    tags = made.version.tags
    assert tags["recipe"] == made.selection.best.name
    assert tags["lineage"] == f"{tags['recipe']}@{AS_OF}"
    assert tags["as_of"] == str(AS_OF)
    assert tags["trained_through"] == str(made.split.cut)
    assert tags["first_day"] == str(START)
    assert tags["catalogue_hash"] == config.catalogue.hash
    for name in ("log_hash", "config_hash", "code_hash", "feature_hash", "training_key"):
        assert len(tags[name]) == 12
    assert shelf.kept[0]["params"]["judged_from"] == str(made.split.cut)
    assert shelf.kept[0]["features"] == config.features.types


def test_the_chosen_one_is_refitted(trained: tuple[Shelf, Trained]) -> None:
    """What is registered is the chosen recipe, fitted on all days that may be learned from."""
    shelf, made = trained
    assert made.selection is not None
    table = made.selection.table
    assert made.version is not None
    assert made.version.tags["recipe"] == table.index[0]
    assert table["chosen"].tolist() == [True] + [False] * (len(table) - 1)
    policy = shelf.kept[0]["policy"]
    assert policy.name == table.index[0]
    contexts = made.split.select.contexts
    both = policy.distribution(contexts), made.selection.best.distribution(contexts)
    assert not np.allclose(*both)


def test_the_example_can_be_served(trained: tuple[Shelf, Trained], config: Config) -> None:
    """The logged example has every feature and lists of eligible actions."""
    shelf, _ = trained
    example: pd.DataFrame = shelf.kept[0]["example"]
    assert set(config.features.types) < set(example.columns)
    assert all("no_contact" in each for each in example["eligible_actions"])


def test_an_equal_training_finds_its_version(
    trained: tuple[Shelf, Trained], world: World, config: Config, log: LoggedDecisions
) -> None:
    """The same log, configuration and code register nothing, whatever the day is called."""
    shelf, first = trained
    later = AS_OF + dt.timedelta(days=1)
    again = train(log, ("rules", world.incumbent), shelf, config, later, None)  # type: ignore[arg-type]
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
    again = train(other, ("rules", world.incumbent), shelf, config, AS_OF, None)  # type: ignore[arg-type]
    assert again.version == first.version


def test_a_lineage_on_trial_is_trained_on(
    trained: tuple[Shelf, Trained], world: World, config: Config
) -> None:
    """A day later the recipe on trial alone is fitted, and its version joins the lineage."""
    shelf, first = trained
    mine: Any = Shelf()
    mine.versions.append(first.version)
    later = AS_OF + dt.timedelta(days=1)
    more = world.history(days=DAYS + 1, start=str(START))
    more = more[more.matured_before(later)]
    assert first.version is not None
    tags = first.version.tags
    through = dt.date.fromisoformat(tags["trained_through"])
    version = TrainedVersion(first.version.number, tags["lineage"], AS_OF, through)
    [trial] = lineages([version], later)
    policy = shelf.kept[0]["policy"]
    made = train(more, ("rules", world.incumbent), mine, config, later, (trial, policy))
    assert made.version is not None
    assert made.version.number == "2"
    assert made.version.tags["lineage"] == first.version.tags["lineage"]
    assert made.selection is not None
    assert list(made.selection.table.index) == [first.version.tags["recipe"]]


def test_the_run_shows_what_was_tried(trained: tuple[Shelf, Trained], config: Config) -> None:
    """Every recipe is a rival with settings and worth, and there is a table and a picture."""
    shelf, made = trained
    assert made.selection is not None
    [run] = shelf.runs
    assert [each.name for each in run["rivals"]] == list(made.selection.table.index)
    assert len(run["rivals"]) >= len(config.engine.training.grid) + 1
    worth = dict(zip(made.selection.table.index, made.selection.table["low"]))
    for rival in run["rivals"]:
        assert rival.metrics["selection_low"] == worth[rival.name]
        assert rival.params["kind"] in ("vowpal", "best_average", "averaged")
    assert list(run["tables"]) == list(run["pictures"]) == ["selection"]


def test_nothing_is_registered_that_may_be_worse(
    world: World, config: Config, log: LoggedDecisions
) -> None:
    """Against an incumbent that is hard to beat nothing is registered, and that is remembered."""
    shelf: Any = Shelf()
    best = ("the best", world.best_policy(log))
    first = train(log, best, shelf, config, AS_OF, None)
    assert first.version is None
    assert first.selection is not None
    assert not first.selection.acceptable
    again = train(log, best, shelf, config, AS_OF, None)
    assert (again.version, again.selection) == (None, None)
    assert len(shelf.runs) == 1
    assert not shelf.versions
    weaker = ("rules", world.incumbent)
    assert train(log, weaker, shelf, config, AS_OF, None).selection is not None


def test_a_log_in_parts_trains_alike(
    trained: tuple[Shelf, Trained], world: World, config: Config, log: LoggedDecisions
) -> None:
    """A log read part by part gives the policy, the days and the hash that the whole gives."""
    shelf, first = trained
    mine: Any = Shelf()
    parts = [log[slice(start, start + 999)] for start in range(0, len(log), 999)]
    made = train(parts, ("rules", world.incumbent), mine, config, AS_OF, None)
    assert made.version is not None
    assert first.version is not None
    assert made.version.tags == first.version.tags
    assert made.split.fit_span == first.split.fit_span
    contexts = log.contexts
    whole, in_parts = shelf.kept[0]["policy"], mine.kept[0]["policy"]
    assert np.array_equal(in_parts.distribution(contexts), whole.distribution(contexts))


def test_a_logs_hash_is_that_of_what_learning_reads(log: LoggedDecisions) -> None:
    """A reward, a context or a date more or less gives another hash; a copy gives the same."""
    fields = {name: getattr(log, name) for name in log.__dataclass_fields__}
    assert log_hash(LoggedDecisions(**fields)) == log_hash(log) == log_hash([log[:7], log[7:]])
    assert log.contexts is not None
    gaps = log.contexts.assign(visits_7d=log.contexts["visits_7d"].where(log.reward > 0))
    flags = gaps.assign(flag=np.where(log.reward > 0, True, None))
    nulls = LoggedDecisions(**{**fields, "contexts": flags})
    first = int(np.flatnonzero(log.reward > 0)[0])  # before it there are nulls only
    assert log_hash(nulls) == log_hash(
        [nulls[:first], nulls[first : first + 1], nulls[first + 1 :]]
    )
    reward = log.reward.copy()
    reward[0] = 0.5
    contexts = log.contexts.copy()
    contexts.loc[3, "visits_7d"] += 1
    changes = ({"reward": reward}, {"contexts": contexts})
    hashes = {log_hash(LoggedDecisions(**{**fields, **change})) for change in changes}
    assert len(hashes | {log_hash(log), log_hash(log[1:])}) == 4
