"""customer_features: recency, frequency, money and contacts at 00:00 UTC of a day."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from engine.digests import text_digest

LONG_DAYS, SHORT_DAYS = 28, 7
CHANNELS = ("email", "sms", "push", "phone")
BEHAVIOUR: dict[str, str] = {
    "age_band": "string",
    "region": "string",
    "plan": "string",
    "tenure_days": "bigint",
    "recency_days": "double",
    "orders_28d": "bigint",
    "spend_28d": "double",
    "visits_7d": "bigint",
    "contacts_7d": "bigint",
    **{f"days_since_{channel}": "double" for channel in CHANNELS},
}
"""Features made from `customers`, `events` and `decisions`, with their SQL types."""


def feature_hash(features: Mapping[str, str]) -> str:
    """12 hex digits that change with any feature's name, type or position."""
    return text_digest(";".join(f"{name} {kind}" for name, kind in features.items()))


def behaviour(
    customers: DataFrame, events: DataFrame, decisions: DataFrame, days: Iterable[dt.date]
) -> DataFrame:
    """One row a customer and day, from facts of strictly earlier dates only.

    Windows are the 28 (7) calendar days before the day; `recency_days` and `days_since_*` are
    null where nothing of the kind happened in them.
    """
    return (
        _requests(customers, days)
        .unionByName(_event_days(events), allowMissingColumns=True)
        .unionByName(_contact_days(decisions), allowMissingColumns=True)
        .select("*", *(column.alias(name) for name, column in _windowed().items()))
        .where("feature_ts IS NOT NULL")
        .select("customer_id", "feature_ts", *BEHAVIOUR)
    )


def attributes(customers: DataFrame, features: Mapping[str, str], moments: DataFrame) -> DataFrame:
    """Features that are plain columns of `customers`, at each (customer_id, feature_ts)."""
    return moments.join(customers, "customer_id").select(
        "customer_id", "feature_ts", *(F.col(name).cast(kind) for name, kind in features.items())
    )


def _requests(customers: DataFrame, days: Iterable[dt.date]) -> DataFrame:
    """One row a customer and day, with the features that do not depend on events."""
    date = F.explode(F.array(*map(F.lit, days))).alias("date")
    own = ("customer_id", "age_band", "region", "plan")
    return customers.select(*own, "signup_date", date).select(
        *own,
        F.datediff("date", "signup_date").cast("bigint").alias("tenure_days"),
        F.col("date").cast("timestamp").alias("feature_ts"),
        F.unix_date("date").alias("day"),
    )


def _event_days(events: DataFrame) -> DataFrame:
    purchase = F.col("event_type") == "purchase"
    return events.groupBy("customer_id", F.unix_date(F.to_date("event_ts")).alias("day")).agg(
        F.count(F.when(purchase, 1)).alias("orders"),
        F.sum(F.when(purchase, F.col("amount"))).alias("spend"),
        F.count(F.when(F.col("event_type") == "visit", 1)).alias("visits"),
    )


def _contact_days(decisions: DataFrame) -> DataFrame:
    day = F.unix_date("decision_date").alias("day")
    contacts = decisions.where("channel <> 'none'")
    return contacts.select("customer_id", day, F.lit(1).alias("contacts"), "channel")


def _windowed() -> dict[str, Column]:
    by_day = Window.partitionBy("customer_id").orderBy("day")
    long, short = by_day.rangeBetween(-LONG_DAYS, -1), by_day.rangeBetween(-SHORT_DAYS, -1)

    def since(happened: Column) -> Column:
        return (F.col("day") - F.max(F.when(happened, F.col("day"))).over(long)).cast("double")

    def total(name: str, window: Window) -> Column:
        return F.coalesce(F.sum(name).over(window), F.lit(0))

    return {
        "recency_days": since(F.col("orders") > 0),
        "orders_28d": total("orders", long).cast("bigint"),
        "spend_28d": total("spend", long).cast("double"),
        "visits_7d": total("visits", short).cast("bigint"),
        "contacts_7d": total("contacts", short).cast("bigint"),
        **{f"days_since_{name}": since(F.col("channel") == name) for name in CHANNELS},
    }
