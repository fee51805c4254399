"""What was known at a time: the newest row of a customer at or before it, none of later times."""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F


def as_of_features(
    moments: DataFrame, features: DataFrame, names: Sequence[str], *, at: str = "decision_ts"
) -> DataFrame:
    """Each moment with the whole of the customer's newest feature row at or before it.

    Nulls of that row stay null; a moment without any earlier row keeps null in `feature_ts`.

    Args:
        moments: rows with `customer_id` and the timestamp column `at`.
        features: rows with `customer_id`, `feature_ts` and `names`.
        names: feature columns to add.
        at: the column of the moment.
    """
    row = F.struct("feature_ts", *names).alias("_row")
    stated = features.select("customer_id", F.col("feature_ts").alias("_at"), row)
    wanted = moments.select(
        "customer_id", F.col(at).alias("_at"), F.struct(*moments.columns).alias("_moment")
    )
    # At equal times the feature row sorts first (it has no moment), so it is already known.
    order = Window.partitionBy("customer_id").orderBy("_at", F.col("_moment").isNotNull())
    latest = F.last("_row", ignorenulls=True).over(
        order.rowsBetween(Window.unboundedPreceding, Window.currentRow)
    )
    return (
        stated.unionByName(wanted, allowMissingColumns=True)
        .withColumn("_row", latest)
        .where(F.col("_moment").isNotNull())
        .select("_moment.*", "_row.feature_ts", *(f"_row.{name}" for name in names))
    )
