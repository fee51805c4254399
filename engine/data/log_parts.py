"""The matured log as Parquet parts in the volume, which training reads a part at a time."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from engine.config import Config
from engine.data.rewards import logged_from_arrow, matured_rows
from engine.data.tables import Tables
from policies import LoggedDecisions
from policies.learning.reading import joined
from policies.log import Logs

PART_ROWS = 100_000  # in memory at once, of a log that is read in parts
CODED = ["action_id", "eligible_actions.list.element", "distribution.key_value.key"]  # as codes
# Rows up to which the whole log stays in memory, which is faster to read again.
IN_MEMORY = 1_000_000


@dataclass(frozen=True)
class LogParts:
    """A folder of Parquet files as a log; each iteration reads it anew, in order.

    Args:
        folder: files whose names sort in the log's order, with the columns of
            `rewarded_decisions`.
        config: catalogue and reward range.
        features: context columns.
    """

    folder: Path
    config: Config
    features: Mapping[str, str]

    def __iter__(self) -> Iterator[LoggedDecisions]:
        """The log in parts of at most 100,000 rows."""
        for file in self._files:
            rows_of = pq.ParquetFile(file, read_dictionary=CODED)
            for batch in rows_of.iter_batches(PART_ROWS):
                rows = pa.Table.from_batches([batch])
                yield logged_from_arrow(rows, self.config, self.features)

    @property
    def rows(self) -> int:
        """How many rows there are, from the files' metadata."""
        return sum(pq.ParquetFile(file).metadata.num_rows for file in self._files)

    @property
    def _files(self) -> list[Path]:
        return sorted(self.folder.glob("*.parquet"))


@contextmanager
def matured_log(
    tables: Tables, config: Config, features: Mapping[str, str], as_of: dt.date
) -> Iterator[Logs]:
    """All decisions matured by `as_of`, in order of date and decision id, to be learned from.

    Spark writes them into the volume, which is emptied afterwards; up to a million rows are read
    once and stay in memory, more are read from there part by part.
    """
    with tables.staging() as staging:
        folder = staging / "log"
        rows = matured_rows(tables, features, as_of)
        rows.write.mode("overwrite").parquet(str(folder.resolve()))
        parts = LogParts(folder, config, features)
        yield joined(parts) if 0 < parts.rows <= IN_MEMORY else parts
