"""Corrected rows: the newest version in the table, earlier ones in its `superseded_` table."""

from __future__ import annotations

import datetime as dt
from typing import Optional

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from engine.data.tables import TABLES, Tables

STAMPS = {"customers": "changed_ts", "events": "received_ts", "outcomes": "received_ts"}
"""Table -> the column that says from when on a version of a row is known."""
ALWAYS = dt.date(1900, 1, 1)
UNTIL = "superseded_ts"  # from when on another version is known in its place; null: there is none


def all_versions(tables: Tables, table: str) -> DataFrame:
    """Every version of every row; `superseded_ts` says until when it was the newest known."""
    rows, earlier = tables.read(table), f"superseded_{table}"
    current = rows.withColumn(UNTIL, F.lit(None).cast("timestamp"))
    if not tables.exists(earlier):
        return current
    return current.unionByName(tables.read(earlier), allowMissingColumns=True)


def known_at(tables: Tables, table: str, day: dt.date) -> DataFrame:
    """The version of each row that was the newest known at 00:00 UTC of a day.

    Rows of a table without versions are known always.
    """
    rows, stamp = all_versions(tables, table), STAMPS[table]
    if stamp in rows.columns:
        moment = F.lit(day).cast("timestamp")
        rows = rows.where(F.col(stamp) < moment).where(
            F.col(UNTIL).isNull() | (F.col(UNTIL) >= moment)
        )
    return rows.drop(UNTIL)


def with_versions(tables: Tables, table: str, incoming: DataFrame) -> tuple[DataFrame, DataFrame]:
    """What the incoming rows change: newest versions, and earlier ones that they follow or precede.

    Of rows with one key that follow each other with equal content only the first is a version. Of
    those with one key and time a single one is, always the same. Deliveries come in the order of
    their stamps: a version that is older than a repetition already dropped also replaces that.

    Args:
        tables: where the versions are that are known already; within `staging` alone.
        table: whose rows they are.
        incoming: with the stamp of `STAMPS`, never null.

    Returns:
        New or changed rows for the table, and for `superseded_TABLE` with `superseded_ts`.
    """
    [key], stamp = TABLES[table].keys, STAMPS[table]
    rows = incoming.withColumn("_until", F.lit(None).cast("timestamp")).withColumn(
        "_new", F.lit(True)
    )
    if tables.exists(table):
        ours = all_versions(tables, table).withColumnRenamed(UNTIL, "_until")
        touched = ours.join(incoming.select(key).distinct(), key, "left_semi")
        rows = rows.unionByName(touched.withColumn("_new", F.lit(False)), allowMissingColumns=True)
    content = sorted(set(rows.columns) - {stamp, "_until", "_new"})
    order = Window.partitionBy(key).orderBy(stamp, "_said", "_new")
    rows = rows.withColumn("_said", F.xxhash64(F.to_json(F.struct(*content))))
    rows = rows.withColumn("_before", F.lag("_said").over(order))
    rows = rows.where(~F.col("_said").eqNullSafe(F.col("_before")))
    rows = rows.withColumn(UNTIL, F.lead(stamp).over(order))
    rows = rows.where(F.col("_new") | ~F.col(UNTIL).eqNullSafe(F.col("_until")))
    rows = tables.stage(rows.drop("_said", "_before", "_new", "_until"))
    earlier = rows.where(F.col(UNTIL) > F.col(stamp))  # equal: another of the same time is newest
    return rows.where(F.col(UNTIL).isNull()).drop(UNTIL), earlier


def stamped(
    tables: Tables, table: str, incoming: DataFrame, first: Optional[str], day: dt.date
) -> DataFrame:
    """Rows of a source that does not say when it told of them, with a stamp.

    What is not in the table yet was told of at its own time; what is, in the last moment before the
    day.

    Args:
        tables, table: where the rows go.
        incoming: the rows.
        first: the column of a row's own time; None = it has been known always.
        day: the day of the run.
    """
    [key], stamp = TABLES[table].keys, STAMPS[table]
    own = F.col(first) if first else F.lit(ALWAYS).cast("timestamp")
    if not tables.exists(table):
        return incoming.withColumn(stamp, own)
    there = all_versions(tables, table).select(key).distinct().withColumn("_there", F.lit(True))
    eve = F.lit(day).cast("timestamp") - F.expr("INTERVAL 1 MICROSECOND")
    now = F.when(F.col("_there"), eve).otherwise(own)
    return incoming.join(there, key, "left").withColumn(stamp, now).drop("_there")
