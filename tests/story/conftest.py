"""A small loop on real Spark, Delta and MLflow: its first day has been run."""

from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest
import yaml

from engine import environment, jobs
from engine.data.tables import TABLES
from engine.jobs import Result, Run
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
# Small data in one process: interpreted plans start faster than compiled ones. Tests only.
FAST = {
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.sql.adaptive.enabled": "false",
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
        self._digests: dict[tuple[str, int], Any] = {}

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
        world = self.run_of(self.first).world
        assert world is not None
        return world

    def frame(self, table: str, where: str = "true") -> pd.DataFrame:
        """Rows of a table as pandas, sorted by the table's key."""
        run = self.run_of(self.first)
        rows = run.tables.read(table).where(where).orderBy(*TABLES[table].keys)
        return rows.toArrow().to_pandas(date_as_object=False)

    def commits(self) -> dict[str, int]:
        """The newest version of each table in its Delta log."""
        warehouse = str(self.spark.conf.get("spark.sql.warehouse.dir")).replace("file:", "")
        logs = (Path(warehouse) / f"{self.run_of(self.first).tables.schema}.db").glob(
            "*/_delta_log"
        )
        return {log.parent.name: max(int(each.stem) for each in log.glob("*.json")) for log in logs}

    def content(self) -> dict[str, Any]:
        """Row count and digest of every table, the versions with their tags, and the aliases.

        Row order, `run_id` and columns that end in `_at` do not count.
        """
        registry = self.run_of(self.first).registry
        tables = {name: self._digest(name, number) for name, number in self.commits().items()}
        versions = {each.number: dict(each.tags) for each in registry.versions()}
        aliases = {name: registry.alias(name) for name in ("candidate", "staging", "champion")}
        return {"tables": tables, "versions": versions, "aliases": aliases}

    def _digest(self, table: str, number: int) -> Any:
        if (table, number) not in self._digests:
            rows = self.run_of(self.first).tables.read(table)
            names = [each for each in rows.columns if each != "run_id" and not each.endswith("_at")]
            line = f"to_json(struct({', '.join(f'`{name}`' for name in sorted(names))}))"
            digest = f"cast(sum(cast(xxhash64({line}) AS DECIMAL(38, 0))) AS STRING)"
            found = rows.selectExpr("count(*)", digest).first()
            self._digests[table, number] = tuple(found or ())
        return self._digests[table, number]


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
    for name, value in FAST.items():
        spark.conf.set(name, value)

    def made(
        schema: str, first: dt.date, changes: Mapping[str, Mapping[str, Any]], **given: str
    ) -> Loop:
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
    `frame(table, where)` (pandas), `content()` (a digest of all there is, without what tells of
    the run), `commits()`, `run_of(day)` (a `Run`), `parameters(day)`, `world`, `root`, `conf`,
    `schema`. All tests share it and others may have run the second day, so look at days by name,
    and leave the days up to the second as they are.
    """
    made = new_loop("story", dt.date(2026, 3, 2), SMALL)
    made.run(made.first)
    return made
