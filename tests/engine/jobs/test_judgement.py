"""The day's judgement: one step per model and day, whoever asks and however often."""

from __future__ import annotations

import datetime as dt
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from engine.errors import JobError
from engine.jobs.judgement import Judgement, act, judgement
from engine.settings import GateSettings
from policies import LoggedDecisions
from policies.judging.aliases import AliasHistory
from policies.judging.lineages import Lineage
from policies.sequences.days import day_sums

MODEL, DAY = "main.nba.model", dt.date(2026, 3, 9)
GATE = GateSettings(incumbent="rules", alpha=0.05, margin=0.005, minimum_effect=0.01, trial_days=60)
COLUMNS = {
    "verdicts": ["verdict_id", "model_name", "as_of", "verdict", "to_alias", "candidate"],
    "promotions": ["moved_at", "as_of", "alias", "from_version", "to_version", "actor"],
}


class Retention:
    """Stands in for tables and registry: rows by table, and live aliases."""

    model_name = MODEL

    def __init__(self, health: str = "decide") -> None:
        line = {"subject": "log", "metric": "x_1", "status": health, "reason": "because"}
        self.rows: dict[str, list[dict[str, Any]]] = {"verdicts": [], "promotions": []}
        self.rows["drift"] = [line] if health else []
        self.live: dict[str, str] = {}

    def read_if_any(self, table: str) -> Any:
        """As a frame that is asked for the day's rows, and for pandas."""
        frame = pd.DataFrame(self.rows[table], columns=COLUMNS.get(table))
        if self.rows[table]:
            frame = pd.DataFrame(self.rows[table])
        return SimpleNamespace(where=lambda _: self.read_if_any(table), toPandas=lambda: frame)

    def add_rows(self, table: str, rows: pd.DataFrame) -> int:
        """Keep them."""
        self.rows[table] += rows.to_dict("records")
        return len(rows)

    def alias(self, alias: str) -> str | None:
        """Where it points."""
        return self.live.get(alias)

    def set_alias(self, alias: str, number: str) -> None:
        """Point it there."""
        self.live[alias] = number

    def verdicts(self) -> pd.DataFrame:
        """The model's own."""
        frame = self.read_if_any("verdicts").toPandas()
        return frame[frame["model_name"] == MODEL]

    def history(self) -> AliasHistory:
        """As the table would be read: times without a zone."""
        frame = self.read_if_any("promotions").toPandas()
        times = pd.to_datetime(frame["moved_at"], utc=True).dt.tz_localize(None)
        return AliasHistory.from_frame(frame.assign(moved_at=times))


def on_the_day(kept: Retention, *, version: str = "2", better: bool = True) -> Any:
    """A run that reads everything afresh, with a lineage of one version on trial."""
    lineage = Lineage("a", DAY, ((version, DAY),))
    standing = SimpleNamespace(
        lineage=lineage,
        lineages=[lineage],
        champion="rules",
        history=kept.history(),
        verdicts=kept.verdicts(),
        evidence=lambda: evidence(better),
    )
    return SimpleNamespace(
        standing=standing,
        tables=kept,
        registry=kept,
        parameters=SimpleNamespace(as_of=DAY),
        config=SimpleNamespace(engine=SimpleNamespace(gate=GATE)),
    )


def evidence(better: bool) -> pd.DataFrame:
    """Eight days on which the candidate's action pays .4 and the incumbent's .1, or both .2."""
    n, random = 4_000, np.random.default_rng(0)
    action = random.integers(2, size=n)
    pays = np.where(action == 1, 0.4, 0.1) if better else 0.2
    log = LoggedDecisions(
        ("a", "b"),
        action,
        np.full(n, 0.5),
        (random.random(n) < pays).astype(float),
        decision_date=np.datetime64("2026-03-01") + np.arange(n) // 500,
        distribution=np.full((n, 2), 0.5),
        reward_range=(0, 1),
    )
    sums = day_sums(log, np.tile([0.0, 1.0], (n, 1)), np.tile([1.0, 0.0], (n, 1)), estimator="ips")
    return pd.DataFrame([each.to_dict() for each in sums])


def taken(kept: Retention, **run: Any) -> tuple[Judgement, dict[str, int]]:
    """Judge and act."""
    judged = judgement(on_the_day(kept, **run))
    return judged, act(on_the_day(kept, **run), judged, "test")


def test_a_promotion_is_recorded_and_the_alias_moves() -> None:
    """The first step of a day writes its verdict and its move, which names the verdict."""
    kept = Retention()
    judged, written = taken(kept)
    assert (judged.verdict, judged.recorded) == ("promote", False)
    assert written == {"verdicts": 1, "promotions": 1}
    [verdict], [move] = kept.rows["verdicts"], kept.rows["promotions"]
    assert (move["alias"], move["to_version"], move["actor"]) == ("staging", "2", "test")
    assert move["verdict_id"] == verdict["verdict_id"]
    assert kept.live == {"staging": "2"}


def test_judging_writes_nothing() -> None:
    """Only acting leaves a trace."""
    kept = Retention()
    judgement(on_the_day(kept))
    assert (kept.rows["verdicts"], kept.rows["promotions"], kept.live) == ([], [], {})


def test_a_second_time_changes_nothing() -> None:
    """The same step again says the same and writes nothing."""
    kept = Retention()
    first, _ = taken(kept)
    again, written = taken(kept)
    assert (again.recorded, again.sentence) == (True, first.sentence)
    assert written == {"verdicts": 0, "promotions": 0}


@pytest.mark.parametrize("again", [{"version": "2"}, {"version": "3"}])
def test_a_recorded_hold_stands(again: dict[str, Any]) -> None:
    """Neither better evidence nor another version gets a second step on the same day."""
    kept = Retention()
    first, written = taken(kept, better=False)
    assert (first.verdict, written) == ("hold", {"verdicts": 1, "promotions": 0})
    judged, written = taken(kept, **again)
    assert (judged.verdict, judged.row["candidate"]) == ("hold", "2")
    assert judged.sentence == "hold (already recorded for this day)"
    assert written == {"verdicts": 0, "promotions": 0}
    assert kept.live == {}


def test_a_recorded_promotion_is_not_followed_by_another() -> None:
    """A version trained later on the day does not take the alias from the one promoted."""
    kept = Retention()
    taken(kept)
    judged, written = taken(kept, version="3")
    assert (judged.verdict, judged.row["candidate"]) == ("promote", "2")
    assert written == {"verdicts": 0, "promotions": 0}
    assert kept.live == {"staging": "2"}


def test_a_move_that_did_not_happen_is_made_up_for() -> None:
    """Cut off between verdict and move, the next run moves the version that was judged."""
    kept = Retention()
    taken(kept)
    kept.rows["promotions"], kept.live = [], {}
    _, written = taken(kept, version="3")
    assert written == {"verdicts": 0, "promotions": 1}
    assert kept.live == {"staging": "2"}


@pytest.mark.parametrize(
    "other", [{"as_of": DAY - dt.timedelta(days=1)}, {"model_name": "main.nba.other"}]
)
def test_verdicts_of_other_days_and_models_do_not_stand(other: dict[str, Any]) -> None:
    """Only the model's own verdict of the very day takes its step away."""
    kept = Retention()
    row = {"verdict_id": "x", "model_name": MODEL, "as_of": DAY, "verdict": "hold"}
    kept.rows["verdicts"] = [{**row, **other}]
    judged, written = taken(kept)
    assert (judged.verdict, written) == ("promote", {"verdicts": 1, "promotions": 1})


def test_a_broken_log_holds() -> None:
    """What the day's health says against the log holds the best evidence."""
    judged, _ = taken(Retention(health="broken"))
    assert judged.verdict == "hold"
    assert "the log cannot be trusted: because" in judged.sentence
    assert taken(Retention(health="collect"))[0].verdict == "promote"


def test_without_monitoring_there_is_no_judgement() -> None:
    """A day that was not monitored, or a model with nothing on trial, is an error with a hint."""
    with pytest.raises(JobError, match=r"(?s)Nothing was monitored for 2026-03-09.*monitoring_job"):
        judgement(on_the_day(Retention(health="")))
    run = on_the_day(Retention())
    run.standing.lineage = None
    with pytest.raises(JobError, match=r"(?s)No candidate is on trial.*training_job"):
        judgement(run)
