"""Tables: rows enter by key, a day is replaced as a whole, and equal content is left alone."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa
import pytest
from pyspark.sql import functions as F

from engine.data.sources.facts import EVENTS
from engine.data.tables import LOCAL_ROWS, TABLES, Tables, sql_list
from engine.errors import TableError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@pytest.fixture
def tables(spark: SparkSession, tmp_path: Path) -> Any:
    """An empty schema."""
    yield Tables(spark, "juan_dev", "tables_test", tmp_path)
    spark.sql("DROP SCHEMA IF EXISTS juan_dev.tables_test CASCADE")


def events(*rows: tuple[str, float]) -> pa.Table:
    """Events by id and amount."""
    moment = dt.datetime(2026, 3, 2, 9, tzinfo=dt.timezone.utc)
    plain = [
        {"event_id": i, "customer_id": "a", "event_ts": moment, "event_type": "visit", "amount": x}
        for i, x in rows
    ]
    return pa.Table.from_pylist(plain, schema=EVENTS)


def amounts(tables: Tables) -> dict[str, float]:
    """What the table holds."""
    return {row["event_id"]: row["amount"] for row in tables.read("events").collect()}


def version(tables: Tables, table: str) -> int:
    """The newest commit."""
    row = tables.spark.sql(f"DESCRIBE HISTORY {tables.name(table)} LIMIT 1").first()
    return int(row["version"])  # type: ignore[index]


def test_new_rows_enter_and_known_ones_stay(tables: Tables) -> None:
    """A row whose key is there never changes, and rows that are all known leave no commit."""
    assert tables.add_new("events", tables.frame(events(("e1", 1.0), ("e2", 2.0)))) == 2
    assert tables.add_new("events", tables.frame(events(("e2", 9.0), ("e3", 3.0)))) == 1
    assert amounts(tables) == {"e1": 1.0, "e2": 2.0, "e3": 3.0}
    before = version(tables, "events")
    assert tables.add_new("events", tables.frame(events(("e1", 7.0)))) == 0
    assert version(tables, "events") == before


def test_a_key_that_comes_twice_enters_once(tables: Tables) -> None:
    """Redelivered rows are one row, and of differing ones the same enters, whatever their order."""
    rows = (("e1", 1.0), ("e1", 1.0), ("e2", 2.0), ("e2", 3.0))
    assert tables.add_new("events", tables.frame(events(*rows))) == 2
    first = amounts(tables)
    tables.spark.sql(f"DROP TABLE {tables.name('events')}")
    again = Tables(tables.spark, "juan_dev", "tables_test", tables.volume)
    assert again.add_new("events", again.frame(events(*reversed(rows)))) == 2
    assert amounts(again) == first


@pytest.mark.parametrize("way", ["add_new", "put"])
def test_rows_without_a_key_are_refused(tables: Tables, way: str) -> None:
    """A null key matches nothing, so its row would enter again each time; no table is made."""
    rows: Any = events(("e1", 1.0), (None, 2.0), (None, 3.0))  # type: ignore[arg-type]
    with pytest.raises(TableError, match="2 rows for events have no event_id") as caught:
        getattr(tables, way)("events", tables.frame(rows))
    assert caught.value.hint == "correct the source; nothing was written"
    assert not tables.exists("events")


def test_a_customer_that_comes_twice_is_put_once(tables: Tables) -> None:
    """`put` takes doubled rows as one, too, and equal ones leave the table alone."""
    doubled = customers(tables, {"a": True}).union(customers(tables, {"a": True}))
    assert tables.put("customers", doubled) == 1
    assert tables.put("customers", doubled) == 0
    assert tables.count("customers") == 1


def test_changed_rows_are_renewed_and_equal_ones_make_no_version(tables: Tables) -> None:
    """`put` brings what is new and what has changed, and leaves a table alone that has it all."""
    tables.put("customers", customers(tables, {"a": True, "b": True}))
    assert tables.put("customers", customers(tables, {"a": True, "b": True})) == 0
    versions = f"DESCRIBE HISTORY {tables.name('customers')}"
    before = tables.spark.sql(versions).count()
    assert tables.put("customers", customers(tables, {"a": False, "b": True, "c": True})) == 2
    assert tables.spark.sql(versions).count() == before + 1
    now = tables.read("customers").orderBy("customer_id").toPandas()
    assert list(now["consent_email"]) == [False, True, True]
    assert tables.put("customers", customers(tables, {"a": False})) == 0
    assert tables.spark.sql(versions).count() == before + 1


def customers(tables: Tables, consent: dict[str, bool]) -> Any:
    """Rows of `customers` with their consent."""
    return tables.spark.createDataFrame(
        list(consent.items()), "customer_id STRING, consent_email BOOLEAN"
    )


def test_a_first_batch_without_rows_makes_the_table(tables: Tables) -> None:
    """A source without events leaves an empty table that later rows enter."""
    with tables.staging():
        assert tables.add_new("events", tables.frame(EVENTS.empty_table())) == 0
    assert amounts(tables) == {}
    assert tables.add_new("events", tables.frame(events(("e1", 1.0)))) == 1
    assert amounts(tables) == {"e1": 1.0}


def test_large_frames_travel_through_the_volume(tables: Tables) -> None:
    """More rows than a session should carry go as Parquet, and the parts are cleared away."""
    many = events(*((f"e{number}", float(number)) for number in range(LOCAL_ROWS + 1)))
    with tables.staging():
        assert tables.add_new("events", tables.frame(many)) == LOCAL_ROWS + 1
        assert len(list(tables.volume.rglob("*.parquet"))) == 1
    assert list(tables.volume.rglob("*.parquet")) == []
    assert tables.count("events", "amount < 2") == 2


def test_other_columns_are_refused(tables: Tables) -> None:
    """Rows that lack or bring columns are named, and nothing is written."""
    tables.add_new("events", tables.frame(events(("e1", 1.0))))
    strange = events(("e2", 2.0)).rename_columns([*EVENTS.names[:-1], "price"])
    with pytest.raises(TableError, match=r"lack \['amount'\] and bring \['price'\]"):
        tables.add_new("events", tables.frame(strange))
    assert "price" not in tables.read("events").columns
    assert amounts(tables) == {"e1": 1.0}


def test_features_may_come_and_go(tables: Tables) -> None:
    """A new column is null in earlier rows, a missing one in later rows; another type is refused."""
    frame = tables.spark.createDataFrame
    first = frame([("c1", 1, "a")], "customer_id STRING, orders BIGINT, plan STRING")
    stamped = first.selectExpr("*", "TIMESTAMP '2026-03-02' AS feature_ts")
    tables.add_new("customer_features", stamped, {"nba.features": "{}"})
    tables.note("customer_features", {"nba.features": '{"spend": "x"}'})
    assert tables.properties("customer_features")["nba.features"] == '{"spend": "x"}'
    later = frame([("c1", 2, 0.5)], "customer_id STRING, orders BIGINT, spend DOUBLE")
    moved = later.selectExpr("*", "TIMESTAMP '2026-03-03' AS feature_ts")
    assert tables.add_new("customer_features", moved) == 1
    assert tables.add_new("customer_features", moved) == 0
    rows = tables.read("customer_features").orderBy("feature_ts")
    found = [tuple(row) for row in rows.select("orders", "plan", "spend").collect()]
    assert found == [(1, "a", None), (2, None, 0.5)]
    with pytest.raises(TableError, match="spend is double in customer_features, and string"):
        tables.add_new("customer_features", moved.withColumn("spend", F.lit("much")))


DAY = "as_of = DATE '2026-03-02'"


def drift(tables: Tables, value: float | None, day: int, subject: str = "x") -> Any:
    """A frame with one row of `drift`."""
    row = (dt.date(2026, 3, day), subject, "psi", value, 0.2, "stable", None)
    return tables.spark.createDataFrame([row], TABLES["drift"].columns)


def test_a_day_is_replaced_exactly(tables: Tables) -> None:
    """Replacing a day leaves the others, drops what the day held, and writes only changes."""
    both = drift(tables, 0.1, 2).unionByName(drift(tables, 0.1, 2, "y"))
    assert tables.replace("drift", both, DAY) == (2, True)
    third = "as_of = DATE '2026-03-03'"
    assert tables.replace("drift", drift(tables, 0.5, 3), third) == (1, True)
    before = version(tables, "drift")
    assert tables.replace("drift", both, DAY) == (2, False)
    assert version(tables, "drift") == before
    assert tables.replace("drift", drift(tables, None, 2), DAY) == (1, True)
    rows = {(row["as_of"].day, row["value"]) for row in tables.read("drift").collect()}
    assert rows == {(2, None), (3, 0.5)}


def test_what_tells_of_the_run_is_no_change(tables: Tables) -> None:
    """A row that differs in run_id alone is left as it stands."""
    columns = "decision_id STRING, decision_date DATE, run_id STRING"

    def made(run: str) -> Any:
        rows = [("d1", dt.date(2026, 3, 2), run)]
        return tables.spark.createDataFrame(rows, columns)

    tables.ensure("decisions", columns)
    where = "decision_date = DATE '2026-03-02'"
    assert tables.replace("decisions", made("first"), where) == (1, True)
    assert tables.replace("decisions", made("second"), where) == (1, False)
    assert [row["run_id"] for row in tables.read("decisions").collect()] == ["first"]


def test_plain_rows_keep_null_for_what_is_missing(tables: Tables) -> None:
    """None and NaN both become null, and no rows at all still make the table."""
    row = {"as_of": dt.date(2026, 3, 2), "subject": "x", "metric": "psi", "value": float("nan")}
    frame = pd.DataFrame([{**row, "threshold": None, "status": "stable"}])
    assert tables.add_rows("drift", pd.DataFrame()) == 0
    assert tables.add_rows("drift", frame) == 1
    assert tables.add_rows("drift", frame) == 0
    [found] = tables.read("drift").collect()
    assert (found["value"], found["threshold"], found["status"]) == (None, None, "stable")


def test_names_are_checked(tables: Tables) -> None:
    """A table nobody knows is named with the closest; one not written yet says what to run."""
    with pytest.raises(TableError, match="no table 'event'") as caught:
        tables.name("event")
    assert caught.value.hint == "did you mean 'events'?"
    with pytest.raises(TableError, match="does not exist") as caught:
        tables.read("events")
    assert caught.value.hint == "run data_pipeline_job first"
    assert tables.count("events") == 0
    assert not tables.exists("events")


@pytest.mark.unit
def test_lists_for_sql_are_quoted() -> None:
    """A quote inside a value cannot end its literal."""
    assert sql_list(["a", "it's"]) == "'a', 'it''s'"
