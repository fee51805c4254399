"""A history too large for one machine, simulated by Spark in parts: `spark_history`."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession

from engine.config import load_config
from engine.data.decisions import Author, decision_rows
from engine.data.tables import TABLES
from engine.refs import PolicyRef
from simulation import World
from simulation.world import PART, START

FEATURES = load_config(Path(__file__).parent.parent / "conf").features.types


def spark_history(
    spark: SparkSession,
    world: World,
    customers: int,
    days: int,
    start: str = START,
    size: int = PART,
) -> DataFrame:
    """The rows of `world.history(days)` for so many customers, as rows of `rewarded_decisions`.

    Each task simulates all days of its customers, so memory is that of one day and of `size`
    customers; the rows are the same on any number of machines. The log is not corrupted.

    Args:
        spark: a session.
        world: gives the seed and the responses; its own customers may be few.
        customers: how many of the seed's customers.
        days: how many days its logging policy acts.
        start: the first decision date.
        size: customers of a task.
    """

    def simulated(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for first in batch.column("id").to_pylist():
                for table in _days(world.people(first, min(first + size, customers)), days, start):
                    yield from table.to_batches()

    features = ", ".join(f"`{name}` {kind}" for name, kind in FEATURES.items())
    columns = f"{TABLES['decisions'].columns}, reward DOUBLE, matured_on DATE, {features}"
    tasks = math.ceil(customers / size)
    return spark.range(0, customers, size, numPartitions=tasks).mapInArrow(simulated, columns)


def _days(world: World, days: int, start: str) -> Iterator[pa.Table]:
    """Each day's decisions, with their matured reward and their features."""
    author = Author(str(PolicyRef.baseline("business_rules")), "", "", "history")
    for day in world.run(days, start, floor=world.floor, groups=world.groups):
        logged = world.logged_columns(day)
        dates = np.asarray(logged["decision_date"])
        rows = decision_rows(logged["customer_id"], dates, day.decisions, world.catalogue, author)
        for name in ("reward", "matured_on", *FEATURES):
            rows = rows.append_column(name, pa.array(logged[name], from_pandas=True))
        if len(rows):
            yield rows
