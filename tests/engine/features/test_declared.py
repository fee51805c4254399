"""Declared features equal a slow computation from each customer's list of events."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from itertools import product
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest

from engine.errors import SourceError
from engine.feature_definitions import Feature, FeatureDefinitions
from engine.features.declared import Facts, features_at

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

UTC = dt.timezone.utc
# A leap day, a day of 23 hours and one of 25 in Europe and America, a new year
CENTRES = ("2024-02-29", "2026-03-29", "2026-10-25", "2026-03-08", "2025-12-31")
GROUPS = {"news": "content", "offer": "sales", "call": "sales", "no_contact": "none"}
CHANNELS = {"news": "email", "offer": "email", "call": "phone", "no_contact": "none"}
FEATURES: dict[str, dict[str, Any]] = {
    "plan": {"attribute": "plan", "type": "string", "default": "none"},
    "tenure": {"days_since": "signup_date"},
    "orders_3d": {"count": "order", "days": 3},
    "spend_5d": {"sum": "amount", "of": "order", "days": 5},
    "mean_5d": {"mean": "amount", "of": "order", "days": 5},
    "least": {"min": "amount", "of": "visit", "days": 1},
    "most": {"max": "amount", "of": "visit", "days": 9, "default": -1},
    "shops": {"distinct": "shop", "of": "order", "days": 9},
    "recency": {"days_since": "order", "days": 9},
    "contacts": {"count": "contact", "days": 4},
    "mails": {"count": "contact", "days": 9, "channel": "email"},
    "sales": {"count": "contact", "days": 9, "group": "sales"},
    "since_call": {"days_since": "contact", "channel": "phone", "days": 7, "type": "int"},
    "basket": {"sql": "spend_5d / nullif(orders_3d, 0)"},
    "big": {"sql": "coalesce(basket > 20, FALSE)", "type": "boolean"},
}


def made(definitions: dict[str, Any], zone: str = "UTC") -> FeatureDefinitions:
    """The definitions in a zone."""
    return FeatureDefinitions.model_validate({"time_zone": zone, "features": definitions})


def world(rng: np.random.Generator, customers: int, centre: dt.date) -> dict[str, pd.DataFrame]:
    """Random facts around a day: ties, nulls, late and unknown arrivals, unknown customers."""
    ids = [f"c{number}" for number in range(customers)]
    days = [centre + dt.timedelta(days=int(each)) for each in range(-8, 9)]
    seconds = rng.integers(0, 17 * 24, 9 * customers) * 3600
    seconds = np.where(rng.random(len(seconds)) < 0.3, seconds // 86_400 * 86_400, seconds)
    start = dt.datetime.combine(days[0], dt.time(), UTC)
    moments = [start + dt.timedelta(seconds=int(each)) for each in seconds]
    late = rng.choice([0, 3600, 86_400, 3 * 86_400], len(moments), p=[0.5, 0.2, 0.2, 0.1])
    amounts = np.round(rng.uniform(-5, 60, len(moments)), 2).astype(object)
    amounts[rng.random(len(moments)) < 0.15] = None
    events = pd.DataFrame(
        {
            "customer_id": rng.choice([*ids, "nobody"], len(moments)),
            "event_ts": moments,
            "event_type": rng.choice(["order", "visit", "other"], len(moments)),
            "amount": amounts,
            "shop": rng.choice(["a", "b", "c", None], len(moments)),
            "received_ts": [
                moment + dt.timedelta(seconds=int(wait)) if rng.random() < 0.9 else None
                for moment, wait in zip(moments, late)
            ],
        }
    )
    pairs = [pair for pair in product(ids, days) if rng.random() < 0.4]
    actions = rng.choice(list(GROUPS), len(pairs))
    decisions = pd.DataFrame(
        {
            "customer_id": [customer for customer, _ in pairs],
            "decision_date": [day for _, day in pairs],
            "action_id": actions,
            "channel": [CHANNELS[action] for action in actions],
        }
    )
    signed = [
        days[0] - dt.timedelta(days=int(each)) if rng.random() < 0.8 else None
        for each in rng.integers(0, 900, customers)
    ]
    people = {"customer_id": ids, "plan": rng.choice(["a", "b", None], customers)}
    return {
        "customers": pd.DataFrame({**people, "signup_date": signed}),
        "events": events,
        "decisions": decisions,
    }


def by_hand(
    facts: dict[str, pd.DataFrame], customer: str, day: dt.date, definitions: FeatureDefinitions
) -> dict[str, Any]:
    """One customer's features on a day, one event after the other."""
    midnight = dt.datetime.combine(day, dt.time(), UTC)
    zone = ZoneInfo(definitions.time_zone)
    seen: list[dict[str, Any]] = []
    for event in facts["events"].to_dict("records"):
        told = event["received_ts"] if pd.notna(event["received_ts"]) else event["event_ts"]
        date = event["event_ts"].astimezone(zone).date()
        if event["customer_id"] == customer and max(told, event["event_ts"]) < midnight:
            seen.append({**event, "what": event["event_type"], "ago": (day - date).days})
    for row in facts["decisions"].to_dict("records"):
        ago = (day - row["decision_date"]).days
        if row["customer_id"] == customer and row["channel"] != "none":
            seen.append({**row, "what": "contact", "ago": ago})
    (person,) = facts["customers"].query("customer_id == @customer").to_dict("records")
    found: dict[str, Any] = {}
    for name, each in definitions.features.items():
        if each.sql is None:
            found[name] = one_by_hand(each, person, seen, day)
    orders = found.get("orders_3d")
    if "basket" in definitions.features:
        found["basket"] = found["spend_5d"] / orders if orders else None
        found["big"] = found["basket"] is not None and found["basket"] > 20
    return found


def one_by_hand(
    each: Feature, person: dict[str, Any], seen: list[dict[str, Any]], day: dt.date
) -> Any:
    """One feature, without sql."""
    if each.attribute:
        value = person[each.attribute]
        return each.default if pd.isna(value) else value
    if not each.event_type:
        since = person[str(each.days_since)]
        return None if pd.isna(since) else (day - since).days
    rows = [row for row in seen if row["what"] == each.event_type and 1 <= row["ago"] <= each.days]
    rows = [row for row in rows if each.channel in (None, row.get("channel"))]
    rows = [row for row in rows if each.group in (None, GROUPS.get(row.get("action_id", "")))]
    if each.count:
        return len(rows)
    if each.days_since:
        return min((row["ago"] for row in rows), default=None)
    if each.distinct:
        return len({row["shop"] for row in rows} - {None})
    amounts = [Decimal(str(row["amount"])) for row in rows if row["amount"] is not None]
    if each.sum:
        return float(sum(amounts))
    if not amounts:
        return each.default
    whole = float(sum(amounts)) / len(amounts)
    return whole if each.mean else float(min(amounts) if each.min else max(amounts))


def in_spark(spark: SparkSession, facts: dict[str, pd.DataFrame]) -> Facts:
    """The same facts as frames of Spark."""
    types = {
        "customers": "customer_id STRING, plan STRING, signup_date DATE",
        "events": "customer_id STRING, event_ts TIMESTAMP, event_type STRING, amount DOUBLE, "
        "shop STRING, received_ts TIMESTAMP",
        "decisions": "customer_id STRING, decision_date DATE, action_id STRING, channel STRING",
    }
    frames = {}
    for name, ddl in types.items():
        plain = facts[name].astype(object).where(facts[name].notna(), None)
        columns = [each.split()[0] for each in ddl.split(", ")]
        rows = [
            tuple(
                value.to_pydatetime() if isinstance(value, pd.Timestamp) else value for value in row
            )
            for row in plain[columns].itertuples(index=False)
        ]
        frames[name] = spark.createDataFrame(rows, ddl)
    return Facts(**frames, groups=GROUPS)


@pytest.mark.parametrize("zone", ["UTC", "Europe/Madrid", "America/Los_Angeles"])
@pytest.mark.parametrize("centre", CENTRES)
def test_features_equal_the_slow_computation(spark: SparkSession, zone: str, centre: str) -> None:
    """Every feature of every customer and day is the same, in three zones, around odd days."""
    rng = np.random.default_rng([int(part) for part in centre.split("-")])
    middle = dt.date.fromisoformat(centre)
    facts, definitions = world(rng, 12, middle), made(FEATURES, zone)
    days = [middle + dt.timedelta(days=each) for each in (-3, 0, 1, 2, 6, 7)]
    frames = in_spark(spark, facts)
    pairs = [(f"c{number}", day) for number in range(12) for day in days]
    moments = spark.createDataFrame(pairs, "customer_id STRING, day DATE")
    rows = features_at(moments, days, frames, definitions).collect()
    assert len(rows) == len(pairs)
    assert rows[0].asDict().keys() == {"customer_id", "feature_ts", *FEATURES}
    for row in rows:
        day = row["feature_ts"].date()
        expected = by_hand(facts, row["customer_id"], day, definitions)
        assert {name: row[name] for name in FEATURES} == pytest.approx(expected), (row, day)


def test_an_event_counts_from_the_day_after_it_was_received(spark: SparkSession) -> None:
    """A day computed later sees what was known at its midnight, not what has arrived since."""
    at = dt.datetime(2026, 3, 2, 10, tzinfo=UTC)
    events = pd.DataFrame(
        {
            "customer_id": ["c0"] * 2,
            "event_ts": [at, at],
            "event_type": ["order"] * 2,
            "amount": [1.0, 2.0],
            "shop": [None, None],
            "received_ts": [at, dt.datetime(2026, 3, 5, tzinfo=UTC)],
        }
    )
    facts = {**world(np.random.default_rng(0), 1, dt.date(2026, 3, 2)), "events": events}
    days = [dt.date(2026, 3, day) for day in (2, 3, 5, 6)]
    moments = spark.createDataFrame([("c0", day) for day in days], "customer_id STRING, day DATE")
    spend = made({"spend": {"sum": "amount", "of": "order", "days": 9}})
    rows = features_at(moments, days, in_spark(spark, facts), spend)
    assert [row["spend"] for row in rows.orderBy("feature_ts").collect()] == [0, 1, 1, 3]


def test_a_table_of_features_is_joined_as_of_the_day(spark: SparkSession) -> None:
    """The newest row at or before the day counts, whole, and a later one does not."""
    spark.sql("CREATE SCHEMA IF NOT EXISTS juan_dev.crm")
    spark.sql("DROP TABLE IF EXISTS juan_dev.crm.scores")
    spark.sql(
        "CREATE TABLE juan_dev.crm.scores USING DELTA AS SELECT * FROM VALUES "
        "('c0', TIMESTAMP '2026-03-01 00:00:00', 0.1D, 'x'), "
        "('c0', TIMESTAMP '2026-03-02 00:00:00', NULL, 'y'), "
        "('c0', TIMESTAMP '2026-03-02 00:00:01', 0.3D, 'z') AS t (client, scored_at, churn, tag)"
    )
    link = {"table": "juan_dev.crm.scores", "key": "client", "time": "scored_at"}
    definitions = made(
        {
            "churn": {**link, "column": "churn", "default": 0.5},
            "tag": {**link, "column": "tag", "type": "string"},
        }
    )
    facts = in_spark(spark, world(np.random.default_rng(0), 2, dt.date(2026, 3, 1)))
    days = [dt.date(2026, 3, day) for day in (1, 2, 3)]
    pairs = [(customer, day) for customer in ("c0", "c1") for day in days]
    moments = spark.createDataFrame(pairs, "customer_id STRING, day DATE")
    rows = features_at(moments, days, facts, definitions).orderBy("customer_id", "feature_ts")
    found = [(row["churn"], row["tag"]) for row in rows.collect()]
    assert found == [(0.1, "x"), (0.5, "y"), (0.3, "z"), (0.5, None), (0.5, None), (0.5, None)]
    spark.sql("DROP SCHEMA juan_dev.crm CASCADE")


@pytest.mark.parametrize(
    ("feature", "word"),
    [
        ({"attribute": "paln", "type": "string"}, "plan"),
        ({"days_since": "joined_on"}, "signup_date"),
        ({"sum": "amuont", "of": "order", "days": 3}, "amount"),
        ({"table": "juan_dev.crm.none", "time": "t", "column": "c"}, "create it"),
    ],
)
def test_what_does_not_exist_is_named(
    spark: SparkSession, feature: dict[str, Any], word: str
) -> None:
    """A column or table that is not there is an error with the closest name."""
    facts = in_spark(spark, world(np.random.default_rng(0), 2, dt.date(2026, 3, 1)))
    days = [dt.date(2026, 3, 1)]
    moments = spark.createDataFrame([("c0", days[0])], "customer_id STRING, day DATE")
    with pytest.raises(SourceError) as caught:
        features_at(moments, days, facts, made({"f": feature}))
    assert word in str(caught.value)
