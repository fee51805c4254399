"""A day on which the files of every version, champion and candidate, have been tampered with."""

from __future__ import annotations

import datetime as dt
import re
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest

from engine.monitoring.health import problems
from engine.promotion.moves import AliasMove, move_alias
from engine.refs import PolicyRef
from policies import final_distribution

RULES = "baseline:business_rules"
AGAIN = ("batch_inference", "monitoring", "promotion")
DAILY = ("data_generation", "feature_engineering", *AGAIN)


class Day:
    """The third day: version 1 is champion, and the weights of all versions are negated.

    At its end they are put back, and monitoring runs once more.
    """

    def __init__(self, loop: Any) -> None:
        if (loop.second, "promotion") not in loop.results:
            loop.run(loop.second)
        run = loop.run_of(loop.second)
        move = AliasMove(loop.second, "champion", "1", "test", "to tamper with a champion")
        now = dt.datetime.now(dt.timezone.utc)
        move_alias(run.tables, run.registry, run.standing.history, move, now)
        self.loop, self.day = loop, loop.second + dt.timedelta(days=1)
        where = f"as_of = DATE '{self.day}'"
        kept = {path: path.read_bytes() for path in weights(run.registry)}
        for path in kept:
            np.save(path, -np.load(path))
        try:
            self.results = {name: loop.stage(name, self.day) for name in DAILY}
            before = loop.content()
            for name in AGAIN:
                loop.stage(name, self.day)
            self.unchanged = loop.content() == before
            self.decisions = loop.frame("decisions", f"decision_date = DATE '{self.day}'")
            self.drift, self.verdicts = loop.frame("drift", where), loop.frame("verdicts", where)
            self.values = loop.frame("policy_values", where)
            self.evidence = loop.frame("evidence", f"frozen_as_of = DATE '{self.day}'")
        finally:
            for path, content in kept.items():
                path.write_bytes(content)
        self.restored = loop.stage("monitoring", self.day)
        self.later = loop.frame("evidence", f"frozen_as_of = DATE '{self.day}'")


def weights(registry: Any) -> list[Path]:
    """The files of weights of all versions."""
    uris = [
        registry.client.get_model_version_download_uri(registry.model_name, version.number)
        for version in registry.versions()
    ]
    folders = [Path(mlflow.artifacts.download_artifacts(uri)) for uri in uris]
    return [path for folder in folders for path in folder.rglob("weights.npy")]


@pytest.fixture(scope="module")
def refused(loop: Any) -> Day:
    """The day."""
    return Day(loop)


def test_a_refused_champion_does_not_decide(refused: Day) -> None:
    """The configured incumbent decides under its own name, and its probabilities are logged."""
    rows, run = refused.decisions, refused.loop.run_of(refused.day)
    assert set(rows["model_name"]) == {RULES}
    assert set(rows["model_version"]) == {""}
    assert rows["chosen_expected_reward"].isna().all()  # a learned champion has one
    ids, settings = list(run.config.catalogue.action_ids), run.config.engine
    features = refused.loop.frame("customer_features", f"to_date(feature_ts) = '{refused.day}'")
    chosen = rows[rows["group"].isin(["policy", "uniform"])]
    contexts = features.set_index("customer_id").loc[chosen["customer_id"]].reset_index()
    eligible = np.array(
        [[name in set(some) for name in ids] for some in chosen["eligible_actions"]]
    )
    expected = final_distribution(
        run.standing.policy(PolicyRef.parse(RULES)),
        contexts,
        eligible,
        floor=settings.exploration.floor,
        uniform_share=settings.groups.uniform,
    )
    drawn = expected[np.arange(len(chosen)), [ids.index(name) for name in chosen["action_id"]]]
    np.testing.assert_allclose(chosen["action_probability"].astype(float), drawn, atol=1e-12)


def test_a_refusal_is_loud_and_recorded(refused: Day) -> None:
    """Summaries name version and file, `drift` keeps the reason, and the report shows both."""
    for name in ("batch_inference", "monitoring"):
        said = refused.results[name].summary
        assert re.search(r"; version 1 REFUSED: '\S*weights.npy' of a saved policy is not as", said)
    assert refused.results["batch_inference"].summary.startswith(f"decided by {RULES};")
    reasons = refused.drift.loc[refused.drift["metric"] == "refused_1", "reason"]
    assert len(reasons)
    assert reasons.str.match(r"version 1 cannot be used: '\S*weights.npy' of a saved policy").all()
    [line] = [text for text in refused.results["promotion"].closing if text.startswith("Report: ")]
    page = Path(line[len("Report: ") :]).read_text()
    assert f"decided by {RULES}" in page
    assert "version 1 cannot be used" in page


def test_monitoring_goes_on_without_the_refused(refused: Day) -> None:
    """The baselines are valued, nothing is frozen for the refused, and the gate holds."""
    assert set(refused.values["policy"]) >= {RULES, "baseline:uniform"}
    assert refused.values["policy"].str.startswith("baseline:").all()
    assert refused.evidence.empty
    assert problems(refused.drift)
    assert set(refused.verdicts["verdict"]) == {"hold"}


def test_a_second_run_of_a_refused_day_changes_nothing(refused: Day) -> None:
    """Inference, monitoring and promotion run again leave every table and alias as it was."""
    assert refused.unchanged


def test_evidence_is_late_and_not_lost(refused: Day) -> None:
    """Once the files are back the days that waited are frozen, and no summary speaks of a refusal."""
    assert len(refused.later)
    assert "REFUSED" not in refused.restored.summary
