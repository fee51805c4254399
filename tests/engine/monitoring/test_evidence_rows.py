"""Evidence: day sums of the paired difference, each day scored by what was fixed before it."""

from __future__ import annotations

import dataclasses
import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from engine.config import Config, load_config
from engine.monitoring.evidence_rows import evidence_rows
from policies import (
    AsDeployed,
    FixedAction,
    LoggedDecisions,
    Policy,
    UniformPolicy,
    cross_fit,
)
from policies.judging.lineages import Lineage
from policies.sequences.confidence_sequence import sequence_interval
from policies.sequences.days import DaySums
from simulation import World, scenario

START, DAYS = dt.date(2026, 1, 1), 10
NONE = pd.DataFrame()


def day(number: int) -> dt.date:
    """A day counted from the first."""
    return START + dt.timedelta(days=number)


@pytest.fixture(scope="module")
def config(repository: Path) -> Config:
    """What ships."""
    return load_config(repository / "conf")


@pytest.fixture(scope="module")
def world() -> World:
    """A small world."""
    return scenario("stable", customers=400, seed=2)


@pytest.fixture(scope="module")
def log(world: World) -> LoggedDecisions:
    """Ten days under the business rules with exploration."""
    return world.history(days=DAYS, start=str(START))


class Versions:
    """Loads versions: 1 is uniform, 2 pushes; remembers what was asked for."""

    def __init__(self, ids: tuple[str, ...]) -> None:
        self.policies: dict[str, Policy] = {"1": UniformPolicy(ids)}
        self.policies["2"] = FixedAction(ids, "app_push", fallback="no_contact")
        self.asked: list[str] = []

    def load(self, number: str) -> Policy:
        """The policy of a version."""
        self.asked.append(number)
        return self.policies[number]


@pytest.fixture
def freeze(log: LoggedDecisions, world: World, config: Config) -> Any:
    """(lineage, frozen, days known) -> the new rows, against the business rules."""

    def rows(lineage: Lineage, frozen: pd.DataFrame = NONE, known: int = DAYS) -> pd.DataFrame:
        assert log.decision_date is not None
        part = log[log.decision_date < np.datetime64(day(known))]
        load = Versions(log.action_ids).load
        incumbent = ("rules", world.incumbent)
        return evidence_rows(part, lineage, load, incumbent, config, frozen, day(known + 4))

    return rows


ONE = Lineage("a@x", START, (("1", day(5)),))
TWO = Lineage("a@x", START, (("1", day(5)), ("2", day(8))))


def test_days_from_the_first_version_on_are_scored(freeze: Any, log: LoggedDecisions) -> None:
    """Each matured day from trained_through on gets one row, with all its logged decisions."""
    rows = freeze(ONE)
    assert list(rows["decision_date"]) == [day(each) for each in range(5, DAYS)]
    assert log.decision_date is not None
    counts = [
        int((log.decision_date == np.datetime64(each)).sum()) for each in rows["decision_date"]
    ]
    assert list(rows["n"]) == counts
    assert set(rows["candidate"]) == {"1"}
    assert set(rows["frozen_as_of"]) == {day(DAYS + 4)}
    assert (rows["lineage"] + rows["incumbent"]).eq("a@xrules").all()


def test_a_day_by_hand(freeze: Any, log: LoggedDecisions, world: World, config: Config) -> None:
    """A day's total is the sum of DR differences of both policies as they would act."""
    row = freeze(ONE).iloc[-1]
    assert log.decision_date is not None
    here = log.decision_date == np.datetime64(row["decision_date"])
    part = log[here]
    model = cross_fit(log, by="date")[here]
    ours, theirs = (
        AsDeployed(each, config.exploration).distribution(part.contexts, part.eligible)
        for each in (UniformPolicy(log.action_ids), world.incumbent)
    )
    at = np.arange(len(part)), part.action
    residual = (part.reward - model[at]) / part.action_probability
    total = ((ours - theirs) * model).sum() + ((ours - theirs)[at] * residual).sum()
    assert row["total"] == pytest.approx(total)
    assert row["estimator"] == "dr"
    assert row["range"] == "declared"


def test_each_day_is_scored_by_the_version_fixed_before_it(freeze: Any) -> None:
    """A newer version scores only days from its own trained_through on."""
    rows = freeze(TWO)
    assert list(rows["candidate"]) == ["1", "1", "1", "2", "2"]
    old = freeze(ONE)
    same = ["decision_date", "total", "square", "low_total", "candidate_hash", "incumbent_hash"]
    pd.testing.assert_frame_equal(rows[same].head(3), old[same].head(3))
    assert (rows["candidate_hash"][3:] != old["candidate_hash"][3:]).all()
    assert (rows["incumbent_hash"] == old["incumbent_hash"]).all()


def test_frozen_days_are_not_made_again(freeze: Any) -> None:
    """Only days after the last frozen one are added, and they continue the same sequence."""
    whole = freeze(ONE)
    first = freeze(ONE, known=7)
    assert len(first) == 2
    rest = freeze(ONE, frozen=first)
    assert list(rest["decision_date"]) == [day(7), day(8), day(9)]
    together = pd.concat([first, rest], ignore_index=True).drop(columns="frozen_as_of")
    pd.testing.assert_frame_equal(together, whole.drop(columns="frozen_as_of"))
    assert freeze(ONE, frozen=whole).empty


def test_the_sequence_bounds_the_truth(freeze: Any, log: LoggedDecisions, world: World) -> None:
    """The rows make an interval that contains the true difference on these days."""
    days = [DaySums.from_dict(row) for row in freeze(ONE).to_dict("records")]
    low, high, difference = sequence_interval(days, 0.025, 0.025)
    part = log.split_by_date(day(5))[1]
    true = 0.8 * (
        world.true_value(UniformPolicy(log.action_ids), part)
        - world.true_value(world.incumbent, part)
    )
    assert low < true < high
    assert difference == pytest.approx(true, abs=0.05)


def test_before_any_version_there_is_nothing(freeze: Any) -> None:
    """A lineage whose first version learned from all days that are known has no evidence yet."""
    late = Lineage("a@x", START, (("1", day(DAYS)),))
    assert freeze(late).empty


def test_days_whose_distributions_are_known_stay_declared(
    log: LoggedDecisions, world: World, config: Config
) -> None:
    """Decisions of another system, of whose draws less is known, do not widen later days."""
    unknown = dataclasses.replace(log, distribution=None)
    incumbent, load = ("rules", world.incumbent), Versions(log.action_ids).load
    asked: list[dt.date] = []

    def since(first: dt.date) -> LoggedDecisions:
        asked.append(first)
        return log.split_by_date(first)[1]

    given = (ONE, load, incumbent, config, NONE, day(DAYS + 4))
    exact, blind = evidence_rows(log, *given), evidence_rows(unknown, *given)
    again = evidence_rows(unknown, *given, since)
    assert set(blind["range"]) == {"learned"}
    assert set(again["range"]) == {"declared"}
    assert asked == [day(5)]
    columns = ["total", "square", "low_total", "low_bound", "high_bound", "candidate_hash"]
    pd.testing.assert_frame_equal(again[columns], exact[columns])
