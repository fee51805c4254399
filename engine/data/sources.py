"""Where customers, events, decisions and outcomes come from."""

from __future__ import annotations

import datetime as dt
import gzip
import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Optional, Protocol

import numpy as np
import pandas as pd
import pyarrow as pa

from engine.config import Config, Parameters, SourceConfig
from engine.data.decisions import DECISION_HOUR, Author, decision_ids, decision_rows
from engine.errors import SourceError
from policies.deciding.decision import REASONS, Decisions
from policies.deciding.groups import GROUPS
from policies.errors import did_you_mean

if TYPE_CHECKING:
    from engine.data.tables import Tables


@dataclass(frozen=True)
class Facts:
    """What a source knows and the tables do not hold yet (rows they hold already do no harm)."""

    customers: pa.Table
    events: pa.Table
    outcomes: pa.Table
    decisions: Optional[pa.Table]
    note: str


class Source(Protocol):
    """Brings the facts that are known by 00:00 UTC of a day."""

    name: str

    @property
    def attributes(self) -> Optional[Mapping[str, str]]:
        """Columns of `customers` that are the features, with SQL types; None: made from events."""
        ...

    @property
    def last_day(self) -> Optional[dt.date]:
        """The last day whose decisions it can tell outcomes of; None: every day's, in time."""
        ...

    def fetch(self, parameters: Parameters, tables: Tables) -> Facts:
        """Everything known by `parameters.as_of` 00:00 UTC."""
        ...


UTC_TIME = pa.timestamp("us", "UTC")
EVENTS = pa.schema(
    [
        ("event_id", pa.string()),
        ("customer_id", pa.string()),
        ("event_ts", UTC_TIME),
        ("event_type", pa.string()),
        ("amount", pa.float64()),
    ]
)
OUTCOMES = pa.schema(
    [
        ("outcome_id", pa.string()),
        ("decision_id", pa.string()),
        ("customer_id", pa.string()),
        ("outcome_type", pa.string()),
        ("outcome_ts", UTC_TIME),
        ("received_ts", UTC_TIME),
        ("amount", pa.float64()),
    ]
)


class LogFile:
    """A log in a file, described by `conf/sources/NAME.yml`: one row a decision.

    Rows are numbered to make customers and spread evenly over synthetic days: row r is decided
    on day r mod days, so every day is a like sample of the file.
    """

    def __init__(self, config: Config) -> None:
        if config.source is None:
            raise SourceError(
                "This source is not described by a file.", hint="conf/sources/NAME.yml"
            )
        self.config, self.described = config, config.source
        self.name = self.described.name
        self.attributes: Mapping[str, str] = self.described.columns.features
        days = self.described.synthetic.days
        self.last_day = self.described.synthetic.start + dt.timedelta(days=days - 1)

    def fetch(self, parameters: Parameters, tables: Tables) -> Facts:
        """The whole file; a day before its last one sees the decisions of earlier days only."""
        frame = read_log(self.described, parameters.source_path)
        n, columns = len(frame), self.described.columns
        customer = np.array([f"{self.name[:1].upper()}{row:07d}" for row in range(n)], dtype=object)
        start = np.datetime64(self.described.synthetic.start, "D")
        dates = start + (np.arange(n) % self.described.synthetic.days).astype("timedelta64[D]")
        past = dates < np.datetime64(parameters.as_of, "D")
        note = (
            f"{n:,} rows of {self.name}, which has no dates and no customer ids: numbered, "
            f"and spread over {self.described.synthetic.days} synthetic days from {start}"
        )
        return Facts(
            customers=self._customers(frame, customer),
            events=EVENTS.empty_table(),
            outcomes=self._outcomes(frame[past], customer[past], dates[past]),
            decisions=self._decisions(frame[columns.action][past], customer[past], dates[past]),
            note=note,
        )

    def _customers(self, frame: pd.DataFrame, customer: np.ndarray) -> pa.Table:
        columns = {"customer_id": pa.array(customer, pa.string())}
        for name, kind in self.attributes.items():
            as_type = pa.string() if kind == "string" else pa.float64()
            columns[name] = pa.array(frame[name], from_pandas=True).cast(as_type)
        for channel in self.config.catalogue.contact_channels:
            columns[f"consent_{channel}"] = pa.repeat(True, len(frame))
        return pa.table(columns)

    def _decisions(self, action: pd.Series, customer: np.ndarray, dates: np.ndarray) -> pa.Table:
        catalogue, columns = self.config.catalogue, self.described.columns
        n, k = len(action), len(catalogue.action_ids)
        unknown = sorted(set(action.unique()) - set(columns.actions))
        if unknown:
            raise SourceError(
                f"The column {columns.action!r} holds {unknown[0]!r}, which maps to no action.",
                where=f"source {self.name}, columns.actions",
                hint=did_you_mean(str(unknown[0]), columns.actions),
            )
        index = {value: catalogue.index(name) for value, name in columns.actions.items()}
        logged = sorted(set(index.values()))
        eligible = np.zeros((n, k), dtype=bool)
        eligible[:, logged] = True
        decided = Decisions(
            action=np.asarray(action.map(index), dtype=np.int64),
            action_probability=np.full(n, columns.action_probability),
            group=np.full(n, GROUPS.index("policy"), dtype=np.int8),
            reason=np.full(n, REASONS.index("explore"), dtype=np.int8),
            distribution=eligible * columns.action_probability,
            eligible=eligible,
            blocked=np.zeros((n, k), dtype=np.int8),
            chosen_expected_reward=np.full(n, np.nan),
        )
        author = Author(f"source:{self.name}", "", "", "import")
        return decision_rows(customer, dates, decided, catalogue, author)

    def _outcomes(self, frame: pd.DataFrame, customer: np.ndarray, dates: np.ndarray) -> pa.Table:
        columns, parts = self.described.columns, []
        ids = decision_ids(customer, dates).to_numpy(zero_copy_only=False)
        moments = dates.astype("datetime64[h]") + np.timedelta64(DECISION_HOUR + 1, "h")
        for column, outcome in columns.outcomes.items():
            happened = frame[column].to_numpy() > 0
            seen = pa.array(moments[happened].astype("datetime64[us]"), UTC_TIME)
            money = outcome == "purchase" and columns.amount is not None
            amount = frame[columns.amount].to_numpy(float)[happened] if money else None
            rows = {
                "outcome_id": pa.array(
                    [f"{each}:{outcome}" for each in ids[happened]], pa.string()
                ),
                "decision_id": pa.array(ids[happened], pa.string()),
                "customer_id": pa.array(customer[happened], pa.string()),
                "outcome_type": pa.repeat(outcome, int(happened.sum())),
                "outcome_ts": seen,
                "received_ts": seen,
                "amount": pa.nulls(len(seen), pa.float64()) if amount is None else pa.array(amount),
            }
            parts.append(pa.table(rows, schema=OUTCOMES))
        return pa.concat_tables(parts)


def read_log(described: SourceConfig, source_path: str) -> pd.DataFrame:
    """Read and verify the file of a source.

    Raises:
        SourceError: no path, no file, another checksum, or a column that is not there.
    """
    where = f"source {described.name}"
    if not source_path:
        raise SourceError(
            f"The source {described.name} needs the path of its file.",
            where=where,
            hint=f"--params source={described.name},source_path=PATH",
        )
    path = Path(source_path)
    if not path.is_file():
        raise SourceError(f"There is no file {source_path}.", where=where, hint="check source_path")
    content = path.read_bytes()
    if content[:2] == b"\x1f\x8b":
        content = gzip.decompress(content)
    found = hashlib.sha256(content).hexdigest()
    if described.file.sha256 and found != described.file.sha256:
        raise SourceError(
            f"The unpacked file's sha256 is {found}, not {described.file.sha256}.",
            where=f"{where}, {source_path}",
            hint="fetch the file again, or put its new checksum under file.sha256",
        )
    frame = pd.read_csv(io.BytesIO(content))
    columns = described.columns
    needed = [columns.action, *columns.outcomes, *columns.features]
    for column in [*needed, *([columns.amount] if columns.amount else [])]:
        if column not in frame.columns:
            raise SourceError(
                f"The file has no column {column!r}.",
                where=f"{where}, {source_path}",
                hint=did_you_mean(column, frame.columns),
            )
    return frame
