"""Kills a run at every write and at random moments after it, and compares what the next runs leave.

Run it with `make faults`. A small company's first two days run once undisturbed. Then they run in
processes of their own that kill themselves with SIGKILL: just before each write, and once more soon after
it began. After each kill the task that was killed is run again, as a workspace retries it. In the end all
tables, registered versions with their tags, aliases, and files of the volume are compared.
"""

from __future__ import annotations

import argparse
import datetime as dt
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from engine import environment, jobs
from engine.data.tables import TABLES
from engine.jobs import Run
from engine.local.lock import writer
from engine.local.session import session, stop
from engine.writes import watched

REPOSITORY = Path(__file__).parent.parent
FIRST, DAYS = dt.date(2026, 3, 2), 2
STAGES = (
    "data_generation",
    "feature_engineering",
    "model_training",
    "batch_inference",
    "monitoring",
    "promotion",
)
SMALL = {
    "sources/simulation.yml": {"customers": 200, "history_days": 16},
    "engine.yml": {"training.reserve_days": 5, "gate.margin": 0.5},
}
SOON = 0.5  # seconds within which the second kill of a write comes


def digest(spark: Any, name: str) -> tuple[Any, ...]:
    """The number of rows of a table and a sum over their hashes, run metadata aside."""
    rows = spark.sql(f"SELECT * FROM {name}")
    names = [each for each in rows.columns if each != "run_id" and not each.endswith("_at")]
    line = f"to_json(struct({', '.join(f'`{each}`' for each in sorted(names))}))"
    hashes = f"cast(sum(cast(xxhash64({line}) AS DECIMAL(38, 0))) AS STRING)"
    return tuple(rows.selectExpr("count(*)", hashes).first() or ())


def left(run: Run) -> dict[str, Any]:
    """What stands after a run: table -> digest, versions' tags, aliases, the volume's files."""
    tables = {
        table: digest(run.spark, run.tables.name(table))
        for table in TABLES
        if run.tables.exists(table)
    }
    volume = run.parameters.volume
    files = {
        str(path.relative_to(volume)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in volume.rglob("*")
        if path.is_file()
    }
    versions = {each.number: dict(each.tags) for each in run.registry.versions()}
    names = ("candidate", "staging", "champion")
    aliases = {name: run.registry.alias(name) for name in names}
    return {**tables, "versions": versions, "aliases": aliases, "files": files}


class Killer:
    """Kills this process at each write twice: before it, and soon after it began.

    Args:
        record: a file with a line for each kill so far.
    """

    def __init__(self, record: Path) -> None:
        self.record = record
        self.done = record.read_text().splitlines() if record.exists() else []
        self.killed_in = self.done[-1].split(": ")[0].split(" ", 1)[1] if self.done else ""
        self.place, self.armed, self.resumed = "", False, not self.done

    def __call__(self, write: str) -> None:
        """Called before each write."""
        name = f"{self.place}: {write}"
        if self.armed:
            return
        if f"before {name}" not in self.done:
            self._note(f"before {name}")
            os.kill(os.getpid(), signal.SIGKILL)
        if f"after {name}" not in self.done:
            self._note(f"after {name}")
            self.armed = True
            delay = random.Random(name).uniform(0, SOON)
            threading.Timer(delay, os.kill, (os.getpid(), signal.SIGKILL)).start()

    def at(self, place: str) -> bool:
        """Note the day and stage; False for those before the task that was killed last."""
        self.place = place
        self.resumed = self.resumed or place == self.killed_in
        return self.resumed

    def _note(self, line: str) -> None:
        with self.record.open("a") as file:
            file.write(f"{line}\n")


def days(root: Path, killer: Callable[[str], None], at: Callable[[str], bool]) -> None:
    """Run the stages of all days in this process, and write what they leave to `left.json`.

    Args:
        root: folder of the run.
        killer: called before each write.
        at: told each day and stage; whether it is to be run.
    """
    environment.set_local_root(root)
    with writer(root, "faults"), watched(killer):
        spark = session(root, "juan_dev", cache=REPOSITORY / ".local")
        spark.sql("CREATE SCHEMA IF NOT EXISTS juan_dev.faults")
        for number in range(DAYS):
            day = FIRST + dt.timedelta(days=number)
            values = {
                "catalog": "juan_dev",
                "schema": "faults",
                "as_of": str(day),
                "source": "",
                "source_path": "",
                "conf_dir": str(root / "conf"),
                "volume": str(root / "volume"),
                "experiment": "/faults",
            }
            for stage in STAGES:
                if not at(f"{day} {stage}"):
                    continue
                result = getattr(jobs, stage)(Run.of(spark, values))
                print(f"{day} {stage}: {result.summary}", flush=True)
        (root / "left.json").write_text(json.dumps(left(Run.of(spark, values))))
        stop(spark)


def child(root: Path, kill: bool) -> None:
    """One process, with or without kills."""
    if not kill:
        days(root, lambda write: None, lambda place: True)
        return
    killer = Killer(root.with_name("kills.txt"))
    days(root, killer, killer.at)


def prepared(root: Path) -> Path:
    """A folder with the small company's configuration."""
    (root / "volume").mkdir(parents=True)
    shutil.copytree(REPOSITORY / "conf", root / "conf")
    for file, values in SMALL.items():
        data = yaml.safe_load((root / "conf" / file).read_text())
        for path, value in values.items():
            *sections, key = path.split(".")
            place = data
            for section in sections:
                place = place[section]
            place[key] = value
        (root / "conf" / file).write_text(yaml.safe_dump(data, sort_keys=False))
    return root


def run_in_a_process(root: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Start this module's child and wait for it."""
    command = [sys.executable, "-m", "benchmarks.faults", "--child", str(root), *options]
    return subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, check=False)


def main() -> int:
    """Run undisturbed, then killed; print the table; 1 if anything differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--kill", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child, options.kill)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        return compared(Path(folder))


def compared(folder: Path) -> int:
    """Both runs in a folder; prints kills and differences by stage."""
    calm, killed = prepared(folder / "calm" / "dev"), prepared(folder / "killed" / "dev")
    ended = run_in_a_process(calm)
    print(ended.stdout or ended.stderr, flush=True)
    ended.check_returncode()
    began = time.monotonic()
    while (ended := run_in_a_process(killed, "--kill")).returncode == -signal.SIGKILL:
        last = killed.with_name("kills.txt").read_text().splitlines()[-1]
        print(f"{time.monotonic() - began:6.0f} s  killed {last}", flush=True)
    print(ended.stderr[-2_000:] if ended.returncode else "", end="", flush=True)
    ended.check_returncode()
    kills = killed.with_name("kills.txt").read_text().splitlines()
    by_stage = Counter((line.split()[0], line.split()[2].rstrip(":")) for line in kills)
    print("\n| stage | killed before a write | killed soon after it began |\n| --- | --- | --- |")
    for stage in STAGES:
        print(f"| {stage} | {by_stage['before', stage]} | {by_stage['after', stage]} |")
    one, other = (json.loads((root / "left.json").read_text()) for root in (calm, killed))
    differing = [name for name in {**one, **other} if one.get(name) != other.get(name)]
    for name in differing:
        print(f"{name} differs: {one.get(name)} and {other.get(name)}")
    print(f"{len(kills)} kills; {len(one)} tables and other records; {len(differing)} differ")
    return int(bool(differing))


if __name__ == "__main__":
    sys.exit(main())
