"""A company's own tables or files as a source of facts, as `conf/sources/NAME.yml` maps them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce
from typing import Optional

from pyspark.errors import PySparkException
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from engine.config import Config
from engine.data.as_of import as_of_features
from engine.data.decisions import OTHER_SYSTEM
from engine.data.sources.contract import REASON, ROW, Wanted, conform
from engine.data.sources.facts import Facts
from engine.data.sources.reading import read_table, unreadable
from engine.data.tables import TABLES, Tables
from engine.data.versions import STAMPS, UNTIL, all_versions, stamped, with_versions
from engine.errors import SourceError
from engine.parameters import Parameters
from engine.source_definitions import COLUMNS, TablesSource, UpstreamTable
from policies.catalogue import NO_CHANNEL
from policies.log import ROUNDING

OVERLAP = "1 DAY"  # before the newest row that is there: rows that became visible late
OWN_TIME = {"events": "event_ts", "outcomes": "outcome_ts", "decisions": "decision_ts"}
AMOUNT = "amount"


@dataclass(frozen=True)
class Delivery:
    """What one table brings.

    Args:
        rows: new or changed rows that keep the contract.
        broken: new rows that do not, with reason and content.
    """

    rows: DataFrame
    broken: DataFrame


class Upstream:
    """Customers, events, outcomes, and decisions of another system.

    Only what is known by 00:00 UTC of the day is taken in. Where a table says when it told of a row,
    reading goes on a day before the newest row that is there; other tables are read as a whole.

    Args:
        config: catalogue, features and rewards, which say what the tables must have.
        described: the mapping.
    """

    last_day = None

    def __init__(self, config: Config, described: TablesSource) -> None:
        self.config, self.described = config, described
        self.name = described.name

    def fetch(self, parameters: Parameters, tables: Tables) -> Iterator[Facts]:
        """The new, late and corrected rows of each table.

        Raises:
            SourceError: a table or column is not there, or more rows break the contract than
                `quarantine_limit` allows; nothing has been written.
        """
        day = parameters.as_of
        brought = {
            name: self._delivery(name, each, parameters, tables)
            for name, each in self._tables().items()
        }
        customers, earlier = with_versions(
            tables, "customers", self._stamped(tables, "customers", brought["customers"].rows, day)
        )
        if customers.isEmpty() and not tables.exists("customers"):
            what = f"No customer of {self.name} is known by {day}."
            raise SourceError(
                what, where=self._where("customers"), hint="check as_of and `changed`"
            )
        if "decisions" in brought:
            known = _known_customers(tables, customers, earlier)
            brought["decisions"] = self._decided(brought["decisions"], known, tables)
        notes: list[str] = []
        broken: list[DataFrame] = []
        for name, each in brought.items():
            delivery = Delivery(each.rows, _unseen(tables, name, each.broken))
            notes += self._checked(name, delivery)
            broken.append(_quarantined(name, delivery.broken, day))
        notes += self._unbounded(brought.get("decisions"))
        superseded, newest = {"customers": earlier}, {"customers": customers}
        for name in ("outcomes", "events"):
            rows = self._stamped(tables, name, brought[name].rows, day)
            newest[name], superseded[name] = with_versions(tables, name, rows)
        yield Facts(
            **newest,
            decisions=brought["decisions"].rows if "decisions" in brought else None,
            note=f"the tables of {self.name}" + "".join(f"; {note}" for note in notes),
            quarantine=reduce(lambda one, other: one.unionByName(other), broken),
            superseded=superseded,
        )

    def _tables(self) -> dict[str, UpstreamTable]:
        named = ((name, getattr(self.described.tables, name)) for name in COLUMNS)
        return {name: each for name, each in named if each is not None}

    def _where(self, table: str) -> str:
        return f"conf/sources/{self.name}.yml, tables.{table}"

    def _delivery(
        self, name: str, described: UpstreamTable, parameters: Parameters, tables: Tables
    ) -> Delivery:
        """The rows of a table that are known by the day and that the tables may lack."""
        where, day = self._where(name), parameters.as_of
        raw = read_table(tables.spark, described, parameters.source_path, where)
        wanted, stamp = self._wanted(name), STAMPS.get(name, "received_ts")
        declared = described.changed or described.received
        if declared:
            wanted = {**wanted, stamp: Wanted("timestamp", required=True)}
            columns = {**described.columns, stamp: declared}
            described = described.model_copy(update={"columns": columns})
        rows = conform(raw, described, wanted, self._rules(name), where)
        if not declared and name in STAMPS and _ran_later(tables, day):
            rows = rows.limit(0)  # as it is now, not as it was on an earlier day
        told = stamp if declared else OWN_TIME.get(name)
        if told is not None:
            time, midnight = F.col(told), F.lit(day).cast("timestamp")
            new = time < midnight
            if declared and (seen := _newest(tables, name)):
                new &= time >= F.lit(seen).cast("timestamp") - F.expr(f"INTERVAL {OVERLAP}")
            rows = rows.where(F.col(REASON).isNotNull() | new)
        if name != "decisions":  # what consents say of them is seen later
            rows = rows.withColumn(ROW, F.when(F.col(REASON).isNotNull(), F.col(ROW)))
        try:
            rows = tables.stage(rows)
        except PySparkException as error:
            raise unreadable(error, described.place, where) from error
        key, bad = TABLES[name].keys[0], F.col(REASON).isNotNull()
        broken = rows.where(bad).select(
            F.coalesce(F.col(key), F.sha2(ROW, 256).substr(1, 16)).alias("key"), REASON, ROW
        )
        good = rows.where(~bad).drop(REASON)
        return Delivery(good, broken)

    def _wanted(self, table: str) -> dict[str, Wanted]:
        """The columns that a table must have, for this catalogue and these features."""
        described = self._tables()[table]
        wanted = {
            name: Wanted(kind.rstrip("?"), not kind.endswith("?"), kind.endswith("?"))
            for name, kind in COLUMNS[table].items()
        }
        for name in {"eligible", "distribution"} & set(described.columns):
            wanted[name] = Wanted(COLUMNS[table][name].rstrip("?"), required=True)
        features = self.config.features.features.values()
        if table == "customers":
            for channel in self.config.catalogue.contact_channels:
                wanted[f"consent_{channel}"] = Wanted("boolean")
            for feature in features:
                if feature.attribute:
                    wanted[feature.attribute] = Wanted(feature.kind)
                elif feature.days_since and not feature.event_type:
                    wanted[feature.days_since] = Wanted("date")
        if table == "events":
            for feature in features:
                if feature.distinct:
                    wanted.setdefault(feature.distinct, Wanted("string"))
                elif column := feature.sum or feature.mean or feature.min or feature.max:
                    wanted[column] = Wanted("double")
        return {**{name: Wanted("any") for name in described.columns}, **wanted}

    def _rules(self, table: str) -> dict[str, Column]:
        """What else the rows of a table must keep: reason -> whether it is broken."""
        if table == "outcomes":
            paid = [
                name
                for name, value in self.config.engine.reward.outcomes.items()
                if value == AMOUNT
            ]
            lacking = F.col("outcome_type").isin(*paid) & F.col(AMOUNT).isNull()
            return {"the reward is the amount, and amount is missing": lacking} if paid else {}
        if table == "decisions":
            ids = list(self.config.catalogue.action_ids)
            chance = F.col("action_probability")
            rules = {
                "action_id is not in the catalogue": ~F.col("action_id").isin(*ids),
                "action_probability is not above 0 and at most 1": (chance <= 0) | (chance > 1),
            }
            described = self._tables()["decisions"]
            if described.floor:
                low = chance < described.floor * (1 - 1e-6)
                rules["action_probability is below the declared floor"] = low
            if "distribution" in described.columns:
                drawn, values = F.col("distribution"), F.map_values("distribution")
                total = F.aggregate(values, F.lit(0.0), lambda one, other: one + other)
                improper = (F.abs(total - 1) > ROUNDING) | F.exists(values, lambda value: value < 0)
                rules["distribution is not positive with sum 1"] = improper
                away = F.abs(
                    F.coalesce(F.try_element_at(drawn, F.col("action_id")), F.lit(0.0)) - chance
                )
                rules["distribution and action_probability differ"] = away > ROUNDING
                named = F.array_except(F.map_keys("distribution"), F.array(*map(F.lit, ids)))
                rules["distribution names an action that is not in the catalogue"] = (
                    F.size(named) > 0
                )
            if "eligible" in described.columns:
                strange = F.size(F.array_except("eligible", F.array(*map(F.lit, ids)))) > 0
                rules["eligible names an action that is not in the catalogue"] = strange
                rules["action_id is not in eligible"] = ~F.array_contains(
                    "eligible", F.col("action_id")
                )
            return rules
        return {}

    def _stamped(self, tables: Tables, name: str, rows: DataFrame, day: dt.date) -> DataFrame:
        """The rows with the time from which on each is known."""
        rows = rows.drop(ROW)
        if STAMPS[name] in rows.columns:
            return rows
        return stamped(tables, name, rows, OWN_TIME.get(name), day)

    def _decided(self, given: Delivery, customers: DataFrame, tables: Tables) -> Delivery:
        """Decisions as rows of `decisions`; without `eligible`, what consents allowed then."""
        catalogue = self.config.catalogue
        rows = given.rows.drop("received_ts")
        content = [column for column in rows.columns if column != ROW]
        rows = rows.withColumn("_said", F.to_json(F.struct(*content)))
        rows = rows.dropDuplicates(["_said"]).drop("_said")  # a map has no equality of its own
        once = F.count(F.lit(1)).over(Window.partitionBy("decision_id")) == 1
        rows = rows.withColumn("_once", once)
        consents = [f"consent_{channel}" for channel in catalogue.contact_channels]
        broken = {"two different rows have this decision_id": ~F.col("_once")}
        named = self._tables()["decisions"].columns
        if "distribution" in named and "eligible" not in named:
            possible = F.map_filter("distribution", lambda _, value: value > 0)
            rows = rows.withColumn("eligible", F.map_keys(possible))
        elif "eligible" not in named:
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
            broken["the customer had not consented to the channel of action_id"] = (
                ~F.array_contains("eligible", F.col("action_id"))
            )
        reason = F.coalesce(*(F.when(holds, F.lit(why)) for why, holds in broken.items()))
        eligible = F.array_sort(F.array_distinct("eligible"))
        rows = tables.stage(rows.withColumn(REASON, reason).withColumn("eligible", eligible))
        if "distribution" not in named:
            rows = _with_implied(rows)
        key = F.col("decision_id").alias("key")
        bad = rows.where(F.col(REASON).isNotNull()).select(key, REASON, ROW)
        good = rows.where(F.col(REASON).isNull()).select(*self._decision_columns())
        return Delivery(good, given.broken.unionByName(bad))

    def _unbounded(self, decisions: Optional[Delivery]) -> Iterator[str]:
        """What is said of decisions whose weights the gate cannot bound."""
        if decisions is None or self._tables()["decisions"].floor:
            return
        if unknown := decisions.rows.where("distribution IS NULL").count():
            yield (
                f"{unknown:,} decisions have no known distribution, and no floor is declared: the"
                " gate holds while it judges their days"
            )

    def _decision_columns(self) -> list[Column]:
        catalogue = self.config.catalogue
        pairs = [
            F.lit(text) for pair in zip(catalogue.action_ids, catalogue.channels) for text in pair
        ]
        nothing = F.lit("")
        values = {
            "decision_date": F.to_date("decision_ts"),
            "group": F.lit("policy"),
            "channel": F.create_map(*pairs)[F.col("action_id")],
            "chosen_expected_reward": F.lit(None).cast("double"),
            "eligible_actions": F.col("eligible"),
            "blocked_actions": F.expr("cast(map() AS map<string,string>)"),
            "reason_code": F.lit("explore"),
            "model_name": F.lit(f"{OTHER_SYSTEM}{self.name}"),
            "model_version": nothing,
            "catalogue_hash": nothing,
            "feature_hash": nothing,
            "run_id": F.lit("import"),
        }
        own = [name for name in COLUMNS["decisions"] if name != "eligible"]
        return [*map(F.col, own), *(value.alias(name) for name, value in values.items())]

    def _checked(self, table: str, delivery: Delivery) -> Iterator[str]:
        """What is said of a table's broken rows.

        Raises:
            SourceError: they are more than the limit allows.
        """
        found = delivery.broken.groupBy(REASON).agg(
            F.count("*").alias("n"), F.min(ROW).alias("row")
        )
        reasons = sorted(found.collect(), key=lambda row: (-row["n"], row[REASON]))
        bad = sum(row["n"] for row in reasons)
        if not bad:
            return
        told = ", ".join(f"{row[REASON]} ({row['n']:,})" for row in reasons[:5])
        everything = bad + delivery.rows.count()
        if bad > self.described.quarantine_limit * everything:
            raise SourceError(
                f"{bad:,} of {everything:,} new rows of {table} break the contract: {told}. "
                f"The first: {reasons[0]['row'][:300]}",
                where=self._where(table),
                hint="correct the source or its columns, or raise quarantine_limit; "
                "nothing was written",
            )
        yield f"{table}: {bad:,} rows in quarantine, {told}"


def _with_implied(rows: DataFrame) -> DataFrame:
    """The distributions that logged probabilities imply; null where they imply none.

    A single eligible action has probability 1, and of two one implies the other. A randomised test
    draws each action of an eligible set with one probability: where all of them are logged, and add
    up to 1, they are the distribution.
    """
    sound = rows.where(F.col(REASON).isNull())
    p, low, high = "action_probability", F.min("action_probability"), F.max("action_probability")
    each = sound.groupBy("eligible", "action_id").agg(F.avg(p).alias("p"), (high - low).alias("w"))
    entries = F.collect_list(F.struct("action_id", "p"))
    sets = each.groupBy("eligible").agg(
        F.map_from_entries(entries).alias("_drawn"), F.sum("p").alias("t"), F.max("w").alias("w")
    )
    whole = (F.size("_drawn") == F.size("eligible")) & (F.abs(F.col("t") - 1) <= ROUNDING)
    known = sets.where(whole & (F.col("w") <= ROUNDING)).select("eligible", "_drawn")
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


def _known_customers(tables: Tables, newest: DataFrame, earlier: DataFrame) -> DataFrame:
    """All versions of all customers, those included that are about to be written."""
    versions = newest.unionByName(earlier.drop(UNTIL), allowMissingColumns=True)
    if tables.exists("customers"):
        there = all_versions(tables, "customers").drop(UNTIL)
        versions = versions.unionByName(there, allowMissingColumns=True)
    return versions.withColumnRenamed(STAMPS["customers"], "feature_ts")


def _unseen(tables: Tables, table: str, broken: DataFrame) -> DataFrame:
    """The rows that are not in quarantine yet: one that stands still is told of once."""
    if not tables.exists("quarantine"):
        return broken
    there = tables.read("quarantine").where(F.col("table") == table)
    return broken.join(there.select(F.col("row").alias(ROW)), ROW, "left_anti")


def _newest(tables: Tables, table: str) -> Optional[dt.datetime]:
    """The greatest time at which the source has told of a row that is in the table."""
    stamp = STAMPS.get(table)
    if stamp is None or not tables.exists(table):
        return None
    found: Optional[dt.datetime] = tables.read(table).agg(F.max(stamp)).first()[0]
    return found


def _ran_later(tables: Tables, day: dt.date) -> bool:
    """Whether facts of a later day have been taken in."""
    later = f"stage = 'data_generation' AND as_of > DATE '{day}'"
    return tables.count("completed_stages", later) > 0


def _quarantined(table: str, broken: DataFrame, day: dt.date) -> DataFrame:
    number = F.row_number().over(Window.partitionBy("key").orderBy(ROW))
    key = F.when(number == 1, F.col("key")).otherwise(F.concat("key", F.lit(" #"), number))
    return broken.dropDuplicates([ROW]).select(
        F.lit(table).alias("table"),
        key.alias("key"),
        F.lit(day).alias("as_of"),
        F.col(REASON).alias("reason"),
        F.col(ROW).alias("row"),
    )
