"""rewarded_decisions: decisions whose reward window has closed, with all that learning needs.

A reward is everything the customer did within the window after the decision, by the same rule
for every action, minus the action's cost; windows of one customer may overlap.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Optional, Union

import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from engine.config import Config
from engine.data.tables import Tables
from engine.data.versions import UNTIL
from engine.errors import JobError
from engine.settings import Reward
from policies.log import LoggedDecisions

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
        outcomes: versions of rows of `outcomes`; what was received at or after `as_of` 00:00 is not
            known.
        config: outcome values, window, range, and the catalogue's costs.
        as_of: the day the code pretends it is.

    Raises:
        JobError: an outcome that is worth its amount has none.
    """
    reward, ids = config.engine.reward, config.catalogue.action_ids
    value, midnight = _lookup("outcome_type", reward.outcomes), F.lit(as_of).cast("timestamp")
    known = outcomes.where(F.col("received_ts") < midnight)
    if UNTIL in outcomes.columns:
        known = known.where(F.col(UNTIL).isNull() | (F.col(UNTIL) >= midnight))
    known = known.select("customer_id", "outcome_type", "outcome_ts", value.alias("value"))
    paid = "amount" in reward.outcomes.values()
    if paid and (lacking := known.where("value IS NULL").first()):
        raise JobError(
            f"An outcome {lacking['outcome_type']!r} has no amount, and its amount is the reward.",
            where="conf/engine.yml, reward.outcomes",
            hint="correct the source, or give the outcome a value of its own",
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


def _lookup(column: str, values: Mapping[str, Union[float, str]]) -> Column:
    """The value of each name in a column, or that of another column; 0 for names that have none."""
    cases = F.lit(0.0)
    for name, value in values.items():
        found = F.col(value) if isinstance(value, str) else F.lit(float(value))
        cases = F.when(F.col(column) == name, found).otherwise(cases)
    return cases


def read_log(
    tables: Tables,
    config: Config,
    features: Mapping[str, str],
    as_of: dt.date,
    since: Optional[dt.date] = None,
) -> LoggedDecisions:
    """The log matured by `as_of`, in order of date and decision id.

    Args:
        tables: where `rewarded_decisions` is.
        config: catalogue and reward range.
        features: context columns to bring.
        as_of: rows with `matured_on` up to this day are known.
        since: first day of decisions; None = all.
    """
    rows = matured_rows(tables, features, as_of)
    if since is not None:
        rows = rows.where(F.col("decision_date") >= F.lit(since))
    return logged_from_arrow(rows.toArrow(), config, features)


def matured_rows(tables: Tables, features: Mapping[str, str], as_of: dt.date) -> DataFrame:
    """The rows of `rewarded_decisions` matured by `as_of`, in order of date and decision id.

    Days whose decisions were replaced after they had been acted on are left out.
    """
    rows = tables.read("rewarded_decisions").where(F.col("matured_on") <= F.lit(as_of))
    rows = without_replaced(tables, rows)
    return rows.select(*COLUMNS, *features).orderBy("decision_date", "decision_id")


def without_replaced(tables: Tables, rows: DataFrame) -> DataFrame:
    """The rows of days whose decisions stand as they were acted on."""
    return rows.join(tables.read_if_any("replaced_decisions"), "decision_date", "left_anti")


def logged_from_arrow(
    rows: pa.Table, config: Config, features: Mapping[str, str]
) -> LoggedDecisions:
    """Rows of `rewarded_decisions` as arrays.

    The distribution is known where every row has one; another system may log only the probability
    of what it drew.
    """
    known = rows["distribution"].null_count == 0
    return LoggedDecisions.from_frame(
        rows,
        config.catalogue.action_ids,
        features=list(features),
        decision_date="decision_date",
        customer_id="customer_id",
        eligible="eligible_actions",
        distribution="distribution" if known else None,
        group="group",
        matured_on="matured_on",
        reward_range=config.engine.reward.range,
    )
