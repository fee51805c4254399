"""Learning from Parquet parts against learning from a frame, and the memory of either.

Run it with `uv run python -m benchmarks.streaming`. Parts are files as training finds them in the volume:
columns of `rewarded_decisions`, with lists of eligible actions and maps of probabilities. Memory is the
peak of a process that does nothing else; its driver keeps the weight table and a block of text.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from engine.config import Config, load_config
from engine.data.log_parts import LogParts
from policies import VowpalPolicy
from policies.learning.reading import joined

FEATURES = {f"feature_{index}": "double" for index in range(10)}
FILE_ROWS, SMALL, LARGE, ROUNDS = 125_000, 250_000, 2_000_000, 3
TARGET = 0.6


def write_parts(folder: Path, rows: int, config: Config) -> None:
    """Files of uniform decisions on normal features with 0/1 rewards."""
    ids = config.catalogue.action_ids
    k = len(ids)
    effects = np.random.default_rng(99).normal(size=(len(FEATURES), k)) * 0.05
    lists = pa.array([list(ids)] * FILE_ROWS)
    maps = pa.array(
        [[(name, 1 / k) for name in ids]] * FILE_ROWS, pa.map_(pa.string(), pa.float64())
    )
    for number in range(rows // FILE_ROWS):
        random = np.random.default_rng(number)
        shown = random.normal(size=(FILE_ROWS, len(FEATURES)))
        action = random.integers(k, size=FILE_ROWS)
        mean = np.clip(0.15 + (shown @ effects)[np.arange(FILE_ROWS), action], 0, 1)
        day = np.datetime64("2026-01-01") + number
        columns = {
            "customer_id": [f"c{each}" for each in range(FILE_ROWS)],
            "group": ["policy"] * FILE_ROWS,
            "action_id": np.array(ids, dtype=object)[action],
            "action_probability": np.full(FILE_ROWS, 1 / k),
            "eligible_actions": lists,
            "distribution": maps,
            "reward": (random.random(FILE_ROWS) < mean).astype(float),
            "decision_date": np.full(FILE_ROWS, day),
            "matured_on": np.full(FILE_ROWS, day + 3),
            **{name: shown[:, index] for index, name in enumerate(FEATURES)},
        }
        pq.write_table(pa.table(columns), folder / f"part-{number:05d}.parquet")


def peak(folder: Path) -> float:
    """Megabytes of a process that learns from the parts in a folder."""
    command = [sys.executable, "-m", "benchmarks.streaming", str(folder)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    """Print rates, their ratios, and memory at both sizes."""
    config = load_config(Path("conf"))
    ids = config.catalogue.action_ids
    if len(sys.argv) > 1:
        VowpalPolicy(ids).fit(LogParts(Path(sys.argv[1]), config, FEATURES))
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        return
    with tempfile.TemporaryDirectory() as name:
        small, large = Path(name) / "small", Path(name) / "large"
        for folder, rows in ((small, SMALL), (large, LARGE)):
            folder.mkdir()
            write_parts(folder, rows, config)
        parts = LogParts(small, config, FEATURES)
        whole = joined(parts)
        for cb_type in ("mtr", "dr"):
            rates = {"frame": 0.0, "parts": 0.0}
            for _ in range(ROUNDS):
                for way, log in (("frame", whole), ("parts", parts)):
                    start = time.perf_counter()
                    VowpalPolicy(ids, cb_type=cb_type).fit(log)
                    rates[way] = max(rates[way], SMALL / (time.perf_counter() - start))
            print(
                f"{cb_type}: from the frame {rates['frame']:,.0f} decisions a second, from Parquet"
                f" parts {rates['parts']:,.0f}, ratio {rates['parts'] / rates['frame']:.2f}"
                f" (target {TARGET})"
            )
        for folder, rows in ((small, SMALL), (large, LARGE)):
            print(f"{rows:,} decisions: {peak(folder):,.0f} MB")


if __name__ == "__main__":
    main()
