"""Decisions that something refers to are frozen: a rerun that would change them is refused."""

from __future__ import annotations

import datetime as dt
from typing import Optional

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from engine.data.tables import Tables
from engine.errors import JobError


def write_decisions(tables: Tables, rows: DataFrame, day: dt.date) -> tuple[int, bool]:
    """Replace a day's decisions, unless they are frozen; equal ones are left as they are.

    Args:
        tables: where `decisions` is.
        rows: all decisions of the day.
        day: their date.

    Returns:
        How many decisions the day has, and whether they were written.

    Raises:
        JobError: the day's decisions would change although they are frozen, and no replacement of
            this day is recorded.
    """
    where = f"decision_date = DATE '{day}'"

    def check() -> None:
        frozen_by = _referring_table(tables, day)
        if frozen_by and not tables.count("replaced_decisions", where):
            raise JobError(
                f"The decisions of {day} are frozen, and this run would change them: {frozen_by} "
                "refers to them.",
                where=tables.name("decisions"),
                hint="leave them; or add --replace-decisions --reason TEXT, which takes the day "
                "out of evidence and training",
            )

    return tables.replace("decisions", rows, where, check)


def _referring_table(tables: Tables, day: dt.date) -> Optional[str]:
    """The first table that builds on the day's decisions; None if none does."""
    own = tables.read("decisions").where(F.col("decision_date") == F.lit(day))
    later = F.col("feature_ts") > F.lit(day).cast("timestamp")  # contacts of the day are counted
    references = {
        "rewarded_decisions": lambda rows: rows.where(F.col("decision_date") == F.lit(day)),
        "customer_features": lambda rows: rows.where(later),
        "outcomes": lambda rows: rows.join(own, "decision_id", "left_semi"),
    }
    for table, referring in references.items():
        if tables.exists(table) and not referring(tables.read(table)).isEmpty():
            return table
    return None
