"""A day's decisions, table to table: Arrow batches through the one `policies.deciding.decide`."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from typing import Optional

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from engine.data.as_of import as_of_features
from engine.data.decisions import Author, day_of, decision_rows
from engine.data.tables import TABLES, Tables
from engine.data.versions import known_at
from engine.errors import TableError
from policies import Policy
from policies.catalogue import Catalogue
from policies.columns import as_frame
from policies.deciding.decision import decide
from policies.deciding.groups import Groups


def contexts_on(
    tables: Tables, catalogue: Catalogue, names: Sequence[str], day: dt.date
) -> DataFrame:
    """Every customer with consents and the newest features at the day's 00:00 UTC.

    Raises:
        TableError: the day's features have not been made.
    """
    features = tables.read("customer_features")
    moment = F.lit(day).cast("timestamp")
    if features.where(F.col("feature_ts") == moment).isEmpty():
        raise TableError(
            f"customer_features has no rows for {day}.",
            where=tables.name("customer_features"),
            hint=f"run data_pipeline_job with as_of={day} first",
        )
    consents = [f"consent_{channel}" for channel in catalogue.contact_channels]
    customers = known_at(tables, "customers", day).select("customer_id", *consents)
    known = features.where(F.col("feature_ts") <= moment)
    rows = as_of_features(customers.withColumn("at", moment), known, names, at="at")
    return rows.where("feature_ts IS NOT NULL").select("customer_id", *consents, *names)


def decide_day(
    contexts: DataFrame,
    policy: Policy,
    catalogue: Catalogue,
    author: Author,
    day: dt.date,
    *,
    floor: float,
    groups: Groups,
    previous: Optional[Policy] = None,
) -> DataFrame:
    """Rows of `decisions` for every context; the compiled policy travels in the closure.

    Args:
        contexts: customer_id, consents and features.
        policy: the champion.
        catalogue: actions and their rules.
        author: what is written beside each decision.
        day: the decision date.
        floor: least probability of an eligible action.
        groups: shares of uniform, holdout and previous.
        previous: the old champion, where `groups.previous` is above 0.
    """

    def decided(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            frame = as_frame(pa.Table.from_batches([batch]))
            made = decide(
                policy, catalogue, frame, date=day, floor=floor, groups=groups, previous=previous
            )
            customer = frame["customer_id"].to_numpy()
            rows = decision_rows(customer, day_of(day, len(frame)), made, catalogue, author)
            yield from rows.to_batches()

    columns = TABLES["decisions"].columns
    assert columns is not None
    return contexts.mapInArrow(decided, columns)
