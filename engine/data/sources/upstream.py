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
from engine.data.sources.contract import REASON, ROW, Wanted, conform
from engine.data.sources.decided import (
    decision_rules,
    imported_rows,
    with_eligible,
    with_implied,
)
from engine.data.sources.facts import Facts
from engine.data.sources.reading import read_table, unreadable
from engine.data.tables import TABLES, Tables
from engine.data.versions import STAMPS, UNTIL, all_versions, stamped, with_versions
from engine.errors import SourceError
from engine.parameters import Parameters
from engine.source_definitions import COLUMNS, TablesSource, UpstreamTable

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
            return decision_rules(self._tables()["decisions"], self.config.catalogue)
        return {}

    def _stamped(self, tables: Tables, name: str, rows: DataFrame, day: dt.date) -> DataFrame:
        """The rows with the time from which on each is known."""
        rows = rows.drop(ROW)
        if STAMPS[name] in rows.columns:
            return rows
        return stamped(tables, name, rows, OWN_TIME.get(name), day)

    def _decided(self, given: Delivery, customers: DataFrame, tables: Tables) -> Delivery:
        """The decisions as rows of `decisions`, and those that contradict each other or consents."""
        catalogue, columns = self.config.catalogue, self._tables()["decisions"].columns
        rows = tables.stage(with_eligible(given.rows, catalogue, columns, customers))
        bad = F.col(REASON).isNotNull()
        broken = rows.where(bad).select(F.col("decision_id").alias("key"), REASON, ROW)
        good = rows.where(~bad)
        if "distribution" not in columns:
            good = with_implied(good)
        return Delivery(imported_rows(good, catalogue, self.name), given.broken.unionByName(broken))

    def _unbounded(self, decisions: Optional[Delivery]) -> Iterator[str]:
        """What is said of decisions whose weights the gate cannot bound."""
        if decisions is None or self._tables()["decisions"].floor:
            return
        if unknown := decisions.rows.where("distribution IS NULL").count():
            yield (
                f"{unknown:,} decisions have no known distribution, and no floor is declared: the"
                " gate holds while it judges their days"
            )

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
