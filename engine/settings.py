"""The sections of the YAML files under `conf`: their keys, types and limits."""

from __future__ import annotations

import datetime as dt
from typing import Any, Optional

from pydantic import BaseModel, ConfigDict, Field, model_validator

from policies.catalogue import NO_CHANNEL
from policies.judging.selection import GRID


class Section(BaseModel):
    """A section of a YAML file; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Reward(Section):
    """What a decision earns: outcome values in its window, minus the action's cost."""

    outcomes: dict[str, float] = Field(min_length=1)
    window_days: int = Field(ge=1, le=90)
    lag_days: int = Field(ge=0, le=90)
    range: tuple[float, float]

    @model_validator(mode="after")
    def _ordered(self) -> Reward:
        if not self.range[0] < self.range[1]:
            raise ValueError("range must be [lowest, highest]")
        return self

    @property
    def matured_after_days(self) -> int:
        """Days from a decision's date to the first `as_of` at which its reward is complete."""
        return self.window_days + self.lag_days + 1


class GroupShares(Section):
    """Shares of customers that are drawn uniformly, held out, or stay with the old champion."""

    uniform: float = Field(ge=0, lt=1)
    holdout: float = Field(ge=0, lt=1)
    previous: float = Field(ge=0, lt=1)


class Exploration(Section):
    """How much every deployed policy explores."""

    floor: float = Field(ge=0, lt=0.5)


class BusinessRule(Section):
    """Take `action` where the predicate `when` is true."""

    when: str
    action: str


class Training(Section):
    """Which days fit, select, and are reserved for the gate; and the settings that are tried."""

    reserve_days: int = Field(ge=1)
    fit_share: float = Field(gt=0, lt=1)
    describe_actions: bool = False
    grid: tuple[dict[str, Any], ...] = GRID


class GateSettings(Section):
    """How much evidence a promotion needs, and how long a trial may last."""

    incumbent: str
    alpha: float = Field(gt=0, lt=0.5)
    margin: float = Field(ge=0)
    minimum_effect: float = Field(gt=0)
    trial_days: int = Field(ge=1)


class Drift(Section):
    """The change of a feature's distribution that counts as drift."""

    psi: float = Field(gt=0)


class EngineConfig(Section):
    """`conf/engine.yml`."""

    reward: Reward
    groups: GroupShares
    exploration: Exploration
    business_rules: tuple[BusinessRule, ...] = ()
    training: Training
    gate: GateSettings
    drift: Drift


class ActionEntry(Section):
    """One action of `conf/actions.yml`."""

    id: str = Field(min_length=1, pattern=r"^[A-Za-z0-9_]+$")
    name: str
    group: str
    channel: str = NO_CHANNEL
    valid_from: Optional[dt.date] = None
    valid_to: Optional[dt.date] = None
    value: float = 0.0
    cost: float = 0.0
    eligible_when: Optional[str] = None
    applicable_when: Optional[str] = None
    suitable_when: Optional[str] = None
    features: dict[str, Any] = Field(default_factory=dict)


class CatalogueFile(Section):
    """`conf/actions.yml`."""

    currency: str
    actions: tuple[ActionEntry, ...] = Field(min_length=2)


class SourceFile(Section):
    """The file a log is read from."""

    format: str = Field(pattern="^csv$")
    sha256: Optional[str] = Field(default=None, pattern="^[0-9a-f]{64}$")


class SyntheticDays(Section):
    """The days over which the rows of a log without dates are spread."""

    start: dt.date
    days: int = Field(ge=1)


class SourceColumns(Section):
    """How the columns of an imported log map to this engine's."""

    action: str
    actions: dict[str, str] = Field(min_length=2)
    action_probability: float = Field(gt=0, le=1)
    outcomes: dict[str, str] = Field(min_length=1)
    amount: Optional[str] = None
    features: dict[str, str] = Field(min_length=1)


class SourceConfig(Section):
    """`conf/sources/NAME.yml`: a log to import, with its own catalogue and settings."""

    name: str
    description: str
    file: SourceFile
    synthetic: SyntheticDays
    columns: SourceColumns
    catalogue: CatalogueFile
    engine: dict[str, Any] = Field(default_factory=dict)


class SimulationConfig(Section):
    """`conf/sources/simulation.yml`: the simulated company of the demo."""

    name: str
    description: str
    scenario: str
    customers: int = Field(ge=100)
    seed: int = Field(ge=0)
    history_days: int = Field(ge=1)
