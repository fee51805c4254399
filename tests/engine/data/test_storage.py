"""What housekeeping does to a table: rows, small files, files that are no longer used."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from engine.data import storage
from engine.data.spark import warehouse
from engine.data.tables import Tables
from engine.settings import Retention

SCHEMA = "storage_test"


@pytest.fixture
def tables(spark: Any, tmp_path: Path) -> Iterator[Tables]:
    """An empty schema."""
    yield Tables(spark, "juan_dev", SCHEMA, tmp_path)
    spark.sql(f"DROP SCHEMA IF EXISTS juan_dev.{SCHEMA} CASCADE")


def row(day: int) -> pd.DataFrame:
    """One row of `drift`."""
    return pd.DataFrame(
        [{"as_of": dt.date(2026, 3, day), "subject": "x", "metric": "psi", "value": 0.1 * day}]
    ).reindex(columns=["as_of", "subject", "metric", "value", "threshold", "status", "reason"])


def rows(tables: Tables) -> list[Any]:
    """The table's rows by day."""
    return [tuple(each) for each in tables.read("drift").orderBy("as_of").collect()]


def test_a_table_is_cleaned_once_and_keeps_its_rows(
    tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Old rows go, many files become few, unused ones are deleted; a second time nothing is done."""
    monkeypatch.setattr(storage, "MANY_FILES", 2)
    folder = warehouse(tables.spark) / f"{SCHEMA}.db" / "drift"
    for day in (1, 2, 3, 4):
        tables.add_rows("drift", row(day))
    kept = rows(tables)[1:]
    assert storage.delete_before(tables, "drift", dt.date(2026, 3, 2)) == 1
    storage.set_retention(tables, "drift", Retention())
    assert not storage.remove_unused_files(tables, "drift")  # younger than the retention
    assert storage.compact(tables, "drift")
    tables.spark.sql(
        f"ALTER TABLE {tables.name('drift')} SET TBLPROPERTIES "
        "('delta.deletedFileRetentionDuration' = 'interval 0 seconds')"
    )
    files = len(list(folder.glob("*.parquet")))
    assert storage.remove_unused_files(tables, "drift")
    assert len(list(folder.glob("*.parquet"))) == 1 < files
    assert rows(tables) == kept
    commits = list((folder / "_delta_log").glob("*.json"))
    assert storage.delete_before(tables, "drift", dt.date(2026, 3, 2)) == 0
    assert not storage.compact(tables, "drift")
    assert not storage.remove_unused_files(tables, "drift")
    assert list((folder / "_delta_log").glob("*.json")) == commits


def test_a_table_notes_its_retention_once(tables: Tables) -> None:
    """Delta's properties follow the configuration; equal ones are not written again."""
    tables.ensure("drift")
    for keep, version in ((Retention(), 1), (Retention(), 1), (Retention(commits=60), 2)):
        storage.set_retention(tables, "drift", keep)
        history = tables.spark.sql(f"DESCRIBE HISTORY {tables.name('drift')} LIMIT 1").first()
        assert history["version"] == version
    properties = tables.properties("drift")
    assert properties["delta.logRetentionDuration"] == "interval 60 days"
    assert properties["delta.deletedFileRetentionDuration"] == "interval 7 days"
