"""The storage of a table: rows that are too old, many small files, files that are no longer used."""

from __future__ import annotations

import datetime as dt

from engine.data.tables import Tables
from engine.settings import Retention
from engine.writes import announce

MANY_FILES = 32  # of a table, from which on they are rewritten as few


def delete_before(tables: Tables, table: str, day: dt.date) -> int:
    """Delete the rows with an earlier `as_of`; how many."""
    where = f"as_of < DATE '{day}'"
    rows = tables.count(table, where)
    if rows:
        announce(f"delete rows of {table}")
        tables.spark.sql(f"DELETE FROM {tables.name(table)} WHERE {where}")
    return rows


def set_retention(tables: Tables, table: str, keep: Retention) -> None:
    """Note in a table how long Delta keeps its commits and the files that they removed."""
    wanted = {
        "delta.logRetentionDuration": f"interval {keep.commits} days",
        "delta.deletedFileRetentionDuration": f"interval {keep.files} days",
    }
    if not wanted.items() <= tables.properties(table).items():
        listed = ", ".join(f"'{name}' = '{value}'" for name, value in wanted.items())
        announce(f"set retention of {table}")
        tables.spark.sql(f"ALTER TABLE {tables.name(table)} SET TBLPROPERTIES ({listed})")


def compact(tables: Tables, table: str) -> bool:
    """Rewrite small files as few, if there are many; whether that was so."""
    detail = tables.spark.sql(f"DESCRIBE DETAIL {tables.name(table)}").first()
    many = bool(detail["numFiles"] > MANY_FILES)
    if many:
        announce(f"compact files of {table}")
        tables.spark.sql(f"OPTIMIZE {tables.name(table)}")
    return many


def remove_unused_files(tables: Tables, table: str) -> bool:
    """Delete the files that no commit within the retention uses; whether there were any."""
    vacuum = f"VACUUM {tables.name(table)}"
    unused = not tables.spark.sql(f"{vacuum} DRY RUN").isEmpty()
    if unused:
        announce(f"remove files of {table}")
        tables.spark.sql(vacuum)
    return unused
