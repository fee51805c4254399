"""Rewards: all that happened in the window, by one rule for every action, and only once closed."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest

from engine.config import Config, load_config
from engine.data.rewards import logged_from_arrow, newly_matured, with_reward
from engine.data.sources.facts import OUTCOMES
from engine.data.tables import Tables

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@pytest.fixture(scope="module")
def config(repository: Path) -> Config:
    """What ships: a visit within a day earns 1, an e-mail costs .002, a call .06."""
    return load_config(repository / "conf")


def at(text: str) -> dt.datetime:
    """A moment in March, such as "02 08:00"."""
    return dt.datetime.fromisoformat(f"2026-03-{text}+00:00")


def decisions(*rows: tuple[str, str, int, str, str]) -> pa.Table:
    """(id, customer, day of March, action, group)."""
    names = ("decision_id", "customer_id", "day", "action_id", "group")
    plain = [dict(zip(names, row)) for row in rows]
    for row in plain:
        day = row.pop("day")
        row["decision_date"] = dt.date(2026, 3, int(day))
        row["decision_ts"] = at(f"{int(day):02d} 08:00")
    return pa.Table.from_pylist(plain)


def outcomes(*rows: tuple[str, str, str, str]) -> pa.Table:
    """(customer, type, happened, received)."""
    names = ("customer_id", "outcome_type", "outcome_ts", "received_ts")
    plain = [(customer, kind, at(happened), at(told)) for customer, kind, happened, told in rows]
    schema = pa.schema([OUTCOMES.field(name) for name in names])
    return pa.Table.from_pylist([dict(zip(names, row)) for row in plain], schema=schema)


def test_the_window_and_the_cost(spark: SparkSession, config: Config) -> None:
    """From the decision to the same hour of the next day, all visits count, less the cost."""
    taken = decisions(
        ("d1", "a", 2, "email_news", "policy"),
        ("d2", "a", 3, "no_contact", "policy"),
        ("d3", "b", 2, "advisor_call", "policy"),
        ("d4", "c", 2, "email_offer", "policy"),
        ("d5", "e", 2, "no_contact", "policy"),
    )
    happened = outcomes(
        ("a", "visit", "02 07:59", "02 07:59"),  # before the decision
        ("a", "visit", "02 08:00", "02 08:00"),  # counts for d1
        ("a", "visit", "03 08:00", "03 08:00"),  # d1's window has closed: counts for d2
        ("a", "purchase", "02 09:00", "02 09:00"),  # has no declared value
        ("c", "visit", "02 09:00", "06 00:00"),  # received on the day that asks: not known yet
        ("e", "visit", "02 09:00", "05 23:59"),  # late, but known; two visits are clipped to 1
        ("e", "visit", "02 10:00", "02 10:00"),
    )
    rows = with_reward(
        spark.createDataFrame(taken), spark.createDataFrame(happened), config, dt.date(2026, 3, 6)
    )
    found = {row["decision_id"]: row["reward"] for row in rows.collect()}
    assert found == pytest.approx({"d1": 0.998, "d2": 1.0, "d3": -0.06, "d4": -0.005, "d5": 1.0})


def test_only_closed_windows_of_judged_groups_mature(
    spark: SparkSession, config: Config, tmp_path: Path
) -> None:
    """Immature rows are absent; holdout, previous and rows that are there already stay out."""
    tables = Tables(spark, "juan_dev", "rewards_test", tmp_path)
    taken = decisions(
        ("d1", "a", 2, "email_news", "policy"),
        ("d2", "a", 3, "email_news", "policy"),
        ("d3", "b", 2, "no_contact", "holdout"),
        ("d4", "c", 2, "no_contact", "previous"),
        ("d5", "e", 2, "no_contact", "uniform"),
        ("d6", "f", 1, "no_contact", "uniform"),
    )
    spark.sql("CREATE SCHEMA IF NOT EXISTS juan_dev.rewards_test")
    name = "juan_dev.rewards_test.decisions"
    spark.createDataFrame(taken).write.mode("overwrite").saveAsTable(name)

    def due(day: int, last_day: dt.date | None = None) -> dict[str, dt.date]:
        rows = newly_matured(tables, config.engine.reward, dt.date(2026, 3, day), last_day)
        return {row["decision_id"]: row["matured_on"] for row in rows.collect()}

    assert due(5) == {"d6": dt.date(2026, 3, 5)}
    sixth = dt.date(2026, 3, 6)
    assert due(6) == {"d1": sixth, "d5": sixth, "d6": dt.date(2026, 3, 5)}
    assert set(due(6, last_day=dt.date(2026, 3, 1))) == {"d6"}
    there = decisions(("d5", "e", 2, "no_contact", "uniform")).select(["decision_id"])
    spark.createDataFrame(there).write.saveAsTable("juan_dev.rewards_test.rewarded_decisions")
    fresh = Tables(spark, "juan_dev", "rewards_test", tmp_path)
    rows = newly_matured(fresh, config.engine.reward, sixth)
    assert {row["decision_id"] for row in rows.collect()} == {"d1", "d6"}


def logged_rows() -> dict[str, Any]:
    """Two rows of `rewarded_decisions`, as Arrow reads them."""
    day = pa.array([dt.date(2026, 3, 1), dt.date(2026, 3, 2)], pa.date32())
    shares = [[("no_contact", 0.4), ("email_news", 0.6)], [("no_contact", 1.0)]]
    return {
        "decision_id": ["d1", "d2"],
        "decision_date": day,
        "matured_on": pa.array([dt.date(2026, 3, 5), dt.date(2026, 3, 6)], pa.date32()),
        "customer_id": ["a", "b"],
        "group": ["policy", "uniform"],
        "action_id": ["email_news", "no_contact"],
        "action_probability": [0.6, 1.0],
        "eligible_actions": [["no_contact", "email_news"], ["no_contact"]],
        "distribution": pa.array(shares, pa.map_(pa.string(), pa.float64())),
        "reward": [0.998, 0.0],
        "recency_days": pa.array([3.0, None], pa.float64()),
        "plan": pa.array(["basic", None], pa.string()),
    }


@pytest.mark.parametrize("chunks", [1, 2])
def test_rows_become_arrays(config: Config, chunks: int) -> None:
    """Lists and maps become dense arrays in the catalogue's order, whatever chunks Arrow has."""
    rows = pa.table(logged_rows())
    parts = [rows] if chunks == 1 else [rows.slice(0, 1), rows.slice(1)]
    features = {"recency_days": "double", "plan": "string"}
    log = logged_from_arrow(pa.concat_tables(parts), config, features)
    ids = config.catalogue.action_ids
    np.testing.assert_array_equal(log.action, [ids.index("email_news"), 0])
    assert log.eligible.sum() == 3
    assert log.distribution is not None
    assert log.distribution[0, ids.index("email_news")] == 0.6
    np.testing.assert_array_equal(log.distribution.sum(axis=1), [1, 1])
    assert log.reward_range == config.engine.reward.range
    assert log.contexts is not None
    assert np.isnan(log.contexts["recency_days"][1])
    assert list(log.choice) == [True, False]
    assert log.matured_on is not None
    assert str(log.matured_on[1]) == "2026-03-06"
