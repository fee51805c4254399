"""The run of a stage: the job parameters with the configuration, tables and models they name."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Optional

import pandas as pd
from pyspark.sql import SparkSession

from engine import environment
from engine.config import Config, load_config
from engine.data.sources.facts import SOURCE_PROPERTY, Source
from engine.data.sources.log_file import LogFile
from engine.data.sources.upstream import Upstream
from engine.data.tables import Tables
from engine.errors import JobError
from engine.models.registry import Registry
from engine.models.standing import ModelState
from engine.parameters import SIMULATION, Parameters
from engine.promotion.moves import reconcile
from engine.source_definitions import LogSource, TablesSource
from engine.world.source import KNOWN, Simulated

MODEL = "next_best_action"


@dataclass(frozen=True)
class Result:
    """The result of a stage.

    Args:
        summary: one line.
        rows: table -> how many rows were written.
        closing: lines for the end of a run, when this stage is its last.
    """

    summary: str
    rows: Mapping[str, int] = field(default_factory=dict)
    closing: tuple[str, ...] = ()

    def to_json(self) -> str:
        """What the notebook exits with."""
        return json.dumps(asdict(self))


@dataclass(frozen=True, eq=False)
class Run:
    """One run of a stage for one day.

    Args:
        spark: the session.
        parameters: the job parameters.
        config: the configuration of the parameters' source.
        tables: the tables of the source's schema.
        registry: the versions of its model.
    """

    spark: SparkSession
    parameters: Parameters
    config: Config
    tables: Tables
    registry: Registry

    @classmethod
    def of(cls, spark: SparkSession, values: Mapping[str, str]) -> Run:
        """From the job parameters as texts.

        Raises:
            ConfigError: a parameter or the configuration is wrong; no table has been touched.
        """
        parameters = Parameters.parse(values)
        config = load_config(parameters.conf_dir, parameters.source, KNOWN)
        schema = _schema_of(spark, parameters)
        model = f"{parameters.catalog}.{schema}.{MODEL}"
        return cls(
            spark,
            parameters,
            config,
            Tables(spark, parameters.catalog, schema, parameters.volume),
            Registry(model, parameters.experiment, environment.local_root()),
        )

    @classmethod
    def from_widgets(cls, spark: SparkSession, get: Callable[[str], str]) -> Run:
        """From a notebook's widgets: `Run.from_widgets(spark, …widgets.get)`."""
        return cls.of(spark, {name: get(name) for name in Parameters.names()})

    @cached_property
    def simulated(self) -> Optional[Simulated]:
        """The simulated company; None where the source is a real log."""
        return Simulated.from_config(self.config)

    @cached_property
    def source(self) -> Source:
        """The source of this run's facts."""
        described = self.config.source
        if isinstance(described, TablesSource):
            return Upstream(self.config, described)
        if isinstance(described, LogSource):
            return LogFile(self.config, described)
        assert self.simulated is not None
        return self.simulated

    @property
    def features(self) -> Mapping[str, str]:
        """The context columns of this source, with their SQL types."""
        return self.config.features.types

    @cached_property
    def standing(self) -> ModelState:
        """The models in force and on trial on the day, read at first use."""
        return ModelState(self.tables, self.registry, self.config, self.parameters.as_of)

    @property
    def place(self) -> str:
        """`catalog.schema`, where the tables are."""
        return f"{self.tables.catalog}.{self.tables.schema}"

    def reconcile(self) -> None:
        """Complete what a stopped run left in the registry, `lineages` and `promotions`."""
        if reconcile(self.standing, now()):
            vars(self).pop("standing")

    def allow_replacement(self, reason: str, actor: str) -> None:
        """Record that the day's decisions may change although they were acted on.

        The day then judges and teaches nothing.

        Raises:
            JobError: no reason is given.
        """
        if not reason.strip():
            raise JobError("A replacement of decisions needs a reason.", hint="--reason TEXT")
        row = {"decision_date": self.parameters.as_of, "reason": reason, "actor": actor}
        self.tables.add_rows("replaced_decisions", pd.DataFrame([{**row, "replaced_at": now()}]))

    def complete(self, stage: str) -> None:
        """Record that all of the stage's writes for the day are made; the last write of a stage."""
        row = {"as_of": self.parameters.as_of, "stage": stage, "completed_at": now()}
        self.tables.add_rows("completed_stages", pd.DataFrame([row]))

    def require(self, stage: str, job: str) -> None:
        """Make sure that a stage of the day is complete.

        Raises:
            JobError: it has not run, or was stopped between two of its writes.
        """
        day = self.parameters.as_of
        where = f"as_of = DATE '{day}' AND stage = '{stage}'"
        if not self.tables.count("completed_stages", where):
            raise JobError(
                f"The stage {stage} is not complete for {day}.",
                where=f"{self.place}.completed_stages",
                hint=f"run {job} with as_of={day}; it completes what an earlier run left",
            )


def _schema_of(spark: SparkSession, parameters: Parameters) -> str:
    """The schema of a source: the given one, or one of its own where that belongs to another.

    Logs of different sources have other customers, actions and features; they never share tables.
    """
    given = Tables(spark, parameters.catalog, parameters.schema, parameters.volume)
    if not given.exists("customers"):
        return parameters.schema
    owner = given.properties("customers").get(SOURCE_PROPERTY, SIMULATION)
    return (
        parameters.schema
        if owner == parameters.source
        else f"{parameters.schema}_{parameters.source}"
    )


def now() -> dt.datetime:
    """The clock, for columns that say when something was written; nothing else depends on it."""
    return dt.datetime.now(dt.timezone.utc)
