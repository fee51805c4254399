"""A policy as it would act once deployed: with the floor and the uniform share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from policies.deciding.decision import final_distribution
from policies.policy import Policy, load_policy


class AsDeployed(Policy):
    """A policy as it would really act: its `final_distribution`, without capacities.

    Args:
        policy: the one that is wrapped.
        floor: least probability of every eligible action of a choice row.
        uniform_share: share of rows that a coin sends to `uniform`.
    """

    kind: ClassVar[str] = "as_deployed"

    def __init__(self, policy: Policy, floor: float, uniform_share: float) -> None:
        super().__init__(policy.action_ids)
        self.policy, self.floor, self.uniform_share = policy, floor, uniform_share

    def _weights(
        self, contexts: pd.DataFrame | None, eligible: NDArray[np.bool_]
    ) -> NDArray[np.float64]:
        return final_distribution(
            self.policy, contexts, eligible, floor=self.floor, uniform_share=self.uniform_share
        )

    def for_actions(
        self,
        action_ids: Sequence[str],
        action_features: Mapping[str, Mapping[str, float | str]] | None = None,
    ) -> AsDeployed:
        """The wrapped policy for these actions, deployed alike."""
        wrapped = self.policy.for_actions(action_ids, action_features)
        return AsDeployed(wrapped, self.floor, self.uniform_share)

    def expected_reward(self, contexts: pd.DataFrame) -> NDArray[np.float64] | None:
        """The wrapped policy's."""
        return self.policy.expected_reward(contexts)

    @property
    def params(self) -> dict[str, Any]:
        """The wrapped policy's under `policy.`, and its own."""
        wrapped = {f"policy.{key}": value for key, value in self.policy.params.items()}
        return {**super().params, **wrapped}

    def _state(self) -> dict[str, Any]:
        return {"floor": self.floor, "uniform_share": self.uniform_share}

    def _save_files(self, path: Path) -> None:
        self.policy.save(path / "policy")

    @classmethod
    def _load(cls, path: Path, state: dict[str, Any]) -> Policy:
        return cls(load_policy(path / "policy"), state["floor"], state["uniform_share"])
