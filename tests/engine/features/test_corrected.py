"""Late, corrected and repeated facts: features equal those of what was known at each midnight."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from engine.data.tables import Tables
from engine.data.versions import STAMPS, all_versions, with_versions
from engine.features.declared import Facts, features_at
from tests.engine.features.test_declared import FEATURES, GROUPS, UTC, by_hand, made, world

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

CUSTOMERS, DAYS = 24, 16
COLUMNS = {
    "events": "event_id STRING, customer_id STRING, event_ts TIMESTAMP, event_type STRING, "
    "amount DOUBLE, shop STRING, received_ts TIMESTAMP",
    "customers": "customer_id STRING, plan STRING, signup_date DATE, changed_ts TIMESTAMP",
}
KEYS = {"events": "event_id", "customers": "customer_id"}


def versions(rng: np.random.Generator, centre: dt.date) -> dict[str, pd.DataFrame]:
    """Facts of `world` with corrections of events, changes of customers, and repeated deliveries."""
    facts = world(rng, CUSTOMERS, centre)
    events = facts["events"].assign(event_id=[f"e{n}" for n in range(len(facts["events"]))])
    told = events["received_ts"].where(events["received_ts"].notna(), events["event_ts"])
    events["received_ts"] = told
    parts = [events]
    for _ in range(2):
        rows = events.sample(frac=0.3, random_state=int(rng.integers(2**31))).copy()
        rows["received_ts"] += pd.to_timedelta(rng.choice([0, 6, 24, 49], len(rows)), "h")
        changes = rng.random(len(rows))
        rows.loc[changes < 0.6, "amount"] = 77.25
        rows.loc[changes < 0.3, "event_type"] = "other"
        rows.loc[changes < 0.1, "event_ts"] += pd.Timedelta(days=1)
        parts.append(rows)  # those that changed nothing are told of again
    history = []
    for customer in facts["customers"].to_dict("records"):
        first = dt.datetime.combine(centre - dt.timedelta(days=9), dt.time(), UTC)
        for number in range(int(rng.integers(1, 4))):
            since = first + dt.timedelta(hours=int(rng.integers(0, 16 * 24)) * (number > 0))
            plan = customer["plan"] if number == 0 else str(rng.choice(["b", "c"]))
            history.append({**customer, "plan": plan, "changed_ts": since})
    return {**facts, "events": pd.concat(parts), "customers": pd.DataFrame(history)}


def newest(rows: pd.DataFrame, key: str, stamp: str) -> pd.DataFrame:
    """The newest row of each key. Ties are kept: either of them may be the one."""
    return rows[rows[stamp] == rows.groupby(key)[stamp].transform("max")]


@pytest.mark.slow
@pytest.mark.parametrize("centre", ["2024-02-29", "2026-03-29", "2026-10-25"])
def test_each_day_sees_what_was_known_at_its_midnight(
    spark: SparkSession, tmp_path: Path, centre: str
) -> None:
    """However deliveries are cut and repeated, a customer's day is that of a slow computation."""
    rng = np.random.default_rng([int(part) for part in centre.split("-")])
    middle = dt.date.fromisoformat(centre)
    facts, definitions = versions(rng, middle), made(FEATURES, "Europe/Madrid")
    for name, key in KEYS.items():  # ties have no order: two versions never share a time here
        facts[name] = facts[name].drop_duplicates([key, STAMPS[name]])
    tables = Tables(spark, "juan_dev", "corrected_test", tmp_path)
    for name, ddl in COLUMNS.items():
        rows = facts[name].sort_values(STAMPS[name])
        for end in (0.4, 0.7, 1.0):  # each delivery brings a part of the one before again
            part = np.arange(int((end - 0.4) * len(rows)), int(end * len(rows)))
            names = [column.split()[0] for column in ddl.split(", ")]
            with tables.staging():
                incoming = spark.createDataFrame(_plain(rows.iloc[part][names]), ddl)
                current, earlier = with_versions(tables, name, incoming)
                tables.upsert(f"superseded_{name}", earlier)
                tables.upsert(name, current)
    known = {name: all_versions(tables, name) for name in KEYS}
    decisions = spark.createDataFrame(
        _plain(facts["decisions"]),
        "customer_id STRING, decision_date DATE, action_id STRING, channel STRING",
    )
    days = [middle + dt.timedelta(days=each) for each in range(-7, DAYS - 7)]
    pairs = [(f"c{number}", day) for number in range(CUSTOMERS) for day in days]
    moments = spark.createDataFrame(pairs, "customer_id STRING, day DATE")
    found = features_at(
        moments, days, Facts(**known, decisions=decisions, groups=GROUPS), definitions
    )
    rows = found.collect()
    assert len(rows) == CUSTOMERS * DAYS >= 1_000 / 3
    for day in days:
        midnight = dt.datetime.combine(day, dt.time(), UTC)
        events, people = facts["events"], facts["customers"]
        then = {
            **facts,
            "events": newest(events[events["received_ts"] < midnight], "event_id", "received_ts"),
            "customers": newest(
                people[people["changed_ts"] < midnight], "customer_id", "changed_ts"
            ),
        }
        for row in (row for row in rows if row["feature_ts"].date() == day):
            expected = by_hand(then, row["customer_id"], day, definitions)
            assert {name: row[name] for name in FEATURES} == pytest.approx(expected), (row, day)
    spark.sql("DROP SCHEMA juan_dev.corrected_test CASCADE")


def _plain(frame: pd.DataFrame) -> list[tuple[Any, ...]]:
    values = frame.astype(object).where(frame.notna(), None)
    return [
        tuple(each.to_pydatetime() if isinstance(each, pd.Timestamp) else each for each in row)
        for row in values.itertuples(index=False)
    ]
