"""What is in force on a day where a version is refused."""

from __future__ import annotations

import datetime as dt
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from engine.feature_definitions import FeatureDefinitions
from engine.models.standing import ModelState
from engine.refs import PolicyRef
from policies import FixedAction, LoggedDecisions, Policy, UniformPolicy, VowpalPolicy
from policies.errors import ModelFileError, NbaError
from policies.judging.aliases import AliasHistory, Move

DAY, MODEL, INCUMBENT = dt.date(2026, 3, 9), "main.nba.model", "baseline:uniform"
IDS = ("none", "mail")


class Registry:
    """Versions 1 and 2; those in `bad` are refused."""

    model_name = MODEL

    def __init__(self, bad: str) -> None:
        self.bad = bad

    def load(self, number: str) -> Policy:
        """Both always send mail."""
        if number in self.bad:
            raise ModelFileError("'weights.npy' of a saved policy is not as it was saved")
        return FixedAction(IDS, "mail")


def state(bad: str) -> ModelState:
    """The day after version 2 followed version 1 as champion."""
    catalogue = SimpleNamespace(action_ids=IDS, action_features={}, no_contact="none")
    gate = SimpleNamespace(incumbent=INCUMBENT)
    config: Any = SimpleNamespace(
        catalogue=catalogue,
        engine=SimpleNamespace(gate=gate),
        features=FeatureDefinitions.of_attributes({"plan": "string", "age": "double"}),
        rules=[],
        baselines=[PolicyRef.parse(INCUMBENT)],
    )
    tables: Any = None
    registry: Any = Registry(bad)
    found = ModelState(tables, registry, config, DAY)
    moves = [
        Move(DAY - dt.timedelta(days=5), "champion", None, "1"),
        Move(DAY - dt.timedelta(days=1), "champion", "1", "2"),
    ]
    found.__dict__["history"] = AliasHistory(moves)
    return found


@pytest.mark.parametrize(
    ("bad", "champion", "previous"),
    [("", "2", "1"), ("2", INCUMBENT, "1"), ("1", "2", INCUMBENT), ("12", INCUMBENT, INCUMBENT)],
)
def test_a_refused_version_is_not_in_force(bad: str, champion: str, previous: str) -> None:
    """The configured incumbent stands in for a refused champion, or for the one before."""
    found = state(bad)
    assert str(found.champion) == champion
    assert str(found.previous) == previous
    assert set(found.refused) == set(bad)
    for ref in (found.champion, found.previous):
        assert ref is not None
        assert isinstance(found.policy(ref), UniformPolicy if ref.is_baseline else FixedAction)


def test_what_was_refused_is_said_with_its_reason() -> None:
    """The words for a stage's summary name each refused version once; without any there are none."""
    found = state("2")
    assert found.usable(PolicyRef.parse("2")) is None
    assert found.champion.is_baseline
    why = "'weights.npy' of a saved policy is not as it was saved"
    assert found.refusals == f"; version 2 REFUSED: {why}"
    sound = state("")
    assert sound.usable(PolicyRef.parse("2")) is not None
    assert sound.refusals == ""


def test_any_other_error_stops_the_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody falls back on the incumbent because a registry is out or a version is unknown."""
    found = state("")

    def out(_: str) -> Policy:
        raise NbaError("no answer")

    monkeypatch.setattr(found.registry, "load", out)
    with pytest.raises(NbaError, match="no answer"):
        _ = found.champion
    assert found.refused == {}


@pytest.mark.parametrize(("feature", "version"), [("plan", "2"), ("age", "2"), ("gone", INCUMBENT)])
def test_a_version_that_reads_a_removed_feature_is_not_in_force(
    feature: str, version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The incumbent decides, and the reason names the feature and the file."""
    values = ["a", "b"] * 20 if feature == "plan" else np.arange(40.0)
    log = LoggedDecisions(
        IDS, [0, 1] * 20, [0.5] * 40, [0.0, 1.0] * 20, contexts=pd.DataFrame({feature: values})
    )
    learned = VowpalPolicy(IDS).fit(log)
    found = state("")
    monkeypatch.setattr(found.registry, "load", lambda number: learned)
    assert str(found.champion) == version
    if feature == "gone":
        assert "conf/features.yml: the contexts have no column 'gone'" in found.refusals
