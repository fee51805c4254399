"""Housekeeping on real tables: what is left, what a second run does, and what the next day finds."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from engine.data import storage
from engine.data.tables import TABLES
from tests.story.test_faults import FIRST, everything, stopped_everywhere

DAYS = [FIRST + dt.timedelta(days=number) for number in range(4)]
SMALL = {
    "sources/simulation.yml": {"customers": 150, "history_days": 14},
    "engine.yml": {
        "training.reserve_days": 4,
        "gate.trial_days": 1,  # each day's training chooses anew
        "retention": {"policy_values": 1, "drift": 2, "versions": 1},
    },
}
SCHEMA = "housekeeping"
LEFT = {"policy_values": f"as_of >= DATE '{DAYS[1]}'", "drift": f"as_of >= DATE '{DAYS[0]}'"}


def rows(loop: Any) -> dict[str, Any]:
    """The rows of all tables that the third day's retention keeps."""
    present = [table for table in TABLES if loop.tables.exists(table)]
    ignored = ("run_id", "completed_at", "moved_at")
    frames = {table: loop.frame(table, LEFT.get(table, "true")) for table in present}
    return {
        table: frame.drop(columns=frame.columns.intersection(ignored)).astype(str).to_dict("list")
        for table, frame in frames.items()
    }


@pytest.mark.slow
def test_housekeeping_changes_nothing_that_is_kept(
    spark: Any, new_loop: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped at each kind of write it ends alike; a second run does nothing; the next day is undisturbed."""
    monkeypatch.setattr(storage, "MANY_FILES", 2)
    loops = []
    for cleaned in (False, True):
        spark.sql(f"DROP SCHEMA IF EXISTS juan_dev.{SCHEMA} CASCADE")
        loop = new_loop(SCHEMA, FIRST, SMALL)
        for day in DAYS[:3]:
            loop.run(day)
        if cleaned:
            before = rows(loop)
            writes = stopped_everywhere(loop, "housekeeping", DAYS[2], kinds=True)
            assert rows(loop) == before
            assert list(everything(loop)["versions"]) == ["2", "3"]
            assert {"delete rows", "delete version", "compact files"} <= {*writes}
            stands = loop.content()
            again = loop.stage("housekeeping", DAYS[2])
            assert again.rows == {"policy_values": 0, "drift": 0}
            assert loop.content() == stands
            for name in loop.stages:  # the same day again
                loop.stage(name, DAYS[2])
            assert loop.content() == stands
        loop.run(DAYS[3])
        loops.append((rows(loop), everything(loop)))
    (plain, calm), (kept, cleaned_up) = loops
    assert kept == plain
    assert calm["files"] == cleaned_up["files"]
    assert calm["aliases"] == cleaned_up["aliases"]
    versions = cleaned_up["versions"]
    assert {number: calm["versions"][number] for number in versions} == versions
