"""The best action on average: what a policy that reads contexts has to beat."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import pandas as pd

from policies.deciding.exploration import greedy
from policies.errors import LearningError
from policies.learning.reading import blocks, survey
from policies.log import Bools, Floats, Logs
from policies.policy import Described, Policy

MOST_WEIGHT = 1e100  # whose square a float still holds
OWN_MEAN = 10.0  # rows' worth of pull of an action's average towards the overall one


class BestAverage(Policy):
    """The eligible action with the highest average reward, whatever the context.

    Where contexts carry no information, no policy is better.

    >>> BestAverage(["email", "call"], [0.1, 0.2]).distribution(None, [[True, True]]).tolist()
    [[0.0, 1.0]]

    Args:
        action_ids: k names.
        averages: (k,) average rewards; None = learn them by `fit`.

    Raises:
        InvalidPolicyError: not one finite average an action.
    """

    kind: ClassVar[str] = "best_average"

    def __init__(self, action_ids: Sequence[str], averages: Sequence[float] | None = None) -> None:
        super().__init__(action_ids)
        self.averages = None if averages is None else [float(average) for average in averages]
        k = len(self.action_ids)
        if averages is not None and not (len(averages) == k and np.isfinite(averages).all()):
            raise self._refused(f"{k} actions need as many finite averages, not {averages}")

    def fit(self, log: Logs) -> BestAverage:
        """Learn every action's average reward from choice rows, weighted by 1 / probability.

        An action's average is pulled towards the overall one as by 10 rows, so that a few lucky
        rows do not win. Arguments, result and errors as in `Policy.fit`.
        """
        survey(log, self.action_ids)
        weight, square, earned = np.zeros((3, len(self.action_ids)))
        for _, block in blocks(log, self.action_ids):
            w = np.minimum(1 / block.action_probability, MOST_WEIGHT)
            for total, value in ((weight, w), (square, w * w), (earned, w * block.reward)):
                total += np.bincount(block.action, value, len(total))
        mean = np.divide(earned, weight, out=np.zeros(len(weight)), where=weight > 0)
        rows = np.divide(weight**2, square, out=np.zeros(len(weight)), where=square > 0)
        overall = float(rows @ mean / rows.sum())
        averages = (rows * mean + OWN_MEAN * overall) / (rows + OWN_MEAN)
        return BestAverage(self.action_ids, averages.tolist())

    def for_actions(self, action_ids: Sequence[str], action_features: Described = None) -> Policy:
        """The averages of actions that stay; a new one starts from the mean of those."""
        known = dict(zip(self.action_ids, self._fitted()))
        usual = float(np.mean([known[name] for name in action_ids if name in known] or [0.0]))
        return BestAverage(action_ids, [known.get(name, usual) for name in action_ids])

    def expected_reward(self, contexts: pd.DataFrame) -> Floats:
        """The averages, (n, k)."""
        return np.tile(self._fitted(), (len(contexts), 1))

    def _weights(self, contexts: pd.DataFrame | None, eligible: Bools) -> Floats:
        return greedy(np.broadcast_to(self._fitted(), eligible.shape), eligible)

    def _fitted(self) -> Floats:
        if self.averages is None:
            raise LearningError("best_average has not learned yet", hint="call fit(log)")
        return np.array(self.averages)
