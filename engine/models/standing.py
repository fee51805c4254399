"""The models in force on a day: champion, previous champion, lineage on trial, its evidence."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from functools import cached_property
from typing import Optional

import pandas as pd

from engine.config import Config
from engine.data.tables import Tables, sql_list
from engine.models.baselines import PREFIX, baseline
from engine.models.registry import Registry
from policies import Policy
from policies.judging.aliases import AliasHistory
from policies.judging.lineages import Lineage, RecordedVerdict, TrainedVersion, lineages, on_trial


@dataclass(frozen=True, eq=False)
class ModelState:
    """What is in force on a day, from `promotions`, `verdicts` and the versions' tags.

    Read once, so one stage sees one state of things.
    """

    tables: Tables
    registry: Registry
    config: Config
    as_of: dt.date

    @cached_property
    def history(self) -> AliasHistory:
        """All recorded moves of the model's aliases."""
        self.tables.ensure("promotions")
        own = f"model_name IN ({sql_list([self.registry.model_name])})"
        return AliasHistory.from_frame(self.tables.read("promotions").where(own).toPandas())

    @cached_property
    def champion(self) -> str:
        """Who decides on the day: a version's number, or the baseline of the configuration."""
        return self.history.version("champion", self.as_of) or self.config.engine.gate.incumbent

    @cached_property
    def previous(self) -> Optional[str]:
        """The champion before, while a share of customers still stays with it."""
        move = self.history.previous_champion(self.as_of)
        return (move.from_version or self.config.engine.gate.incumbent) if move else None

    @cached_property
    def lineages(self) -> list[Lineage]:
        """The lineages that had started by the day."""
        versions = self.registry.versions()
        trained = (TrainedVersion.from_tags(version.number, version.tags) for version in versions)
        return lineages(trained, self.as_of)

    @cached_property
    def lineage(self) -> Optional[Lineage]:
        """The lineage that the day's gate judges; None when its trial ended on an earlier day."""
        return self._on_trial(self.lineages)

    @cached_property
    def lineage_before(self) -> Optional[Lineage]:
        """The lineage that was on trial when the day began, and goes on being trained."""
        return self._on_trial(
            [lineage for lineage in self.lineages if lineage.started < self.as_of]
        )

    def policy(self, name: str) -> Policy:
        """The policy of a version's number or of a baseline's name, for today's catalogue."""
        if name.startswith(PREFIX):
            return baseline(name, self.config)
        policy, catalogue = self.registry.load(name), self.config.catalogue
        if policy.action_ids == catalogue.action_ids:
            return policy
        return policy.for_actions(catalogue.action_ids, catalogue.action_features)

    def full_name(self, name: str) -> str:
        """As people read it: a baseline's name, or `catalog.schema.model:3`."""
        return name if name.startswith(PREFIX) else f"{self.registry.model_name}:{name}"

    def learned_until(self, name: str) -> Optional[dt.date]:
        """The first day whose decisions a version may be judged on; None for a baseline."""
        if name.startswith(PREFIX):
            return None
        return dt.date.fromisoformat(self.registry.version(name).tags["trained_through"])

    def unseen_from(self, *names: str) -> Optional[dt.date]:
        """The first day that none of these policies has learned from."""
        days = [day for day in map(self.learned_until, names) if day]
        return max(days, default=None)

    def baselines(self) -> list[str]:
        """Names of the policies that need no learning."""
        fixed = [f"{PREFIX}fixed:{action}" for action in self.config.catalogue.action_ids]
        rules = [f"{PREFIX}business_rules"] if self.config.rules else []
        return [*rules, f"{PREFIX}uniform", *fixed]

    def evidence(self) -> pd.DataFrame:
        """The frozen days of the lineage on trial against the champion, oldest first."""
        assert self.lineage is not None
        self.tables.ensure("evidence")
        rows = self.tables.read("evidence").where(
            f"lineage IN ({sql_list([self.lineage.name])}) "
            f"AND incumbent IN ({sql_list([self.champion])}) "
            f"AND frozen_as_of <= DATE '{self.as_of}'"
        )
        return rows.orderBy("decision_date").toPandas()

    def _on_trial(self, known: list[Lineage]) -> Optional[Lineage]:
        self.tables.ensure("verdicts")
        rows = self.tables.read("verdicts").select(*RecordedVerdict._fields).toPandas()
        verdicts = [RecordedVerdict(*row) for row in rows.itertuples(index=False)]
        return on_trial(known, verdicts, self.as_of, self.config.engine.gate.trial_days)
