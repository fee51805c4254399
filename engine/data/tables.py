"""The Delta tables: their keys and columns, and the ways in which rows may enter them."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Optional, Union

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import functions as F

from engine.errors import TableError
from engine.temporary import own_folder
from engine.writes import announce
from policies.errors import require_known

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


@dataclass(frozen=True)
class Table:
    """The shape of a table.

    Args:
        keys: its key.
        columns: names and SQL types; None where the features of a source decide them.
        run_metadata: columns about the run that wrote a row; ignored when deciding whether a rerun
            changed anything.
        delivered: whether rows come from outside, where a key may come twice in one delivery.
        wider: whether a source may bring further columns.
    """

    keys: tuple[str, ...]
    columns: Optional[str] = None
    run_metadata: tuple[str, ...] = ()
    delivered: bool = False
    wider: bool = False

    @property
    def names(self) -> set[str]:
        """The columns that every row of a plain table has."""
        return {column.split()[0] for column in (self.columns or "").split(", ") if column}

    @property
    def grows(self) -> bool:
        """Whether rows may bring columns that the table lacks."""
        return self.wider or self.columns is None


TABLES = {
    "customers": Table(("customer_id",), delivered=True),
    "events": Table(
        ("event_id",),
        "event_id STRING, customer_id STRING, event_ts TIMESTAMP, event_type STRING, "
        "amount DOUBLE",
        delivered=True,
        wider=True,
    ),
    "customer_features": Table(("customer_id", "feature_ts")),
    "decisions": Table(
        ("decision_id",),
        "decision_id STRING, decision_date DATE, decision_ts TIMESTAMP, customer_id STRING, "
        "`group` STRING, action_id STRING, channel STRING, action_probability DOUBLE, "
        "chosen_expected_reward DOUBLE, eligible_actions ARRAY<STRING>, "
        "distribution MAP<STRING, DOUBLE>, blocked_actions MAP<STRING, STRING>, "
        "reason_code STRING, model_name STRING, model_version STRING, catalogue_hash STRING, "
        "feature_hash STRING, run_id STRING",
        run_metadata=("run_id",),
        delivered=True,
    ),
    "outcomes": Table(
        ("outcome_id",),
        "outcome_id STRING, decision_id STRING, customer_id STRING, outcome_type STRING, "
        "outcome_ts TIMESTAMP, received_ts TIMESTAMP, amount DOUBLE",
        delivered=True,
    ),
    **{
        f"superseded_{name}": Table((key, stamp))
        for name, key, stamp in (
            ("customers", "customer_id", "changed_ts"),
            ("events", "event_id", "received_ts"),
            ("outcomes", "outcome_id", "received_ts"),
        )
    },
    "quarantine": Table(
        ("table", "key", "as_of"),
        "`table` STRING, `key` STRING, as_of DATE, reason STRING, `row` STRING",
        delivered=True,
    ),
    "rewarded_decisions": Table(("decision_id",)),
    "policy_values": Table(
        ("as_of", "policy", "estimator", "window", "segment"),
        "as_of DATE, policy STRING, estimator STRING, `window` STRING, segment STRING, "
        "value DOUBLE, std_error DOUBLE, low DOUBLE, high DOUBLE, n BIGINT, n_choice BIGINT, "
        "effective_n DOUBLE, max_weight DOUBLE, mean_weight DOUBLE",
    ),
    "evidence": Table(
        ("lineage", "incumbent", "decision_date"),
        "lineage STRING, incumbent STRING, decision_date DATE, candidate STRING, n BIGINT, "
        "n_choice BIGINT, n_differing BIGINT, total DOUBLE, square DOUBLE, reward DOUBLE, "
        "reward_square DOUBLE, residual DOUBLE, weight DOUBLE, weight_square DOUBLE, "
        "spread DOUBLE, centre DOUBLE, low_total DOUBLE, low_square DOUBLE, low_bound DOUBLE, "
        "high_total DOUBLE, high_square DOUBLE, high_bound DOUBLE, `range` STRING, "
        "estimator STRING, candidate_hash STRING, incumbent_hash STRING, frozen_as_of DATE",
    ),
    "drift": Table(
        ("as_of", "subject", "metric"),
        "as_of DATE, subject STRING, metric STRING, value DOUBLE, threshold DOUBLE, "
        "status STRING, reason STRING",
    ),
    "verdicts": Table(
        ("verdict_id",),
        "verdict_id STRING, as_of DATE, model_name STRING, to_alias STRING, candidate STRING, "
        "incumbent STRING, verdict STRING, difference DOUBLE, low DOUBLE, high DOUBLE, "
        "alpha DOUBLE, rules STRING, log_hash STRING",
    ),
    "lineages": Table(
        ("lineage", "version"),
        "lineage STRING, version STRING, recipe STRING, started DATE, as_of DATE, "
        "trained_through DATE, judged_from DATE, tried INT, log_hash STRING, config_hash STRING, code_hash STRING, "
        "feature_hash STRING, catalogue_hash STRING",
    ),
    "completed_stages": Table(
        ("as_of", "stage"),
        "as_of DATE, stage STRING, completed_at TIMESTAMP",
        run_metadata=("completed_at",),
    ),
    "replaced_decisions": Table(
        ("decision_date",),
        "decision_date DATE, reason STRING, actor STRING, replaced_at TIMESTAMP",
        run_metadata=("replaced_at",),
    ),
    "promotions": Table(
        ("as_of", "model_name", "alias", "to_version"),
        "moved_at TIMESTAMP, as_of DATE, model_name STRING, alias STRING, from_version STRING, "
        "to_version STRING, verdict_id STRING, actor STRING, reason STRING",
        run_metadata=("moved_at",),
    ),
}

LOCAL_ROWS = 5_000  # of a frame that the session carries; larger ones travel as Parquet
_ARROW = {"STRING": pa.string(), "DOUBLE": pa.float64(), "TIMESTAMP": pa.timestamp("us", "UTC")}


def arrow_schema(table: str) -> pa.Schema:
    """The Arrow schema of a table with plain columns."""
    columns = (TABLES[table].columns or "").split(", ")
    return pa.schema([(name, _ARROW[kind]) for name, kind in map(str.split, columns)])


class Tables:
    """The tables of one schema.

    Args:
        spark: a Spark Connect session.
        catalog, schema: where the tables live.
        volume: a folder that Python and Spark both reach; large frames travel through it.
    """

    def __init__(self, spark: SparkSession, catalog: str, schema: str, volume: Path) -> None:
        self.spark, self.catalog, self.schema, self.volume = spark, catalog, schema, volume
        self._seen: set[str] = set()
        self._staging: Optional[Path] = None

    def name(self, table: str) -> str:
        """The three-part name of a table."""
        require_known(table, TABLES, TableError, f"There is no table {table!r}.")
        return f"`{self.catalog}`.`{self.schema}`.`{table}`"

    def exists(self, table: str) -> bool:
        """Whether the table has been created."""
        if table not in self._seen and self.spark.catalog.tableExists(self.name(table)):
            self._seen.add(table)
        return table in self._seen

    def read(self, table: str) -> DataFrame:
        """The table's rows.

        Raises:
            TableError: an earlier stage has not written it yet.
        """
        if not self.exists(table):
            raise TableError(
                f"The table {self.catalog}.{self.schema}.{table} does not exist.",
                hint="run data_pipeline_job first",
            )
        return self.spark.table(self.name(table))

    def read_if_any(self, table: str) -> DataFrame:
        """The table's rows; none where it has not been written yet. Nothing is created."""
        if self.exists(table):
            return self.read(table)
        ddl = TABLES[table].columns
        assert ddl is not None
        return self.spark.createDataFrame([], ddl)

    def properties(self, table: str) -> dict[str, str]:
        """The properties that the table was created with, and Delta's; none where it is absent."""
        if not self.exists(table):
            return {}
        rows = self.spark.sql(f"SHOW TBLPROPERTIES {self.name(table)}").collect()
        return {row["key"]: row["value"] for row in rows}

    def ensure(
        self, table: str, columns: Optional[str] = None, properties: Mapping[str, str] = {}
    ) -> None:
        """Create the table if it does not exist; only then it gets the properties.

        Its writers are serializable: of two that insert one key at once the second one fails.
        """
        if self.exists(table):
            return
        ddl = columns or TABLES[table].columns
        if ddl is None:
            raise TableError(f"The columns of {table} come with its first rows.")
        wanted = {"delta.isolationLevel": "Serializable", **properties}
        announce(f"create {table}")
        schema = f"`{self.catalog}`.`{self.schema}`"
        if not self.spark.catalog.databaseExists(schema):  # a job may not be allowed to create it
            self.spark.sql(f"CREATE SCHEMA IF NOT EXISTS {schema}")
        self.spark.sql(
            f"CREATE TABLE IF NOT EXISTS {self.name(table)} ({ddl}) USING DELTA "
            f"TBLPROPERTIES ({_listed(wanted)})"
        )
        self._seen.add(table)

    @contextmanager
    def staging(self) -> Iterator[Path]:
        """A folder of the volume, within the block, for files between Python and Spark."""
        self._staging = own_folder(self.volume / "staging")
        self._staging.mkdir(parents=True)
        try:
            yield self._staging
        finally:
            shutil.rmtree(self._staging, ignore_errors=True)
            self._staging = None

    def stage(self, rows: DataFrame) -> DataFrame:
        """The same rows, computed once; within `staging` alone."""
        assert self._staging is not None
        path = str((self._staging / uuid.uuid4().hex).resolve())
        rows.write.parquet(path)
        return self.spark.read.schema(rows.schema).parquet(path)

    def frame(self, rows: Union[pa.Table, DataFrame]) -> DataFrame:
        """Arrow rows as a Spark frame; large ones travel as Parquet, within `staging` alone."""
        if not isinstance(rows, pa.Table):
            return rows
        if 0 < rows.num_rows <= LOCAL_ROWS:  # without rows a session cannot tell their types
            return self.spark.createDataFrame(rows)
        assert self._staging is not None
        path = self._staging / f"{uuid.uuid4().hex}.parquet"
        pq.write_table(rows, path)
        return self.spark.read.parquet(str(path.resolve()))

    def note(self, table: str, properties: Mapping[str, str]) -> None:
        """Set properties of a table, where it is there and they differ."""
        if not self.exists(table) or properties.items() <= self.properties(table).items():
            return
        announce(f"note properties of {table}")
        self.spark.sql(f"ALTER TABLE {self.name(table)} SET TBLPROPERTIES ({_listed(properties)})")

    def add_new(self, table: str, rows: DataFrame, properties: Mapping[str, str] = {}) -> int:
        """Insert the rows with new keys; existing rows never change. Returns how many rows.

        Of delivered rows with one key a single one enters, always the same, whatever their order.
        A table whose columns its source decides gets the columns that it lacks, with null in
        earlier rows; a new table gets the properties.

        Raises:
            TableError: delivered rows have no key; they would enter again each time.
        """
        once = _one_per_key(table, rows)
        self.ensure(table, _ddl(rows), properties)
        return self._merge(table, self._aligned(table, once))

    def put(self, table: str, rows: DataFrame, properties: Mapping[str, str] = {}) -> int:
        """`add_new` that also updates rows that differ; a new table gets the properties."""
        once = _one_per_key(table, rows)
        self.ensure(table, _ddl(rows), properties)
        rows = once = self._aligned(table, once)
        old = self._checked(table, rows)
        rows = once.exceptAll(old.select(*rows.columns))
        if rows.isEmpty():  # a merge of no rows makes a version of the table all the same
            return 0
        return self._merge(table, rows, "WHEN MATCHED THEN UPDATE SET *")

    def upsert(self, table: str, rows: DataFrame, properties: Mapping[str, str] = {}) -> int:
        """Insert or update rows that are known to be new or to differ, one a key."""
        self.ensure(table, _ddl(rows), properties)
        if rows.isEmpty():
            return 0
        return self._merge(table, self._aligned(table, rows), "WHEN MATCHED THEN UPDATE SET *")

    def _merge(self, table: str, rows: DataFrame, on_match: str = "") -> int:
        self._checked(table, rows)
        same = " AND ".join(f"t.`{key}` = s.`{key}`" for key in TABLES[table].keys)
        announce(f"merge into {table}")
        merged = self.spark.sql(
            f"MERGE INTO {self.name(table)} t USING {{incoming}} s ON {same} {on_match} "
            "WHEN NOT MATCHED THEN INSERT *",
            incoming=rows,
        )
        return int(merged.first()["num_affected_rows"])

    def add_rows(self, table: str, rows: pd.DataFrame) -> int:
        """`add_new` for a few rows of plain values; None and NaN become null."""
        ddl = TABLES[table].columns
        assert ddl is not None
        if rows.empty:
            self.ensure(table)
            return 0
        frame = rows.astype(object)
        plain = frame.where(frame.notna(), None).to_dict("records")
        return self.add_new(table, self.spark.createDataFrame(plain, ddl))

    def replace(
        self, table: str, rows: DataFrame, where: str, check: Callable[[], None] = lambda: None
    ) -> tuple[int, bool]:
        """Replace the rows matching `where`; returns (row count, written?).

        Rows of equal content, run metadata aside, are left as they are.

        Args:
            table, rows, where: what is replaced by what.
            check: called before rows that are there are replaced by others; may raise.
        """
        self.ensure(table, _ddl(rows))
        rows = self._aligned(table, rows)
        old, metadata = self._checked(table, rows), TABLES[table].run_metadata
        before = _fingerprint(old.where(where), metadata)
        if before[0]:
            if before == _fingerprint(rows, metadata):
                return before[0], False
            check()
        announce(f"replace rows of {table}")
        writer = rows.select(*old.columns).write.format("delta").mode("overwrite")
        writer.option("replaceWhere", where).saveAsTable(self.name(table))
        return self.count(table, where), True

    def count(self, table: str, where: str = "true") -> int:
        """How many rows match `where`; 0 if there is no table."""
        return self.read(table).where(where).count() if self.exists(table) else 0

    def _aligned(self, table: str, rows: DataFrame) -> DataFrame:
        """The rows with null in columns that they lack; the table gets those that it lacks.

        Raises:
            TableError: a column has another type in the table.
        """
        shape = TABLES[table]
        if not shape.grows or not shape.names <= set(rows.columns):
            return rows
        old, new = (_types(frame) for frame in (self.spark.table(self.name(table)), rows))
        for name in old.keys() & new.keys():
            if old[name] != new[name]:
                what = f"{name} is {old[name]} in {table}, and {new[name]} in the new rows."
                hint = "give the column another name, or use a schema of its own"
                raise TableError(what, where=f"{self.catalog}.{self.schema}.{table}", hint=hint)
        if added := [f"`{name}` {kind}" for name, kind in new.items() if name not in old]:
            announce(f"add columns to {table}")
            self.spark.sql(f"ALTER TABLE {self.name(table)} ADD COLUMNS ({', '.join(added)})")
        lacking = {name: F.lit(None).cast(kind) for name, kind in old.items() if name not in new}
        return rows.withColumns(lacking) if lacking else rows

    def _checked(self, table: str, rows: DataFrame) -> DataFrame:
        """The table as it is, if its columns are those of the rows."""
        old = self.spark.table(self.name(table))
        own, new = set(old.columns), set(rows.columns)
        if own != new:
            raise TableError(
                f"Rows for {table} lack {sorted(own - new)} and bring {sorted(new - own)}.",
                where=f"{self.catalog}.{self.schema}.{table}",
                hint="another source or an older version wrote this schema; use a schema of its own",
            )
        return old


def _types(rows: DataFrame) -> dict[str, str]:
    return {field.name: field.dataType.simpleString() for field in rows.schema}


def _ddl(rows: DataFrame) -> str:
    return ", ".join(f"`{name}` {kind}" for name, kind in _types(rows).items())


def _listed(properties: Mapping[str, str]) -> str:
    return ", ".join(f"'{name}' = '{value}'" for name, value in properties.items())


def _one_per_key(table: str, rows: DataFrame) -> DataFrame:
    """Of delivered rows with one key the one whose content has the greatest hash."""
    keys = TABLES[table].keys
    nameless = " OR ".join(f"`{key}` IS NULL" for key in keys)
    odd = rows.groupBy(*keys).count().where(f"count > 1 OR {nameless}")
    if not TABLES[table].delivered or odd.isEmpty():
        return rows
    if lacking := rows.where(nameless).count():
        what = f"{lacking:,} rows for {table} have no {' or '.join(keys)}."
        raise TableError(what, hint="correct the source; nothing was written")
    content = [
        F.to_json(field.name) if field.dataType.typeName() == "map" else F.col(field.name)
        for field in rows.schema
    ]  # a map has no hash of its own
    whole = F.struct(*rows.columns)
    return (
        rows.groupBy(*keys).agg(F.max_by(whole, F.xxhash64(*content)).alias("row")).select("row.*")
    )


def _fingerprint(rows: DataFrame, run_metadata: Sequence[str]) -> tuple[int, str]:
    """Row count and a hash of the content that does not depend on the rows' order."""
    columns = sorted(set(rows.columns) - set(run_metadata))
    content = ", ".join(f"`{name}`" for name in columns)
    line = rows.selectExpr(f"to_json(struct({content})) AS line")
    row = line.selectExpr(
        "count(*) AS n", "cast(sum(cast(xxhash64(line) AS DECIMAL(38, 0))) AS STRING) AS digest"
    ).first()
    return int(row["n"]), str(row["digest"])


def sql_list(values: Sequence[str]) -> str:
    """'a', 'b' for use inside IN (…)."""
    return ", ".join("'" + value.replace("'", "''") + "'" for value in values)
