"""A small loop on real Spark, Delta and MLflow: its first day has been run."""

from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

import pandas as pd
import pytest
import yaml

from engine import environment, jobs
from engine.data.tables import TABLES, Tables
from engine.jobs import Result, Run
from engine.models.registry import Registry
from simulation import World

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

STAGES = (
    "data_generation",
    "feature_engineering",
    "model_training",
    "batch_inference",
    "monitoring",
    "promotion",
)
# What ships, in small. A key path is written with dots.
SMALL = {
    "sources/simulation.yml": {"customers": 600, "history_days": 20},
    "engine.yml": {"training.reserve_days": 5},
}


class Loop:
    """The stages of a day on the tables of one schema.

    Args:
        spark: the shared session.
        root: folder of the local run: registry, volume and the changed configuration.
        conf: the configuration's folder.
        schema: where the tables are.
        first: the first day.
        given: further job parameters.
    """

    stages = STAGES

    def __init__(
        self,
        spark: SparkSession,
        root: Path,
        conf: Path,
        schema: str,
        first: dt.date,
        given: Mapping[str, str] = {},
    ) -> None:
        self.spark, self.root, self.conf, self.schema = spark, root, conf, schema
        self.first, self.second = first, first + dt.timedelta(days=1)
        self.given = dict(given)
        self.results: dict[tuple[dt.date, str], Result] = {}

    def parameters(self, day: dt.date) -> dict[str, str]:
        """The job parameters of a day, as texts."""
        return {
            "catalog": "juan_dev",
            "schema": self.schema,
            "as_of": str(day),
            "source": "",
            "source_path": "",
            "conf_dir": str(self.conf),
            "volume": str(self.root / "volume"),
            "experiment": "/tests/story",
            **self.given,
        }

    def run_of(self, day: dt.date) -> Run:
        """What a stage gets; a new one each time, as each notebook makes its own."""
        environment.set_local_root(self.root)
        return Run.of(self.spark, self.parameters(day))

    def stage(self, name: str, day: dt.date) -> Result:
        """Run one of `STAGES` for a day; the newest result is kept in `results`."""
        result = getattr(jobs, name)(self.run_of(day))
        self.results[day, name] = result
        return result

    def run(self, day: dt.date) -> dict[str, Result]:
        """Run all stages of a day in order."""
        return {name: self.stage(name, day) for name in STAGES}

    @cached_property
    def world(self) -> World:
        """Another instance of the world that answers."""
        simulated = self.run_of(self.first).simulated
        assert simulated is not None
        return simulated.world

    @cached_property
    def tables(self) -> Tables:
        """The tables, to look at."""
        return self.run_of(self.first).tables

    @cached_property
    def registry(self) -> Registry:
        """The versions and aliases, to look at."""
        return self.run_of(self.first).registry

    def frame(self, table: str, where: str = "true") -> pd.DataFrame:
        """Rows of a table as pandas, sorted by the table's key."""
        rows = self.tables.read_if_any(table).where(where).orderBy(*TABLES[table].keys)
        return rows.toArrow().to_pandas(date_as_object=False)

    def content(self) -> dict[str, Any]:
        """All that stands at this moment: each table's Delta version, model versions, aliases."""
        warehouse = str(self.spark.conf.get("spark.sql.warehouse.dir")).removeprefix("file:")
        logs = (Path(warehouse) / f"{self.tables.schema}.db").glob("*/_delta_log")
        found: dict[str, Any] = {
            log.parent.name: max(int(each.stem) for each in log.glob("*.json")) for log in logs
        }
        found["versions"] = {each.number: dict(each.tags) for each in self.registry.versions()}
        names = ("candidate", "staging", "champion")
        return {**found, "aliases": {name: self.registry.alias(name) for name in names}}

    def rewritten(self, before: dict[str, Any]) -> dict[str, bool]:
        """The tables with new commits since `before`, a `content()`: whether rows differ.

        Row order, `run_id` and columns that end in `_at` do not count.
        """
        now = self.content()
        return {
            table: self._digest(table, number) != self._digest(table, before.get(table))
            for table, number in now.items()
            if table in TABLES and number != before.get(table)
        }

    def _digest(self, table: str, number: Optional[int]) -> Any:
        if number is None:
            return None
        rows = self.spark.sql(f"SELECT * FROM {self.tables.name(table)} VERSION AS OF {number}")
        names = [each for each in rows.columns if each != "run_id" and not each.endswith("_at")]
        line = f"to_json(struct({', '.join(f'`{name}`' for name in sorted(names))}))"
        digest = f"cast(sum(cast(xxhash64({line}) AS DECIMAL(38, 0))) AS STRING)"
        return tuple(rows.selectExpr("count(*)", digest).first() or ())


def changed(conf: Path, changes: Mapping[str, Mapping[str, Any]]) -> None:
    """Set keys of YAML files in place."""
    for file, values in changes.items():
        data = yaml.safe_load((conf / file).read_text())
        for path, value in values.items():
            *sections, key = path.split(".")
            place = data
            for section in sections:
                place = place[section]
            place[key] = value
        (conf / file).write_text(yaml.safe_dump(data, sort_keys=False))


@pytest.fixture(scope="session")
def new_loop(
    spark: SparkSession, repository: Path, tmp_path_factory: pytest.TempPathFactory
) -> Any:
    """(schema, first day, changed keys by file, further parameters) -> a `Loop` with no day run."""

    def made(
        schema: str,
        first: dt.date,
        changes: Mapping[str, Mapping[str, Any]] = SMALL,
        **given: str,
    ) -> Loop:
        spark.sql(f"DROP SCHEMA IF EXISTS juan_dev.{schema} CASCADE")  # an earlier loop's
        root = tmp_path_factory.mktemp(schema)
        (root / "volume").mkdir()
        shutil.copytree(repository / "conf", root / "conf")
        changed(root / "conf", changes)
        return Loop(spark, root, root / "conf", schema, first, given)

    return made


@pytest.fixture(scope="session")
def loop(new_loop: Any) -> Loop:
    """A world of 600 customers with 20 days of past, and its first day, 2026-03-02, fully run.

    Offers `first` and `second` (days), `run(day)`, `stage(name, day)`, `results`,
    `frame(table, where)` (pandas), `content()` (what stands: equal before and after means nothing
    was written, registered or moved) and `rewritten(before)` (tables with new commits, and whether
    their rows differ), `tables`, `registry`, `world`, `run_of(day)` (a `Run`), `parameters(day)`,
    `root`, `conf`, `schema`. All tests share it and others may have run the second day, so look at days by name,
    and leave the days up to the second as they are.
    """
    made = new_loop("story", dt.date(2026, 3, 2))
    made.run(made.first)
    return made
