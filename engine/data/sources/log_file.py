"""A log in a file as a source of facts: one row a decision."""

from __future__ import annotations

import datetime as dt
import gzip
import hashlib
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from engine.config import Config
from engine.data.decisions import DECISION_HOUR, OTHER_SYSTEM, Author, decision_rows
from engine.data.sources.facts import EVENTS, OUTCOMES, Facts
from engine.data.tables import Tables
from engine.errors import SourceError
from engine.parameters import Parameters
from engine.source_definitions import LogSource
from policies.deciding.decision import REASONS, Decisions, decision_ids
from policies.deciding.groups import GROUPS
from policies.errors import did_you_mean, require_known


class LogFile:
    """A log in a file, described by `conf/sources/NAME.yml`: one row a decision.

    Row numbers stand for customers. Rows are spread evenly over synthetic days: row r is decided
    on day r mod days, so that the days are alike.
    """

    def __init__(self, config: Config, described: LogSource) -> None:
        self.config, self.described = config, described
        self.name = self.described.name
        days = self.described.synthetic.days
        self.last_day = self.described.synthetic.start + dt.timedelta(days=days - 1)

    def fetch(self, parameters: Parameters, tables: Tables) -> Iterator[Facts]:
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
        yield Facts(
            customers=self._customers(frame, customer),
            outcomes=self._outcomes(frame[past], customer[past], dates[past]),
            events=EVENTS.empty_table(),
            decisions=self._decisions(frame[columns.action][past], customer[past], dates[past]),
            note=note,
        )

    def _customers(self, frame: pd.DataFrame, customer: np.ndarray) -> pa.Table:
        columns = {"customer_id": pa.array(customer, pa.string())}
        for name, kind in self.described.columns.features.items():
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
        eligible = np.zeros((n, k), dtype=bool)
        eligible[:, list(index.values())] = True
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
        author = Author(f"{OTHER_SYSTEM}{self.name}", "", "", "import")
        return decision_rows(customer, dates, decided, catalogue, author)

    def _outcomes(self, frame: pd.DataFrame, customer: np.ndarray, dates: np.ndarray) -> pa.Table:
        columns, parts = self.described.columns, []
        ids = decision_ids(customer, dates).to_numpy(zero_copy_only=False)
        moments = dates.astype("datetime64[h]") + np.timedelta64(DECISION_HOUR + 1, "h")
        paid = frame[columns.amount].to_numpy(float) if columns.amount else None
        for column, outcome in columns.outcomes.items():
            happened = frame[column].to_numpy() > 0
            times = moments[happened].astype("datetime64[us]")
            rows = {
                "outcome_id": [f"{decision}:{outcome}" for decision in ids[happened]],
                "decision_id": ids[happened],
                "customer_id": customer[happened],
                "outcome_type": [outcome] * len(times),
                "outcome_ts": times,
                "received_ts": times,
                "amount": pa.nulls(len(times)),
            }
            if paid is not None and outcome == "purchase":
                rows["amount"] = paid[happened]
            parts.append(pa.table(rows, schema=OUTCOMES))
        return pa.concat_tables(parts)


def read_log(described: LogSource, source_path: str) -> pd.DataFrame:
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
    sha256 = hashlib.sha256(content).hexdigest()
    if described.file.sha256 not in (None, sha256):
        raise SourceError(
            f"The unpacked file's sha256 is {sha256}, not {described.file.sha256}.",
            where=f"{where}, {source_path}",
            hint="fetch the file again, or put its new checksum under file.sha256",
        )
    frame = pd.read_csv(io.BytesIO(content))
    columns = described.columns
    needed = [columns.action, *columns.outcomes, *columns.features]
    for column in [*needed, *([columns.amount] if columns.amount else [])]:
        what = f"The file has no column {column!r}."
        require_known(column, frame.columns, SourceError, what, f"{where}, {source_path}")
    return frame
