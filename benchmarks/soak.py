"""Many small days in one process: seconds, files and bytes a day, which should not grow.

Run it with `uv run python -m benchmarks.soak --days 365`. A day is the six stages, on Sundays with
housekeeping after them. Retention goes by the clock, and a simulated day takes seconds. So after
each day the files of Delta's logs are made a day older, and removed data files are kept for as many
seconds as that many days took. CPU time is that of this process and its children, Spark's included;
on a busy machine it says more than the clock. Data are the tables' current files and the reports.
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import shutil
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import psutil

from engine import environment, jobs
from engine.data.tables import TABLES, Tables
from engine.jobs import Run
from engine.jobs import housekeeping as stage
from engine.local.session import session, stop
from engine.settings import Retention
from tests.story.conftest import STAGES, changed

REPOSITORY = Path(__file__).parent.parent
FIRST = dt.date(2026, 1, 1)
SPAN = 30  # days whose means are compared
SUNDAY = 6
SMALL = {
    "sources/simulation.yml": {"history_days": 14},
    "engine.yml": {"training.reserve_days": 4},
}
_LOG_KINDS = {".crc": "log checksums", ".json": "log commits", ".parquet": "log checkpoints"}


def kind(path: Path) -> str:
    """What a file of the local root belongs to."""
    if path.name.startswith(".") and path.name.endswith(".crc"):
        return "Hadoop checksums"
    if "_delta_log" in path.parts:
        return _LOG_KINDS.get(path.suffix, "log others")
    if path.parts[0] == "mlartifacts":
        return "models" if path.parts[1] == "models" else "training runs"
    return {"warehouse": "table files", "volume": "volume"}.get(path.parts[0], "registry")


def census(root: Path) -> dict[str, tuple[int, int]]:
    """Files and bytes by kind."""
    found: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for path in root.rglob("*"):
        if path.is_file() and path.parts[len(root.parts)] != "spark":
            for name in (kind(path.relative_to(root)), "all"):
                found[name][0] += 1
                found[name][1] += path.stat().st_size
    return {name: (files, size) for name, (files, size) in sorted(found.items())}


def table_bytes(tables: Tables) -> int:
    """Bytes of the files that hold the tables' current rows."""
    names = [tables.name(table) for table in TABLES if tables.exists(table)]
    details = [tables.spark.sql(f"DESCRIBE DETAIL {name}").first() for name in names]
    return sum(int(detail["sizeInBytes"]) for detail in details)


def cpu_seconds() -> float:
    """CPU time of this process and its children until now."""
    processes = [psutil.Process(), *psutil.Process().children(recursive=True)]
    return float(sum(sum(process.cpu_times()[:4]) for process in processes))


def age_logs(root: Path) -> None:
    """Make all files of Delta's logs a day older."""
    for path in root.glob("warehouse/*/*/_delta_log/*"):
        if path.is_file():
            then = path.stat().st_mtime - 86_400
            os.utime(path, (then, then))


class Soak:
    """The days of one small company.

    Args:
        root: an empty folder.
        customers: of the simulated company.
    """

    def __init__(self, root: Path, customers: int) -> None:
        self.root, self.conf = root / "dev", root / "conf"
        shutil.copytree(REPOSITORY / "conf", self.conf)
        changed(self.conf, SMALL)
        changed(self.conf, {"sources/simulation.yml": {"customers": customers}})
        (self.root / "volume").mkdir(parents=True)
        environment.set_local_root(self.root)
        cache = REPOSITORY / ".local"
        self.spark = session(self.root, "juan_dev", app="soak", cache=cache)
        self.spark.conf.set("spark.sql.codegen.wholeStage", "false")  # small data: starts sooner
        self.day_seconds = 1.0
        vars(stage)["set_retention"] = self._set_retention

    def run_of(self, day: dt.date) -> Run:
        """What a stage of the day gets."""
        values = {"catalog": "juan_dev", "schema": "soak", "source": "", "source_path": ""}
        values |= {"as_of": str(day), "conf_dir": str(self.conf), "experiment": "/soak"}
        return Run.of(self.spark, {**values, "volume": str(self.root / "volume")})

    def run(self, day: dt.date) -> tuple[float, float, str]:
        """Run a day; its seconds by the clock and of CPU time, without housekeeping's."""
        began, cpu = time.monotonic(), cpu_seconds()
        for name in STAGES:
            getattr(jobs, name)(self.run_of(day))
        self.day_seconds = time.monotonic() - began
        cpu = cpu_seconds() - cpu
        done = ""
        if day.weekday() == SUNDAY:
            result = jobs.housekeeping(self.run_of(day))
            seconds = time.monotonic() - began - self.day_seconds
            done = f"; housekeeping {seconds:.0f} s: {result.summary}"
        age_logs(self.root)
        return self.day_seconds, cpu, done

    def _set_retention(self, tables: Tables, table: str, keep: Retention) -> None:
        seconds = int(keep.files * self.day_seconds)
        tables.spark.sql(
            f"ALTER TABLE {tables.name(table)} SET TBLPROPERTIES ("
            f"'delta.logRetentionDuration' = 'interval {keep.commits} days', "
            f"'delta.deletedFileRetentionDuration' = 'interval {seconds} seconds')"
        )


def show(day: int, counts: dict[str, tuple[int, int]], live: int) -> None:
    """Print files and bytes by kind, and the storage beyond data."""
    print(f"after {day} days; the tables' rows have {live:,} bytes")
    for name, (files, size) in counts.items():
        print(f"  {name:18} {files:8,} files {size:14,} bytes")
    data = live + counts["volume"][1]
    print(f"  beyond data: {(counts['all'][1] - data) / data:.2f} times data", flush=True)


def main() -> None:
    """Run the days and print what grows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--customers", type=int, default=100)
    parser.add_argument("--root", type=Path)
    parser.add_argument("--every", type=int, default=SPAN)
    given = parser.parse_args()
    soak = Soak(given.root or Path(tempfile.mkdtemp(prefix="soak")), given.customers)
    days: list[Any] = []
    for number in range(given.days):
        day = FIRST + dt.timedelta(days=number)
        seconds, cpu, done = soak.run(day)
        counts = census(soak.root)
        days.append((seconds, cpu, counts["all"][0]))
        print(
            f"{day} {seconds:6.1f} s, CPU {cpu:6.1f} s, {counts['all'][0]:,} files{done}",
            flush=True,
        )
        if number % given.every == given.every - 1:
            show(number + 1, counts, table_bytes(soak.run_of(day).tables))
    span = min(SPAN, (len(days) - 1) // 2)
    if span:
        first, last = days[1 : span + 1], days[-span:]  # the first day brings the history
        for index, name in enumerate(("seconds", "CPU seconds")):
            mean = [sum(row[index] for row in part) / span for part in (first, last)]
            print(f"{name} a day: {mean[0]:.1f} then {mean[1]:.1f}, ratio {mean[1] / mean[0]:.2f}")
        grown = [(part[-1][2] - part[0][2]) / max(span - 1, 1) for part in (first, last)]
        print(f"files more a day: {grown[0]:.1f} then {grown[1]:.1f}, over {span} days each")
    stop(soak.spark)


if __name__ == "__main__":
    main()
