"""The schema of `conf/sources/NAME.yml`: a company's tables, a log, or the simulated company."""

from __future__ import annotations

import datetime as dt
import re
from typing import Annotated, Any, Literal, Optional, Union

from pydantic import Field, field_validator, model_validator

from engine.settings import NUMBER, CatalogueFile, Day, Days, Kind, Name, Section, Share, Text
from engine.time_zones import known_zone

FILE_FORMATS = {"csv": "csv", "parquet": "parquet", "jsonl": "jsonl", "ndjson": "jsonl"}
_THREE_PARTS = re.compile(r"[A-Za-z0-9_]+(\.[A-Za-z0-9_]+){2}")
COLUMNS = {  # table -> column -> type; the first is its key, a type with "?" may be missing
    "customers": {"customer_id": "string"},
    "events": {
        "event_id": "string",
        "customer_id": "string",
        "event_ts": "timestamp",
        "event_type": "string",
        "amount": "double?",
    },
    "outcomes": {
        "outcome_id": "string",
        "decision_id": "string?",
        "customer_id": "string",
        "outcome_type": "string",
        "outcome_ts": "timestamp",
        "amount": "double?",
    },
    "decisions": {
        "decision_id": "string",
        "customer_id": "string",
        "decision_ts": "timestamp",
        "action_id": "string",
        "action_probability": "double",
        "eligible": "list?",
        "distribution": "map?",
    },
}


class UpstreamTable(Section):
    """One table of a company: where it is, and what its columns are called.

    Args:
        place: `from`: a three-part table name, or a file, folder or glob below the parameter
            source_path.
        format: csv, parquet, jsonl or delta; by default the ending of `from` says it.
        columns: column of the engine -> column of the table; a consent may also be true or false
            for everybody. Columns that are called the same need no line.
        received: the column that says when a row, or its correction, was told.
        changed: of customers, the column that says since when a row holds.
        floor: of decisions, the smallest probability with which an eligible action was drawn.
        time_zone: of times that have none.
        delimiter, encoding: of CSV files.
    """

    place: Text = Field(alias="from")
    format: Optional[Literal["csv", "parquet", "jsonl", "delta"]] = None
    columns: dict[Name, Union[bool, Text]] = Field(default_factory=dict, max_length=1_000)
    received: Optional[Text] = None
    changed: Optional[Text] = None
    floor: Optional[Annotated[Share, Field(gt=0)]] = None
    time_zone: Text = "UTC"
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] = ","
    encoding: Literal["UTF-8", "ISO-8859-1", "UTF-16", "US-ASCII"] = "UTF-8"

    _zone = field_validator("time_zone")(known_zone)

    @property
    def is_table(self) -> bool:
        """Whether `from` names a table of the catalog, not files."""
        last = self.place.rsplit(".", 1)[-1].lower()
        named = _THREE_PARTS.fullmatch(self.place) is not None
        return named and self.format is None and last not in {*FILE_FORMATS, "gz", "json"}

    @model_validator(mode="after")
    def _constants(self) -> UpstreamTable:
        for name, column in self.columns.items():
            if isinstance(column, bool) and not name.startswith("consent_"):
                raise ValueError(f"{name} is the name of a column: put it in quotes")
        return self


class UpstreamTables(Section):
    """The tables of a company."""

    customers: UpstreamTable
    events: UpstreamTable
    outcomes: UpstreamTable
    decisions: Optional[UpstreamTable] = None

    @model_validator(mode="after")
    def _known_columns(self) -> UpstreamTables:
        if self.customers.received or self.customers.floor:
            raise ValueError("customers have `changed`, and neither `received` nor `floor`")
        for name in ("events", "outcomes", "decisions"):
            table: Optional[UpstreamTable] = getattr(self, name)
            if table is None:
                continue
            if table.floor and name != "decisions":
                raise ValueError(f"{name} have no floor; decisions have")
            if table.changed:
                raise ValueError(f"{name} have `received` instead of `changed`")
            unknown = set(table.columns) - set(COLUMNS[name])
            if unknown and name != "events":
                known = ", ".join(COLUMNS[name])
                raise ValueError(f"{name} have no {min(unknown)}; they have {known}")
        return self


class TablesSource(Section):
    """A company whose customers, events and outcomes are in tables or files.

    Args:
        tables: where they are.
        quarantine_limit: largest share of new rows that may break the contract.
        features, actions: files beside this one; by default those of `conf`.
        engine: replaces keys of engine.yml.
    """

    name: Name
    kind: Literal["tables"] = "tables"
    description: Optional[Text] = None
    tables: UpstreamTables
    quarantine_limit: Share = 0.01
    features: Optional[Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+\.ya?ml$")]] = None
    actions: Optional[Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+\.ya?ml$")]] = None
    engine: dict[str, Any] = Field(default_factory=dict)


class SourceFile(Section):
    """The file a log is read from."""

    format: str = Field(pattern="^csv$")
    sha256: Optional[str] = Field(default=None, pattern="^[0-9a-f]{64}$")


class SyntheticDays(Section):
    """The days over which the rows of a log without dates are spread."""

    start: Annotated[Day, Field(le=dt.date(2100, 12, 31))]
    days: Days


class SourceColumns(Section):
    """How the columns of an imported log map to this engine's."""

    action: Text
    actions: dict[Text, Name] = Field(min_length=2, max_length=1_000)
    action_probability: Annotated[float, Field(gt=0, le=1), NUMBER]
    outcomes: dict[Text, Text] = Field(min_length=1, max_length=100)
    amount: Optional[Text] = None
    features: dict[Text, Kind] = Field(min_length=1, max_length=1_000)


class LogSource(Section):
    """A log to import, with its own catalogue and settings."""

    name: Name
    kind: Literal["log"] = "log"
    description: Text
    file: SourceFile
    synthetic: SyntheticDays
    columns: SourceColumns
    catalogue: CatalogueFile
    engine: dict[str, Any] = Field(default_factory=dict)


class SimulatedSource(Section):
    """The simulated company of the demo."""

    name: Name
    kind: Literal["simulation"] = "simulation"
    description: Text
    scenario: Name
    customers: Annotated[int, Field(ge=100, le=1_000_000), NUMBER]
    seed: Annotated[int, Field(ge=0, lt=2**32), NUMBER]
    history_days: Days


SOURCES: dict[str, type[Union[TablesSource, LogSource, SimulatedSource]]] = {
    "tables": TablesSource,
    "log": LogSource,
    "simulation": SimulatedSource,
}
