"""The facts that a source gives, and what a source is."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Optional, Protocol, Union

import pyarrow as pa

from engine.data.tables import Tables, arrow_schema
from engine.parameters import Parameters

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

Rows = Union[pa.Table, "DataFrame"]
EVENTS, OUTCOMES = arrow_schema("events"), arrow_schema("outcomes")
SOURCE_PROPERTY = "nba.source"
FIRST_DAY_PROPERTY = "nba.first_day"
"""Properties of the table `customers`: whose facts the schema holds, and the first day taken in."""


@dataclass(frozen=True)
class Facts:
    """The facts that a source adds to the tables; rows that are there already do no harm.

    They are written in this order, so the last table tells that the others are complete:
    `decisions` of a history, `events` of a later day.

    Args:
        quarantine: rows that break the contract.
        superseded: earlier versions of corrected rows, by the name of their table; the rows of such
            a table are its new and corrected ones, one a key.
        customers: one row a customer.
        outcomes, events: rows by key.
        decisions: of another system, or of a history.
        note: one line for the summary.
    """

    customers: Rows
    outcomes: Rows
    events: Rows
    decisions: Optional[Rows]
    note: str
    quarantine: Optional[DataFrame] = None
    superseded: Mapping[str, DataFrame] = field(default_factory=dict)


class Source(Protocol):
    """Gives the facts that are known by 00:00 UTC of a day."""

    name: str

    @property
    def last_day(self) -> Optional[dt.date]:
        """The last day whose decisions have outcomes; None = every day's will come."""
        ...

    def fetch(self, parameters: Parameters, tables: Tables) -> Iterator[Facts]:
        """Everything known by `parameters.as_of` 00:00 UTC that the tables may lack.

        Whatever earlier runs wrote before they were stopped, the tables are complete once each of
        these is written; the next is asked for when the one before is written.
        """
        ...


def take_in(tables: Tables, facts: Facts, owner: Mapping[str, str]) -> dict[str, int]:
    """Write facts in the order in which any prefix of the writes is completed by the next run."""
    written = {}
    if facts.quarantine is not None and not facts.quarantine.isEmpty():
        written["quarantine"] = tables.add_new("quarantine", facts.quarantine)
    for table, rows in facts.superseded.items():
        if not rows.isEmpty():
            written[f"superseded_{table}"] = tables.upsert(f"superseded_{table}", rows)
    for table in ("customers", "outcomes", "events", "decisions"):
        rows = getattr(facts, table)
        if rows is None:
            continue
        if table in facts.superseded:
            write = tables.upsert
        else:
            write = tables.put if table == "customers" else tables.add_new
        written[table] = write(table, tables.frame(rows), owner if table == "customers" else {})
    return written
