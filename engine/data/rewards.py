"""rewarded_decisions: decisions whose reward window has closed, with all that learning needs.

A reward is everything the customer did within the window after the decision, by the same rule
for every action, minus the action's cost; windows of one customer may overlap.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import TYPE_CHECKING, Optional

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import functions as F

from engine.config import Config
from engine.settings import Reward
from policies.log import LoggedDecisions

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

    from engine.data.tables import Tables

COLUMNS = (
    "decision_id",
    "decision_date",
    "customer_id",
    "group",
    "action_id",
    "action_probability",
    "eligible_actions",
    "distribution",
    "reward",
    "matured_on",
)
JUDGED_GROUPS = ("policy", "uniform")  # holdout and previous stay out of learning and evaluation


def newly_matured(
    tables: Tables, reward: Reward, as_of: dt.date, last_day: Optional[dt.date] = None
) -> DataFrame:
    """Decisions matured by `as_of` that are not in `rewarded_decisions` yet.

    Args:
        tables: where `decisions` is.
        reward: window and lag.
        as_of: the day.
        last_day: of what the source can tell outcomes of; later decisions never mature.
    """
    matured = F.date_add("decision_date", reward.matured_after_days)
    rows = (
        tables.read("decisions")
        .where(F.col("group").isin(*JUDGED_GROUPS))
        .withColumn("matured_on", matured)
        .where(F.col("matured_on") <= F.lit(as_of))
    )
    if last_day:
        rows = rows.where(F.col("decision_date") <= F.lit(last_day))
    if tables.exists("rewarded_decisions"):
        rows = rows.join(tables.read("rewarded_decisions"), "decision_id", "left_anti")
    return rows


def with_reward(
    decisions: DataFrame, outcomes: DataFrame, config: Config, as_of: dt.date
) -> DataFrame:
    """Add `reward`: the outcomes' values within the window, minus cost, clipped to the range.

    Args:
        decisions: rows of `decisions`.
        outcomes: rows of `outcomes`; those received at or after `as_of` 00:00 are not known.
        config: outcome values, window, range, and the catalogue's costs.
        as_of: the day the code pretends it is.
    """
    reward, ids = config.engine.reward, config.catalogue.action_ids
    value = _lookup("outcome_type", reward.outcomes)
    known = outcomes.where(F.col("received_ts") < F.lit(as_of).cast("timestamp")).select(
        "customer_id", "outcome_ts", value.alias("value")
    )
    closes = F.col("decision_ts") + F.expr(f"INTERVAL {reward.window_days} DAYS")
    inside = (known.outcome_ts >= F.col("decision_ts")) & (known.outcome_ts < closes)
    earned = (
        decisions.select("decision_id", "customer_id", "decision_ts")
        .join(known, "customer_id")
        .where(inside)
        .groupBy("decision_id")
        .agg(F.sum("value").alias("earned"))
    )
    cost = _lookup("action_id", dict(zip(ids, map(float, config.catalogue.costs))))
    net = F.coalesce(F.col("earned"), F.lit(0.0)) - cost
    low, high = reward.range
    clipped = F.least(F.greatest(net, F.lit(low)), F.lit(high))
    return decisions.join(earned, "decision_id", "left").withColumn("reward", clipped)


def _lookup(column: str, values: Mapping[str, float]) -> Column:
    """The value of each name in a column; 0 for names that have none."""
    found = F.lit(0.0)
    for name, value in values.items():
        found = F.when(F.col(column) == name, F.lit(float(value))).otherwise(found)
    return found


def read_log(
    tables: Tables,
    config: Config,
    features: Mapping[str, str],
    as_of: dt.date,
    *,
    first_day: Optional[dt.date] = None,
) -> LoggedDecisions:
    """The log matured by `as_of`, in order of date and decision id.

    Args:
        tables: where `rewarded_decisions` is.
        config: catalogue and reward range.
        features: context columns to bring.
        as_of: rows with `matured_on` up to this day are known.
        first_day: leave out earlier decisions.
    """
    rows = matured_rows(tables, features, as_of)
    if first_day:
        rows = rows.where(F.col("decision_date") >= F.lit(first_day))
    return logged_from_arrow(rows.toArrow(), config, features)


def matured_rows(tables: Tables, features: Mapping[str, str], as_of: dt.date) -> DataFrame:
    """The rows of `rewarded_decisions` matured by `as_of`, in order of date and decision id."""
    rows = tables.read("rewarded_decisions").where(F.col("matured_on") <= F.lit(as_of))
    return rows.select(*COLUMNS, *features).orderBy("decision_date", "decision_id")


def logged_from_arrow(
    rows: pa.Table, config: Config, features: Mapping[str, str]
) -> LoggedDecisions:
    """Rows of `rewarded_decisions` as arrays."""
    ids = config.catalogue.action_ids
    return LoggedDecisions(
        action_ids=ids,
        action=_index(rows["action_id"], ids),
        action_probability=rows["action_probability"].to_numpy(),
        reward=rows["reward"].to_numpy(),
        eligible=_dense(rows["eligible_actions"], ids) > 0,
        distribution=_dense(rows["distribution"], ids),
        contexts=frame_of(rows.select(list(features))),
        decision_date=rows["decision_date"].to_numpy().astype("datetime64[D]"),
        matured_on=rows["matured_on"].to_numpy().astype("datetime64[D]"),
        customer_id=rows["customer_id"].to_numpy(),
        group=rows["group"].to_numpy(),
        reward_range=config.engine.reward.range,
    )


def frame_of(rows: pa.Table) -> pd.DataFrame:
    """Arrow columns as pandas: text as objects, numbers as numpy, null as NaN."""
    return rows.to_pandas(date_as_object=False)


def _index(column: pa.ChunkedArray, ids: tuple[str, ...]) -> np.ndarray:
    """The place of each text among the ids; texts may come as codes of a dictionary."""
    array = column.combine_chunks()
    if not pa.types.is_dictionary(array.type):
        return pc.index_in(array, pa.array(ids)).to_numpy(zero_copy_only=False)
    places = pc.index_in(array.dictionary, pa.array(ids)).to_numpy(zero_copy_only=False)
    return places[array.indices.to_numpy(zero_copy_only=False)]


def _dense(column: pa.ChunkedArray, ids: tuple[str, ...]) -> np.ndarray:
    """Lists of ids, or maps from id to number, as an (n, k) array."""
    array = column.combine_chunks()
    out = np.zeros((len(array), len(ids)))
    lengths = (
        pc.list_value_length(array).to_numpy(zero_copy_only=False)
        if not pa.types.is_map(array.type)
        else np.diff(array.offsets.to_numpy())
    )
    row = np.repeat(np.arange(len(array)), lengths)
    if pa.types.is_map(array.type):
        keys, values = array.keys, array.items.to_numpy(zero_copy_only=False)
    else:
        keys, values = array.flatten(), 1.0
    out[row, _index(pa.chunked_array([keys]), ids)] = values
    return out
