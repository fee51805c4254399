"""Another system's decisions: their contract, what they chose from, and their distributions."""

from __future__ import annotations

from collections.abc import Collection

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from engine.data.as_of import as_of_features
from engine.data.decisions import OTHER_SYSTEM
from engine.data.sources.contract import REASON, ROW
from engine.source_definitions import COLUMNS, UpstreamTable
from policies.catalogue import NO_CHANNEL, Catalogue
from policies.log import ROUNDING

LEAST_DRAWS = 10  # of an action before its one logged probability counts as constant


def decision_rules(described: UpstreamTable, catalogue: Catalogue) -> dict[str, Column]:
    """What a decision must keep besides its types: reason -> whether it is broken."""
    ids = list(catalogue.action_ids)
    chance = F.col("action_probability")
    rules = {
        "action_id is not in the catalogue": ~F.col("action_id").isin(*ids),
        "action_probability is not above 0 and at most 1": (chance <= 0) | (chance > 1),
    }
    if described.floor:
        low = chance < described.floor * (1 - 1e-6)
        rules["action_probability is below the declared floor"] = low
    if "distribution" in described.columns:
        drawn, values = F.col("distribution"), F.map_values("distribution")
        total = F.aggregate(values, F.lit(0.0), lambda one, other: one + other)
        improper = (F.abs(total - 1) > ROUNDING) | F.exists(values, lambda value: value < 0)
        rules["distribution is not positive with sum 1"] = improper
        away = F.abs(F.coalesce(F.try_element_at(drawn, F.col("action_id")), F.lit(0.0)) - chance)
        rules["distribution and action_probability differ"] = away > ROUNDING
        named = F.array_except(F.map_keys("distribution"), F.array(*map(F.lit, ids)))
        rules["distribution names an action that is not in the catalogue"] = F.size(named) > 0
    if "eligible" in described.columns:
        strange = F.size(F.array_except("eligible", F.array(*map(F.lit, ids)))) > 0
        rules["eligible names an action that is not in the catalogue"] = strange
        rules["action_id is not in eligible"] = ~F.array_contains("eligible", F.col("action_id"))
    return rules


def with_eligible(
    given: DataFrame, catalogue: Catalogue, columns: Collection[str], customers: DataFrame
) -> DataFrame:
    """The decisions, each once, with `eligible` sorted; `_reason` says what contradicts another row.

    Args:
        given: rows that keep the contract one by one.
        catalogue: actions and their channels.
        columns: what the source maps; without `eligible` it is what `distribution` could draw, or
            what the customer's consents allowed at that time.
        customers: versions of all customers, `feature_ts` being the time from which each holds.
    """
    rows = given.drop("received_ts")
    content = [column for column in rows.columns if column != ROW]
    rows = rows.withColumn("_said", F.to_json(F.struct(*content)))
    rows = rows.dropDuplicates(["_said"]).drop("_said")  # a map has no equality of its own
    once = F.count(F.lit(1)).over(Window.partitionBy("decision_id")) == 1
    rows = rows.withColumn("_once", once)
    consents = [f"consent_{channel}" for channel in catalogue.contact_channels]
    broken = {"two different rows have this decision_id": ~F.col("_once")}
    if "distribution" in columns and "eligible" not in columns:
        possible = F.map_filter("distribution", lambda _, value: value > 0)
        rows = rows.withColumn("eligible", F.map_keys(possible))
    elif "eligible" not in columns:
        rows = as_of_features(rows, customers, consents)
        unknown = F.col("feature_ts").isNull()
        allowed = [
            F.when(
                F.lit(True) if channel == NO_CHANNEL else F.col(f"consent_{channel}"),
                F.lit(action),
            )
            for action, channel in zip(catalogue.action_ids, catalogue.channels)
        ]
        rows = rows.withColumn("eligible", F.array_compact(F.array(*allowed)))
        broken["the customer was not known then, and eligible is not given"] = unknown
        broken["the customer had not consented to the channel of action_id"] = ~F.array_contains(
            "eligible", F.col("action_id")
        )
    reason = F.coalesce(*(F.when(holds, F.lit(why)) for why, holds in broken.items()))
    eligible = F.array_sort(F.array_distinct("eligible"))
    return rows.withColumn(REASON, reason).withColumn("eligible", eligible)


def with_implied(rows: DataFrame) -> DataFrame:
    """The distributions that logged probabilities imply; null where they imply none.

    A single eligible action has probability 1, and of two one implies the other. A randomised test
    draws each action of an eligible set with one probability: where all of them are logged, and add
    up to 1, they are the distribution. A few rows of a logger that looks at contexts may add up so by
    chance; of each action there must be `LEAST_DRAWS`.
    """
    p, low, high = "action_probability", F.min("action_probability"), F.max("action_probability")
    each = rows.groupBy("eligible", "action_id").agg(
        F.avg(p).alias("p"), (high - low).alias("w"), F.count("*").alias("n")
    )
    entries = F.collect_list(F.struct("action_id", "p"))
    sets = each.groupBy("eligible").agg(
        F.map_from_entries(entries).alias("_drawn"),
        F.sum("p").alias("t"),
        F.max("w").alias("w"),
        F.min("n").alias("n"),
    )
    whole = (F.size("_drawn") == F.size("eligible")) & (F.abs(F.col("t") - 1) <= ROUNDING)
    constant = (F.col("w") <= ROUNDING) & (F.col("n") >= LEAST_DRAWS)
    known = sets.where(whole & constant).select("eligible", "_drawn")
    other = F.filter("eligible", lambda action: action != F.col("action_id"))[0]
    pair = F.create_map(F.col("action_id"), F.col(p), other, 1 - F.col(p))
    single = F.create_map(F.col("action_id"), F.lit(1.0))
    implied = (
        F.when((F.size("eligible") == 1) & (F.col(p) >= 1 - ROUNDING), single)
        .when(F.size("eligible") == 2, pair)
        .otherwise(F.col("_drawn"))
    )
    joined = rows.drop("distribution").join(known, "eligible", "left")
    return joined.withColumn("distribution", implied).drop("_drawn")


def imported_rows(rows: DataFrame, catalogue: Catalogue, source: str) -> DataFrame:
    """Rows of `decisions`."""
    pairs = [F.lit(text) for pair in zip(catalogue.action_ids, catalogue.channels) for text in pair]
    nothing = F.lit("")
    values = {
        "decision_date": F.to_date("decision_ts"),
        "group": F.lit("policy"),
        "channel": F.create_map(*pairs)[F.col("action_id")],
        "chosen_expected_reward": F.lit(None).cast("double"),
        "eligible_actions": F.col("eligible"),
        "blocked_actions": F.expr("cast(map() AS map<string,string>)"),
        "reason_code": F.lit("explore"),
        "model_name": F.lit(f"{OTHER_SYSTEM}{source}"),
        "model_version": nothing,
        "catalogue_hash": nothing,
        "feature_hash": nothing,
        "run_id": F.lit("import"),
    }
    own = [name for name in COLUMNS["decisions"] if name != "eligible"]
    named = (value.alias(name) for name, value in values.items())
    return rows.select(*own, *named)
