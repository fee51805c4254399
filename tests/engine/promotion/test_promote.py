"""From evidence to a verdict on record, and from a verdict to an alias, once."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import numpy as np
import pandas as pd
import pytest

from engine.promotion.moves import AliasMove, move_alias
from engine.promotion.promote import judge, verdict_row
from engine.settings import GateSettings
from policies import LoggedDecisions
from policies.judging.aliases import AliasHistory
from policies.judging.lineages import Step
from policies.sequences.days import day_sums

MODEL = "main.nba.model"
COLUMNS = ["moved_at", "as_of", "model_name", "alias", "from_version", "to_version"]
COLUMNS += ["verdict_id", "actor", "reason"]
SETTINGS = GateSettings(
    incumbent="rules", alpha=0.05, margin=0.005, minimum_effect=0.01, trial_days=60
)
STEP = Step("staging", "2", "rules", 1)


def march(day: int) -> dt.date:
    """A day in March."""
    return dt.date(2026, 3, day)


class Recorded:
    """Stands in for tables and registry: moves on record, and live aliases."""

    model_name = MODEL

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.live: dict[str, str] = {}
        self.set: list[tuple[str, str]] = []

    def add_rows(self, table: str, rows: pd.DataFrame) -> int:
        """Keep them."""
        assert table == "promotions"
        self.rows += rows.to_dict("records")
        return len(rows)

    def alias(self, alias: str) -> str | None:
        """Where it points."""
        return self.live.get(alias)

    def set_alias(self, alias: str, number: str) -> None:
        """Point it there."""
        self.live[alias] = number
        self.set.append((alias, number))

    def history(self) -> AliasHistory:
        """As the table would be read: times without a zone."""
        frame = pd.DataFrame(self.rows, columns=COLUMNS)
        times = [each.replace(tzinfo=None) for each in frame["moved_at"]]
        return AliasHistory.from_frame(
            frame.assign(moved_at=pd.Series(times, dtype="datetime64[ns]"))
        )

    def move(self, alias: str, version: str, day: int) -> bool:
        """Move on a day of March, at nine of that day."""
        here: Any = self
        decided = AliasMove(march(day), alias, version, "test", "because", "v")
        nine = dt.datetime(2026, 3, day, 9, tzinfo=dt.timezone.utc)
        return move_alias(here, here, self.history(), decided, nine)


def evidence(candidate: float, incumbent: float) -> pd.DataFrame:
    """Day sums of 4,000 rows over 8 days of two actions with these rewards."""
    n, random = 4_000, np.random.default_rng(0)
    action = random.integers(2, size=n)
    reward = random.random(n) < np.where(action == 1, candidate, incumbent)
    log = LoggedDecisions(
        ("a", "b"),
        action,
        np.full(n, 0.5),
        reward.astype(float),
        decision_date=np.datetime64("2026-03-01") + np.arange(n) // 500,
        distribution=np.full((n, 2), 0.5),
        reward_range=(0, 1),
    )
    sums = day_sums(log, np.tile([0.0, 1.0], (n, 1)), np.tile([1.0, 0.0], (n, 1)), estimator="ips")
    return pd.DataFrame([each.to_dict() for each in sums])


@pytest.mark.parametrize(
    ("rates", "verdict"), [((0.4, 0.1), "promote"), ((0.1, 0.4), "reject"), ((0.2, 0.2), "hold")]
)
def test_the_gate_judges_rows_of_a_table(rates: tuple[float, float], verdict: str) -> None:
    """Day sums survive the table, and a problem of the log holds every verdict."""
    rows = evidence(*rates).assign(lineage="x", candidate="2")
    assert judge(STEP, rows, SETTINGS).verdict == verdict
    assert judge(STEP, rows, SETTINGS, ["weights are off"]).verdict == "hold"


def test_a_later_lineage_is_judged_more_strictly() -> None:
    """The second lineage ever tried has a quarter of the first one's share of the error budget."""
    rows = evidence(0.4, 0.1)
    first = judge(STEP, rows, SETTINGS)
    second = judge(STEP._replace(tried=2), rows, SETTINGS)
    assert second.alpha == pytest.approx(first.alpha / 4)
    assert second.low < first.low


def test_the_verdicts_row() -> None:
    """The row holds the reading of each rule, and an id that names model, versions, step, day."""
    rows = evidence(0.4, 0.1)
    judged = judge(STEP, rows, SETTINGS)
    row = verdict_row(MODEL, STEP, judged, rows, march(5))
    assert json.loads(row["rules"]) == judged.rules
    assert (row["candidate"], row["incumbent"], row["to_alias"]) == ("2", "rules", "staging")
    assert (
        row["verdict_id"] == verdict_row(MODEL, STEP, judged, rows.head(3), march(5))["verdict_id"]
    )
    assert row["log_hash"] != verdict_row(MODEL, STEP, judged, rows.head(3), march(5))["log_hash"]
    others = [
        verdict_row("main.nba.other", STEP, judged, rows, march(5)),
        verdict_row(MODEL, STEP._replace(version="3"), judged, rows, march(5)),
        verdict_row(MODEL, STEP._replace(alias="champion"), judged, rows, march(5)),
        verdict_row(MODEL, STEP, judged, rows, march(6)),
    ]
    assert len({row["verdict_id"], *(each["verdict_id"] for each in others)}) == 5


def test_without_evidence_bounds_are_null_and_rules_are_json() -> None:
    """No day yet gives hold; infinite bounds do not reach a table, nor the JSON in it."""
    judged = judge(STEP, pd.DataFrame(), SETTINGS)
    row = verdict_row(MODEL, STEP, judged, pd.DataFrame(), march(5))
    assert (row["verdict"], row["low"], row["high"]) == ("hold", None, None)

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    rules = json.loads(row["rules"], parse_constant=refuse)
    assert rules["better"]["reading"] is None


def test_a_move_is_recorded_once() -> None:
    """A move writes one row and points the alias; the same move again does neither."""
    record = Recorded()
    assert record.move("staging", "2", 5)
    assert not record.move("staging", "2", 5)
    assert not record.move("staging", "2", 6)
    [row] = record.rows
    assert (row["from_version"], row["to_version"], row["as_of"]) == (None, "2", march(5))
    assert record.set == [("staging", "2")]


def test_a_move_names_where_the_alias_came_from() -> None:
    """The next move's row says which version it replaced."""
    record = Recorded()
    record.move("champion", "1", 5)
    record.move("champion", "2", 7)
    assert record.rows[1]["from_version"] == "1"
    assert record.live == {"champion": "2"}


def test_a_past_day_run_again_does_not_turn_the_alias_back() -> None:
    """A job run again for a past day finds its move recorded, and the newest one stays live."""
    record = Recorded()
    record.move("candidate", "1", 5)
    record.move("candidate", "2", 6)
    assert not record.move("candidate", "1", 5)
    assert record.live == {"candidate": "2"}


def test_an_alias_that_went_astray_is_mended() -> None:
    """If the live alias does not agree with the record, the record is right."""
    record = Recorded()
    record.move("champion", "1", 5)
    record.live["champion"] = "9"
    assert not record.move("champion", "1", 6)
    assert record.live == {"champion": "1"}
