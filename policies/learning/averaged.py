"""The average of policies that learned from the same log in different ways."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from policies.deciding import exploration as exploring
from policies.errors import LearningError
from policies.log import Bools, Floats, Logs
from policies.policy import Described, Policy, load_policy

VOTES = "votes"


class Averaged(Policy):
    """Chooses by the mean of its members' expected rewards.

    Errors of different learners partly cancel, so the mean has a lower error than a typical member
    (Breiman 1996, bagging predictors).

    With exploration "votes" an action's probability is the share of members that would choose it.
    With members fitted on bootstrapped logs, `VowpalPolicy(…, bootstrap=1)`, `bootstrap=2` …, this
    is Thompson-like (Eckles & Kaptein 2014), and its probabilities are exact.

    Args:
        members: policies with the same actions and with expected rewards.
        exploration: "votes", or as for VowpalPolicy.

    Raises:
        LearningError: no member, or members with other actions than the first.
    """

    kind: ClassVar[str] = "averaged"

    def __init__(self, members: Sequence[Policy], exploration: str = "greedy") -> None:
        if not members:
            raise LearningError("there is nothing to average", hint="pass at least one policy")
        for member in members:
            if not isinstance(member, Policy):
                raise LearningError(f"{member!r} is no policy, and cannot be averaged")
            if member.action_ids != members[0].action_ids:
                what = f"{member.name} has the actions {member.action_ids}, not {members[0].action_ids}"
                raise LearningError(what, hint="average policies of the same actions only")
        super().__init__(members[0].action_ids)
        self.members, self.exploration = tuple(members), str(exploration)
        self._explore = exploring.parse("greedy" if exploration == VOTES else self.exploration)

    @property
    def name(self) -> str:
        """`averaged-3-ab12cd`: how many members, and which."""
        names = "\n".join([*(member.name for member in self.members), self.exploration])
        return f"averaged-{len(self.members)}-{hashlib.sha256(names.encode()).hexdigest()[:6]}"

    @property
    def params(self) -> dict[str, Any]:
        """The members' names, and the exploration."""
        names = ", ".join(member.name for member in self.members)
        return {**super().params, "recipe": self.name, "members": names}

    def fit(self, log: Logs) -> Averaged:
        """Fit every member; arguments and errors as in `Policy.fit`."""
        return Averaged(fit_copies(self.members, log), self.exploration)

    def for_actions(self, action_ids: Sequence[str], action_features: Described = None) -> Averaged:
        """The members for these actions."""
        members = [member.for_actions(action_ids, action_features) for member in self.members]
        return Averaged(members, self.exploration)

    def expected_reward(self, contexts: pd.DataFrame) -> Floats:
        """The (n, k) mean of the members' expected rewards.

        Raises:
            LearningError: a member has none, has not learned yet, or misses a column.
        """
        total = np.zeros((len(contexts), len(self.action_ids)))
        for member in self.members:
            expected = member.expected_reward(contexts)
            if expected is None:
                what = f"{member.name} has no expected rewards to average"
                raise LearningError(what, hint="leave it out")
            total += expected
        return total / len(self.members)

    def _weights(self, contexts: pd.DataFrame | None, eligible: Bools) -> Floats:
        if contexts is None:
            raise LearningError(f"the policy {self.name} decides by contexts", hint="pass them")
        if self.exploration == VOTES:
            wishes = (member.distribution(contexts, eligible) for member in self.members)
            votes = [exploring.greedy(wish, eligible) for wish in wishes]
            return np.asarray(np.mean(votes, axis=0))
        return self._explore(self.expected_reward(contexts), eligible)

    def _state(self) -> dict[str, Any]:
        return {"members": len(self.members), "exploration": self.exploration}

    def _save_files(self, path: Path) -> None:
        for number, member in enumerate(self.members):
            member.save(path / f"member_{number}")

    @classmethod
    def _load(cls, path: Path, state: dict[str, Any]) -> Averaged:
        members = [load_policy(path / f"member_{number}") for number in range(state["members"])]
        return cls(members, state["exploration"])


def fit_copies(recipes: Sequence[Policy], log: Logs, *, workers: int | None = None) -> list[Policy]:
    """The policies fitted on the log, several at a time.

    Args:
        recipes: policies.
        log: decisions, or their parts in order.
        workers: how many at a time; None = as many as there are cores.
    """
    with ThreadPoolExecutor(workers or os.cpu_count()) as pool:
        return list(pool.map(lambda recipe: recipe.fit(log), recipes))
