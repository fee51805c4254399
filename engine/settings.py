"""The sections of engine.yml and actions.yml: their keys, types and limits."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any, Literal, Optional, Union

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from policies.catalogue import NO_CHANNEL
from policies.learning.vowpal.settings import GRID


def _no_flag(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("Input should be a number, not true or false")
    return value


NUMBER = BeforeValidator(_no_flag)
Days = Annotated[int, Field(ge=1, le=3_650), NUMBER]
Lag = Annotated[int, Field(ge=0, le=90), NUMBER]
Money = Annotated[float, Field(ge=-1e6, le=1e6), NUMBER]
Share = Annotated[float, Field(ge=0, lt=1), NUMBER]
Day = Annotated[dt.date, Field(ge=dt.date(2000, 1, 1)), NUMBER]
Text = Annotated[
    str, Field(min_length=1, max_length=1_000, pattern=r"^[^\x00-\x08\x0b-\x1f\x7f]*$")
]
Name = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9_]+$")]
Kind = Literal["string", "double", "float", "bigint", "int", "boolean", "date", "timestamp"]


class Section(BaseModel):
    """A section of a YAML file; unknown keys are errors, and every number is finite."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Reward(Section):
    """What a decision earns: outcome values in its window, minus the action's cost.

    Args:
        outcomes: outcome type -> its value, or "amount", the amount that it was reported with.
        window_days: from the decision on.
        lag_days: by which an outcome may be reported late.
        range: lowest and highest reward; others are clipped.
    """

    outcomes: dict[Text, Union[Money, Literal["amount"]]] = Field(min_length=1, max_length=100)
    window_days: Annotated[Days, Field(le=90)]
    lag_days: Lag
    range: tuple[Money, Money]

    @model_validator(mode="after")
    def _ordered(self) -> Reward:
        if not self.range[0] < self.range[1]:
            raise ValueError("range must be [lowest, highest]")
        if 0 in self.outcomes.values():
            raise ValueError(
                "an outcome of value 0 has no effect: give it a value, or leave it out"
            )
        return self

    @property
    def matured_after_days(self) -> int:
        """Days from a decision's date to the first `as_of` at which its reward is complete."""
        return self.window_days + self.lag_days + 1


class GroupShares(Section):
    """Shares of customers that are drawn uniformly, held out, or stay with the old champion."""

    uniform: Share
    holdout: Share
    previous: Share


class Exploration(Section):
    """How much every deployed policy explores."""

    floor: Annotated[Share, Field(lt=0.5)]


class BusinessRule(Section):
    """Take `action` where the predicate `when` is true."""

    when: str
    action: Name


class Training(Section):
    """Which days fit, select, and are reserved for the gate; and the settings that are tried."""

    reserve_days: Annotated[Days, Field(le=365)]
    fit_share: Annotated[Share, Field(gt=0)]
    describe_actions: bool = False
    grid: tuple[dict[str, Any], ...] = Field(default=GRID, max_length=100)


class GateSettings(Section):
    """How much evidence a promotion needs, and how long a trial may last."""

    incumbent: Text
    alpha: Annotated[Share, Field(ge=1e-6, lt=0.5)]
    margin: Annotated[Money, Field(ge=0)]
    minimum_effect: Annotated[Money, Field(ge=1e-9)]
    trial_days: Days


class Drift(Section):
    """The change of a feature's distribution that counts as drift."""

    psi: Annotated[float, Field(gt=0, le=100), NUMBER]


class Retention(Section):
    """For how many days housekeeping keeps what later days do not need.

    Args:
        policy_values, drift: rows of these tables, by `as_of`.
        versions: registered versions that nothing names; see `engine.jobs.housekeeping`.
        commits: of a table's history.
        files: data files after the commit that put others in their place.
    """

    policy_values: Days = 400
    drift: Days = 400
    versions: Days = 120
    commits: Days = 30
    files: Days = 7

    @model_validator(mode="after")
    def _readable(self) -> Retention:
        if self.commits < self.files:
            raise ValueError("commits must be kept at least as long as files")
        return self


class EngineConfig(Section):
    """`conf/engine.yml`."""

    reward: Reward
    groups: GroupShares
    exploration: Exploration
    business_rules: tuple[BusinessRule, ...] = Field(default=(), max_length=1_000)
    training: Training
    gate: GateSettings
    drift: Drift
    retention: Retention = Retention()


class ActionEntry(Section):
    """One action of `conf/actions.yml`."""

    id: Name
    name: Text
    group: Text
    channel: Name = NO_CHANNEL
    valid_from: Optional[Day] = None
    valid_to: Optional[Day] = None
    value: Money = 0.0
    cost: Annotated[Money, Field(ge=0)] = 0.0
    eligible_when: Optional[str] = None
    applicable_when: Optional[str] = None
    suitable_when: Optional[str] = None
    features: dict[Text, Union[Money, Text]] = Field(default_factory=dict, max_length=100)


class CatalogueFile(Section):
    """`conf/actions.yml`.

    Args:
        currency: of values, costs and amounts.
        no_contact: id of the action that contacts nobody.
        actions: that one, and at least one more.
    """

    currency: Text
    no_contact: Name = "no_contact"
    actions: tuple[ActionEntry, ...] = Field(min_length=2, max_length=1_000)
