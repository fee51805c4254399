"""customer_features: the declared features of customers at the start of a day."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from engine.data.as_of import as_of_features
from engine.data.versions import STAMPS, UNTIL
from engine.errors import SourceError
from engine.feature_definitions import CONTACT, Feature, FeatureDefinitions
from policies.errors import require_known

EXACT = "decimal(38, 9)"  # sums of it do not depend on the order of rows


@dataclass(frozen=True)
class Facts:
    """What features are made from.

    Args:
        customers: their versions, with `changed_ts` where the source says since when each holds.
        events: their versions, with `received_ts` where the source says when it told of each, and
            `superseded_ts`, when it told of the next.
        decisions: of all days.
        groups: action id -> group of the catalogue.
    """

    customers: DataFrame
    events: DataFrame
    decisions: DataFrame
    groups: Mapping[str, str]


def features_at(
    moments: DataFrame, days: Sequence[dt.date], facts: Facts, definitions: FeatureDefinitions
) -> DataFrame:
    """One row a moment with `feature_ts`, the day's 00:00 UTC, and every declared feature.

    An event counts for a day if its date in the declared zone lies within the days before the day,
    and if it happened, and was received, before the day's 00:00 UTC. So a day that is computed
    later sees what was known then.

    Args:
        moments: distinct (customer_id, day); others than customers are left out.
        days: those of the moments.
        facts: what is known.
        definitions: of `conf/features.yml`.

    Raises:
        SourceError: a column or table that a feature names does not exist.
    """
    named = definitions.features
    rows = _with_attributes(moments, facts.customers, named)
    if windows := dict(definitions.windows()):
        rows = rows.join(_windowed(facts, windows, days, definitions.time_zone), KEYS, "left")
    for key, names in _tables(named).items():
        rows = _as_of_table(rows, key, names)
    for name in definitions.order:
        rows = rows.withColumn(name, _finished(name, named[name]))
    return rows.select("customer_id", "feature_ts", *named)


KEYS = ["customer_id", "day"]


def _with_attributes(
    moments: DataFrame, customers: DataFrame, features: Mapping[str, Feature]
) -> DataFrame:
    """(customer_id, day, feature_ts) of known customers with the features that customers have."""
    values = {}
    for name, feature in features.items():
        column = feature.attribute or (None if feature.event_type else feature.days_since)
        if column is not None:
            what = f"The feature {name} needs a column {column!r} of the customers."
            require_known(column, customers.columns, SourceError, what, "conf/features.yml")
            value = F.col(f"`{column}`")
            values[name] = value if feature.attribute else F.datediff("day", value.cast("date"))
    at = moments.withColumn("feature_ts", F.col("day").cast("timestamp"))
    stamp, columns = STAMPS["customers"], [each for each in customers.columns if each not in KEYS]
    if stamp in columns:
        attributes = [column for column in columns if column not in (stamp, UNTIL)]
        since = F.col(stamp) + F.expr("INTERVAL 1 MICROSECOND")  # before midnight, not at it
        known = customers.withColumn("feature_ts", since).drop(stamp)
        at = at.withColumnRenamed("feature_ts", "_day")
        rows = as_of_features(at, known, attributes, at="_day").drop("feature_ts")
        rows = rows.withColumnRenamed("_day", "feature_ts")
    else:
        rows = at.join(customers, "customer_id")
    own = (value.alias(name) for name, value in values.items())
    return rows.select("customer_id", "day", "feature_ts", *own)


def _windowed(
    facts: Facts, features: Mapping[str, Feature], days: Sequence[dt.date], zone: str
) -> DataFrame:
    """(customer_id, day) with the features over what happened in the days before."""
    longest = max(feature.days or 0 for feature in features.values())
    values = sorted({column for each in features.values() if (column := _value(each))})
    happened = _events(facts.events, values, zone)
    if any(feature.event_type == CONTACT for feature in features.values()):
        happened = happened.unionByName(_contacts(facts.decisions), allowMissingColumns=True)
    wanted = {feature.event_type for feature in features.values()}
    near = happened.where(F.col("what").isin(*wanted)).where(
        (F.col("known_from") <= F.lit(max(days)))
        & (F.date_add("date", longest) >= F.lit(min(days)))
    )
    asked = F.array(*map(F.lit, days))
    seen = F.filter(
        asked,
        lambda day: (day >= F.col("known_from"))
        & (day <= F.date_add("date", longest))
        & (F.col("known_until").isNull() | (day <= F.col("known_until"))),
    )
    each_day = near.withColumn("day", F.explode(seen)).withColumn("ago", F.datediff("day", "date"))
    return each_day.groupBy(*KEYS).agg(
        *(_aggregate(each, facts.groups).alias(name) for name, each in features.items())
    )


def _events(events: DataFrame, values: Sequence[str], zone: str) -> DataFrame:
    for column in values:
        what = f"A feature needs a column {column!r} of the events."
        require_known(column, events.columns, SourceError, what, "conf/features.yml")
    moment = F.col("event_ts")
    local = moment if zone == "UTC" else F.from_utc_timestamp(moment, zone)
    known = [F.date_add(F.to_date(local), 1), F.date_add(F.to_date(moment), 1)]
    if "received_ts" in events.columns:  # a source without it tells of events as they happen
        told = F.coalesce(F.col("received_ts"), moment)
        known.append(F.date_add(F.to_date(told), 1))
    until = F.to_date(UNTIL) if UNTIL in events.columns else F.lit(None).cast("date")
    return events.select(
        "customer_id",
        F.to_date(local).alias("date"),
        F.greatest(*known).alias("known_from"),
        until.alias("known_until"),
        F.col("event_type").alias("what"),
        *(F.col(f"`{column}`").alias(f"_{column}") for column in values),
    )


def _contacts(decisions: DataFrame) -> DataFrame:
    return decisions.where("channel <> 'none'").select(
        "customer_id",
        F.col("decision_date").alias("date"),
        F.date_add("decision_date", 1).alias("known_from"),
        F.lit(CONTACT).alias("what"),
        "channel",
        "action_id",
    )


def _value(feature: Feature) -> str | None:
    """The column of events that it computes with."""
    return feature.sum or feature.mean or feature.min or feature.max or feature.distinct


def _aggregate(feature: Feature, groups: Mapping[str, str]) -> Column:
    holds = (F.col("what") == feature.event_type) & (F.col("ago") <= feature.days)
    if feature.channel:
        holds &= F.col("channel") == feature.channel
    if feature.group:
        ids = [action for action, group in groups.items() if group == feature.group]
        holds &= F.col("action_id").isin(*ids)
    if feature.count:
        return F.count(F.when(holds, 1))
    if feature.days_since:
        return F.min(F.when(holds, F.col("ago")))
    value = F.col(f"`_{_value(feature)}`")
    if feature.distinct:
        return F.count_distinct(F.when(holds, value))
    exact = F.when(holds, value.cast("double"))
    if feature.sum:
        return F.sum(exact.cast(EXACT))
    if feature.mean:
        return F.sum(exact.cast(EXACT)).cast("double") / F.nullif(F.count(exact), F.lit(0))
    return F.min(exact) if feature.min else F.max(exact)


def _tables(features: Mapping[str, Feature]) -> dict[tuple[str, str, str], dict[str, str]]:
    """(table, key, time) -> feature -> column."""
    found: dict[tuple[str, str, str], dict[str, str]] = {}
    for name, feature in features.items():
        if feature.table:
            key = (feature.table, feature.key, str(feature.time))
            found.setdefault(key, {})[name] = str(feature.column)
    return found


def _as_of_table(rows: DataFrame, key: tuple[str, str, str], names: Mapping[str, str]) -> DataFrame:
    table, customer, time = key
    where = f"conf/features.yml, features.{next(iter(names))}"
    spark: SparkSession = rows.sparkSession
    if not spark.catalog.tableExists(table):
        hint = "create it, or remove the features that name it"
        raise SourceError(f"There is no table {table}.", where=where, hint=hint)
    found = spark.table(table)
    for column in (customer, time, *names.values()):
        what = f"The table {table} has no column {column!r}."
        require_known(column, found.columns, SourceError, what, where)
    stated = found.select(
        F.col(f"`{customer}`").cast("string").alias("customer_id"),
        F.col(f"`{time}`").cast("timestamp").alias("feature_ts"),
        *(F.col(f"`{column}`").alias(name) for name, column in names.items()),
    ).where("feature_ts IS NOT NULL")
    moments = rows.withColumnRenamed("feature_ts", "_day")
    joined = as_of_features(moments, stated, list(names), at="_day").drop("feature_ts")
    return joined.withColumnRenamed("_day", "feature_ts")


def _finished(name: str, feature: Feature) -> Column:
    """The value in its type; nothing counted is 0, and the default takes the place of null."""
    value = F.expr(feature.sql) if feature.sql else F.col(f"`{name}`")
    if feature.source in ("count", "sum", "distinct"):
        value = F.coalesce(value, F.lit(0))
    value = value.cast(feature.kind)
    if feature.default is None:
        return value
    return F.coalesce(value, F.lit(feature.default).cast(feature.kind))
