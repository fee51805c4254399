"""Decisions that something refers to do not change, unless a replacement is on record."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from engine.data.tables import TABLES, Tables
from engine.errors import JobError
from engine.inference.frozen import write_decisions

DAY = dt.date(2026, 3, 9)
MOMENT = dt.datetime(2026, 3, 9, 8, tzinfo=dt.timezone.utc)
LATER = MOMENT + dt.timedelta(days=1)


@pytest.fixture
def tables(spark: Any, tmp_path: Path) -> Iterator[Tables]:
    """Two decisions of a day, and nothing that refers to them."""
    made = Tables(spark, "juan_dev", "frozen_test", tmp_path)
    write_decisions(made, decisions(made, "a"), DAY)
    yield made
    spark.sql("DROP SCHEMA IF EXISTS juan_dev.frozen_test CASCADE")


def decisions(tables: Tables, action: str, run_id: str = "1") -> Any:
    """The day's decisions for two customers."""
    plain = {"decision_date": DAY, "decision_ts": MOMENT, "action_id": action, "run_id": run_id}
    names = [name.split()[0].strip("`") for name in (TABLES["decisions"].columns or "").split(", ")]
    rows = [
        {**dict.fromkeys(names), **plain, "decision_id": f"d{who}", "customer_id": who}
        for who in ("x", "y")
    ]
    return tables.spark.createDataFrame(rows, TABLES["decisions"].columns)


def refer(tables: Tables, table: str) -> None:
    """Add a row that builds on a decision of the day."""
    if table == "outcomes":
        row = {"outcome_id": "o", "decision_id": "dx", "customer_id": "x", "outcome_type": "visit"}
        row |= {"outcome_ts": LATER, "received_ts": LATER, "amount": 1.0}  # type: ignore[dict-item]
        tables.add_rows("outcomes", pd.DataFrame([row]))
    elif table == "customer_features":
        columns = "customer_id STRING, feature_ts TIMESTAMP"
        tables.add_new(table, tables.spark.createDataFrame([("x", LATER)], columns))
    else:
        columns = "decision_id STRING, decision_date DATE"
        tables.add_new(table, tables.spark.createDataFrame([("dx", DAY)], columns))


def actions(tables: Tables) -> set[str]:
    """What the customers get."""
    return {row["action_id"] for row in tables.read("decisions").collect()}


@pytest.mark.parametrize("table", ["outcomes", "customer_features", "rewarded_decisions"])
def test_decisions_that_something_refers_to_do_not_change(tables: Tables, table: str) -> None:
    """A rerun that decides otherwise is refused and names what refers; an equal one is not."""
    refer(tables, table)
    with pytest.raises(JobError, match=f"are frozen.*{table} refers to them") as caught:
        write_decisions(tables, decisions(tables, "b"), DAY)
    assert "--replace-decisions --reason" in str(caught.value)
    assert actions(tables) == {"a"}
    assert write_decisions(tables, decisions(tables, "a", run_id="2"), DAY) == (2, False)


def test_decisions_of_a_morning_may_change_until_something_refers_to_them(tables: Tables) -> None:
    """Before anything builds on them, a corrected rule decides again; other days do not matter."""
    columns = "decision_id STRING, decision_date DATE"
    earlier = [("d0", DAY - dt.timedelta(days=1))]
    tables.add_new("rewarded_decisions", tables.spark.createDataFrame(earlier, columns))
    assert write_decisions(tables, decisions(tables, "b"), DAY) == (2, True)
    assert actions(tables) == {"b"}


def test_a_recorded_replacement_changes_them(tables: Tables) -> None:
    """With the day in `replaced_decisions` the rerun decides anew."""
    refer(tables, "outcomes")
    row = {"decision_date": DAY, "reason": "wrong consents", "actor": "me", "replaced_at": MOMENT}
    tables.add_rows("replaced_decisions", pd.DataFrame([row]))
    assert write_decisions(tables, decisions(tables, "b"), DAY) == (2, True)
    assert actions(tables) == {"b"}
