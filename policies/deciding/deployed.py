"""A policy as it would act once deployed, and the exploration that is added to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd

from policies.deciding.decision import final_distribution
from policies.log import Bools, Floats
from policies.policy import Described, Policy, load_policy


@dataclass(frozen=True)
class Exploration:
    """What deployment adds to a policy, so that every eligible action is tried now and then.

    Args:
        floor: least probability of every eligible action of a choice row.
        uniform_share: share of rows that draw uniformly from the eligible actions.
    """

    floor: float
    uniform_share: float


class AsDeployed(Policy):
    """A policy as it would really act: its `final_distribution`, without capacities.

    Args:
        policy: the one that is wrapped.
        exploration: what deployment adds to it.
    """

    kind: ClassVar[str] = "as_deployed"

    def __init__(self, policy: Policy, exploration: Exploration) -> None:
        super().__init__(policy.action_ids)
        self.policy, self.exploration = policy, exploration

    def _weights(self, contexts: pd.DataFrame | None, eligible: Bools) -> Floats:
        return final_distribution(self.policy, contexts, eligible, **self._state())

    def for_actions(self, action_ids: Sequence[str], action_features: Described = None) -> Policy:
        """The wrapped policy for these actions, deployed alike."""
        return AsDeployed(self.policy.for_actions(action_ids, action_features), self.exploration)

    def expected_reward(self, contexts: pd.DataFrame) -> Floats | None:
        """The wrapped policy's."""
        return self.policy.expected_reward(contexts)

    @property
    def params(self) -> dict[str, Any]:
        """The wrapped policy's under `policy.`, and its own."""
        wrapped = {f"policy.{key}": value for key, value in self.policy.params.items()}
        return {**super().params, **wrapped}

    def _state(self) -> dict[str, Any]:
        return asdict(self.exploration)

    def _save_files(self, path: Path) -> None:
        self.policy.save(path / "policy")

    @classmethod
    def _load(cls, path: Path, state: dict[str, Any]) -> Policy:
        exploration = Exploration(state["floor"], state["uniform_share"])
        return cls(load_policy(path / "policy"), exploration)
