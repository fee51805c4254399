"""A run that is stopped before any of its writes: the next run leaves what an undisturbed one had."""

from __future__ import annotations

import datetime as dt
import hashlib
from typing import Any

import pytest

from engine.data.tables import TABLES
from engine.writes import watched

FIRST = dt.date(2026, 3, 2)
FACTS = ("customers", "outcomes", "events", "decisions")


class StoppedHereError(Exception):
    """Stands for the end of the process."""


class StopOnce:
    """Stops at each write the first time that it comes.

    Args:
        kinds: stop once at each kind of write, whichever table it is of.
    """

    def __init__(self, kinds: bool = False) -> None:
        self.at: list[str] = []
        self.kinds = kinds

    def __call__(self, write: str) -> None:
        """Raise where the write is a new one."""
        write = write.partition(" of ")[0] if self.kinds else write
        if write not in self.at:
            self.at.append(write)
            raise StoppedHereError(write)


def everything(loop: Any) -> dict[str, Any]:
    """The rows of all tables, the versions with their tags, the aliases, and the volume's files."""
    stands = loop.content()
    found = {
        table: loop._digest(table, number) for table, number in stands.items() if table in TABLES
    }
    files = [path for path in (loop.root / "volume").rglob("*") if path.is_file()]
    volume = {
        str(path.relative_to(loop.root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }
    return {**found, "files": volume, **{name: stands[name] for name in ("versions", "aliases")}}


def stopped_everywhere(loop: Any, stage: str, day: dt.date, kinds: bool = False) -> list[str]:
    """Run a stage until it is not stopped any more; the writes at which it was."""
    stop = StopOnce(kinds)
    with watched(stop):
        while True:
            before = len(stop.at)
            try:
                loop.stage(stage, day)
            except StoppedHereError:
                assert len(stop.at) == before + 1
                continue
            return stop.at


@pytest.fixture
def fresh(spark: Any, new_loop: Any) -> Any:
    """(name) -> a loop without any table; the schema's name is the same for all of them."""

    def made(schema: str = "faults") -> Any:
        return new_loop(schema, FIRST)

    yield made
    spark.sql("DROP SCHEMA IF EXISTS juan_dev.faults CASCADE")


@pytest.mark.slow
def test_a_stage_stopped_before_any_of_its_writes_is_completed(fresh: Any) -> None:
    """Every stage, stopped once at each write and run again, ends as if it had not been stopped."""
    calm = fresh()
    calm.run(calm.first)
    expected = everything(calm)
    stopped = fresh()
    for stage in stopped.stages:
        assert stopped_everywhere(stopped, stage, stopped.first)
    assert everything(stopped) == expected


@pytest.mark.slow
def test_the_next_day_completes_a_first_day(fresh: Any) -> None:
    """However much of the first day's facts was written, the next day's run brings all of them."""
    calm = fresh()
    calm.stage("data_generation", calm.first)
    calm.stage("data_generation", calm.second)
    expected = {table: everything(calm)[table] for table in FACTS}
    stop = StopOnce()
    for past in range(1, 20):
        loop = fresh()
        stop.at = stop.at[:past]
        with watched(stop), pytest.raises(StoppedHereError):
            loop.stage("data_generation", loop.first)
        if stop.at[-1] == "create completed_stages":
            break
        loop.stage("data_generation", loop.second)
        if stop.at[-1] != "create customers":  # where nothing is written the second day is a first
            assert {table: everything(loop)[table] for table in FACTS} == expected, stop.at[-1]
    assert len(stop.at) >= 9
