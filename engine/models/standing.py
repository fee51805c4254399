"""The models in force on a day: champion, previous champion, lineage on trial, its evidence."""

from __future__ import annotations

import datetime as dt
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import Optional

import numpy as np
import pandas as pd

from engine.config import Config
from engine.data.rewards import without_replaced
from engine.data.tables import Tables, sql_list
from engine.feature_definitions import FeatureDefinitions
from engine.models.baselines import baseline
from engine.models.lineage_table import Rows, recorded_versions, trained_versions
from engine.models.registry import Registry
from engine.refs import PolicyRef
from policies import Policy
from policies.errors import ModelFileError, NbaError
from policies.judging.aliases import AliasHistory
from policies.judging.lineages import Lineage, RecordedVerdict, lineages, on_trial


@dataclass(frozen=True, eq=False)
class ModelState:
    """What is in force on a day, from `promotions`, `verdicts` and the versions' tags.

    Read once, so that all of a stage sees the same state. A version is not in force if its files
    are refused or if it reads features that are no longer declared: the incumbent of the
    configuration stands in for it, and `refused` says why.
    """

    tables: Tables
    registry: Registry
    config: Config
    as_of: dt.date
    refused: dict[str, str] = field(default_factory=dict)  # numbers of versions, and why

    @cached_property
    def history(self) -> AliasHistory:
        """All recorded moves of the model's aliases."""
        own = self.tables.read_if_any("promotions").where(self._own)
        return AliasHistory.from_frame(own.toPandas())

    @cached_property
    def verdicts(self) -> pd.DataFrame:
        """The rows of `verdicts` about the model, oldest first."""
        return self.tables.read_if_any("verdicts").where(self._own).orderBy("as_of").toPandas()

    @cached_property
    def recorded(self) -> Rows:
        """The rows of `lineages` by version."""
        return recorded_versions(self.tables)

    @property
    def _own(self) -> str:
        return f"model_name IN ({sql_list([self.registry.model_name])})"

    @cached_property
    def champion(self) -> PolicyRef:
        """The policy that decides on the day: a version, or the incumbent of the configuration."""
        return self._or_incumbent(self.history.version("champion", self.as_of))

    @cached_property
    def previous(self) -> Optional[PolicyRef]:
        """The champion before, while a share of customers still stays with it."""
        move = self.history.previous_champion(self.as_of)
        return self._or_incumbent(move.from_version) if move else None

    @cached_property
    def lineages(self) -> list[Lineage]:
        """The lineages that had started by the day."""
        return lineages(trained_versions(self.recorded, self.registry.versions()), self.as_of)

    @cached_property
    def lineage(self) -> Optional[Lineage]:
        """The lineage that the day's gate judges; None when its trial ended on an earlier day."""
        return self._on_trial(self.lineages)

    @cached_property
    def lineage_before(self) -> Optional[Lineage]:
        """The lineage that was on trial when the day began, and goes on being trained."""
        return self._on_trial([known for known in self.lineages if known.started < self.as_of])

    @property
    def refusals(self) -> str:
        """What a stage's summary says of refused versions; empty where there are none."""
        return "".join(f"; version {number} REFUSED: {why}" for number, why in self.refused.items())

    def usable(self, ref: PolicyRef) -> Optional[Policy]:
        """The policy; None where it is refused."""
        with suppress(ModelFileError):
            return self.policy(ref)
        return None

    def policy(self, ref: PolicyRef) -> Policy:
        """A version's policy, for today's catalogue, or a baseline."""
        return baseline(ref, self.config) if ref.is_baseline else self.load(ref.version)

    def load(self, number: str) -> Policy:
        """The policy of a version, for today's catalogue.

        Raises:
            ModelFileError: its files are not those that were registered, or it reads a feature that
                `conf/features.yml` no longer declares; `refused` notes it.
        """
        try:
            policy, catalogue = self.registry.load(number), self.config.catalogue
            _check_features(policy, self.config.features)
        except ModelFileError as error:
            self.refused[number] = error.what
            raise
        if policy.action_ids == catalogue.action_ids:
            return policy
        return policy.for_actions(catalogue.action_ids, catalogue.action_features)

    def full_name(self, ref: PolicyRef) -> str:
        """As people read it: a baseline's name, or `catalog.schema.model:3`."""
        return str(ref.of(self.registry.model_name))

    def unseen_from(self, *refs: PolicyRef) -> Optional[dt.date]:
        """The first day that none of these policies has learned from; None if none has learned."""
        versions = [self.registry.version(ref.version) for ref in refs if not ref.is_baseline]
        days = [dt.date.fromisoformat(version.tags["trained_through"]) for version in versions]
        return max(days, default=None)

    def baselines(self) -> list[PolicyRef]:
        """The policies that need no learning; the business rules only where there are any."""
        rules = bool(self.config.rules)
        return [ref for ref in self.config.baselines if rules or ref.name != "business_rules"]

    def evidence(self) -> pd.DataFrame:
        """The frozen days of the lineage on trial against the champion, oldest first."""
        assert self.lineage is not None
        rows = self.tables.read_if_any("evidence").where(
            f"lineage IN ({sql_list([self.lineage.name])}) "
            f"AND incumbent IN ({sql_list([str(self.champion)])}) "
            f"AND frozen_as_of <= DATE '{self.as_of}'"
        )
        return without_replaced(self.tables, rows).orderBy("decision_date").toPandas()

    def _on_trial(self, known: list[Lineage]) -> Optional[Lineage]:
        rows = self.verdicts[list(RecordedVerdict._fields)]
        verdicts = [RecordedVerdict(*row) for row in rows.itertuples(index=False)]
        return on_trial(known, verdicts, self.as_of, self.config.engine.gate.trial_days)

    def _or_incumbent(self, number: Optional[str]) -> PolicyRef:
        ref = PolicyRef.parse(number or self.config.engine.gate.incumbent)
        return ref if ref.is_baseline or self.usable(ref) else self._or_incumbent(None)


def _check_features(policy: Policy, declared: FeatureDefinitions) -> None:
    """Ask the policy about a customer of whom nothing is known."""
    numbers = ("double", "float", "bigint", "int")
    unknown = {name: np.nan if kind in numbers else None for name, kind in declared.types.items()}
    try:
        policy.distribution(pd.DataFrame([unknown]))
    except NbaError as error:
        raise ModelFileError(
            f"it does not fit conf/features.yml: {error.what}",
            hint="declare the feature again, or wait until a version with today's is promoted",
        ) from error
