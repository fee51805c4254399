"""Policies that are written down rather than learned: what a learned one is compared with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from policies.deciding.exploration import greedy
from policies.errors import InvalidPolicyError, LearningError, did_you_mean
from policies.learning.reading import Logs, blocks, survey
from policies.policy import Policy, require_features
from policies.predicates import Columns, Predicate

MOST_WEIGHT = 1e100  # whose square a float still holds
OWN_MEAN = 10.0  # rows' worth of pull of an action's average towards the overall one


class UniformPolicy(Policy):
    """Every eligible action alike.

    >>> UniformPolicy(["email", "call"]).distribution(None, [[True, True], [False, True]]).tolist()
    [[0.5, 0.5], [0.0, 1.0]]
    """

    kind: ClassVar[str] = "uniform"

    def _weights(
        self, contexts: pd.DataFrame | None, eligible: NDArray[np.bool_]
    ) -> NDArray[np.float64]:
        return eligible.astype(np.float64)

    def _state(self) -> dict[str, Any]:
        return {}


class FixedAction(Policy):
    """Always the same action; where it is not eligible the fallback; else uniform.

    Args:
        action_ids: k names.
        action: the one to take.
        fallback: what to take where `action` is not eligible; None is uniform over what is.

    Raises:
        InvalidPolicyError: there is no such action.
    """

    kind: ClassVar[str] = "fixed"

    def __init__(self, action_ids: Sequence[str], action: str, fallback: str | None = None) -> None:
        super().__init__(action_ids)
        self.action, self.fallback = action, fallback
        self._order = [_column(self, each) for each in (action, fallback) if each is not None]

    @property
    def recipe(self) -> str:
        """`fixed:ACTION`."""
        return f"{self.kind}:{self.action}"

    def _weights(
        self, contexts: pd.DataFrame | None, eligible: NDArray[np.bool_]
    ) -> NDArray[np.float64]:
        return _first_eligible([(column, None) for column in self._order], eligible)

    def _state(self) -> dict[str, Any]:
        return {"action": self.action, "fallback": self.fallback}


class BestAverage(Policy):
    """The eligible action with the highest average reward, for everybody alike.

    What to beat by personalising: where contexts say nothing, nothing is better.

    Args:
        action_ids: k names.
        averages: (k,) average rewards; None = learn them by `fit`.

    Raises:
        InvalidPolicyError: not one finite average an action.
    """

    kind: ClassVar[str] = "best_average"

    def __init__(self, action_ids: Sequence[str], averages: Sequence[float] | None = None) -> None:
        super().__init__(action_ids)
        self.averages = None if averages is None else [float(each) for each in averages]
        known = self.averages or []
        if averages is not None and not (
            len(known) == len(self.action_ids) and np.isfinite(known).all()
        ):
            raise InvalidPolicyError(
                f"{len(self.action_ids)} actions need as many finite averages, not {averages}",
                where=self._name,
            )

    def fit(self, log: Logs) -> BestAverage:
        """Learn every action's average reward from choice rows, weighted by 1 / probability.

        An action's average is pulled towards the overall one as by 10 rows, so that a few lucky
        ones do not win.

        Args:
            log: decisions, or their parts.

        Raises:
            LearningError: nothing can be learned from the log.
        """
        survey(log, self.action_ids)
        weight, square, earned = np.zeros((3, len(self.action_ids)))
        for block in blocks(log, self.action_ids):
            w = np.minimum(1 / block.action_probability, MOST_WEIGHT)
            for total, value in ((weight, w), (square, w * w), (earned, w * block.reward)):
                total += np.bincount(block.action, value, len(total))
        mean = np.divide(earned, weight, out=np.zeros(len(weight)), where=weight > 0)
        rows = np.divide(weight**2, square, out=np.zeros(len(weight)), where=square > 0)
        overall = float(rows @ mean / rows.sum())
        self.averages = ((rows * mean + OWN_MEAN * overall) / (rows + OWN_MEAN)).tolist()
        return self

    def for_actions(
        self,
        action_ids: Sequence[str],
        action_features: Mapping[str, Mapping[str, float | str]] | None = None,
    ) -> BestAverage:
        """The averages of actions that stay; a new one starts from the mean of those."""
        known = dict(zip(self.action_ids, self._fitted()))
        usual = float(np.mean([known[each] for each in action_ids if each in known] or [0.0]))
        return BestAverage(action_ids, [known.get(each, usual) for each in action_ids])

    def expected_reward(self, contexts: pd.DataFrame) -> NDArray[np.float64]:
        """The averages, (n, k)."""
        return np.tile(self._fitted(), (len(contexts), 1))

    def _weights(
        self, contexts: pd.DataFrame | None, eligible: NDArray[np.bool_]
    ) -> NDArray[np.float64]:
        return greedy(np.broadcast_to(self._fitted(), eligible.shape), eligible)

    def _fitted(self) -> NDArray[np.float64]:
        if self.averages is None:
            raise LearningError("best_average has not learned yet", hint="call fit(log)")
        return np.array(self.averages)

    def _state(self) -> dict[str, Any]:
        return {"averages": self.averages}


class BusinessRules(Policy):
    """The first rule that holds and whose action is eligible; else the fallback; else uniform.

    Args:
        action_ids: k names.
        rules: (predicate over the contexts, action id), the more important first.
        fallback: what to take where no rule does; None is uniform over the eligible.

    Raises:
        InvalidPolicyError: there is no such action.
        PredicateError: a predicate cannot be parsed.
    """

    kind: ClassVar[str] = "business_rules"

    def __init__(
        self,
        action_ids: Sequence[str],
        rules: Sequence[tuple[str, str]],
        fallback: str | None = "no_contact",
    ) -> None:
        super().__init__(action_ids)
        self.rules = tuple((str(text), str(action)) for text, action in rules)
        self.fallback = fallback
        self._rules = [(Predicate.parse(text), _column(self, name)) for text, name in self.rules]
        self._last = [(_column(self, fallback), None)] if fallback is not None else []

    def _weights(
        self, contexts: pd.DataFrame | None, eligible: NDArray[np.bool_]
    ) -> NDArray[np.float64]:
        columns = sorted({name for rule, _ in self._rules for name in rule.columns})
        frame = require_features(contexts, columns, self._name)
        read = Columns(frame)
        holds = [(column, rule.holds(read)) for rule, column in self._rules]
        return _first_eligible([*holds, *self._last], eligible)

    def _state(self) -> dict[str, Any]:
        return {"rules": [list(rule) for rule in self.rules], "fallback": self.fallback}


def _column(policy: Policy, action: str) -> int:
    if action not in policy.action_ids:
        raise InvalidPolicyError(
            f"there is no action {action!r}",
            where=f"policy {type(policy).__name__}",
            hint=did_you_mean(action, policy.action_ids),
        )
    return policy.action_ids.index(action)


def _first_eligible(
    choices: Sequence[tuple[int, NDArray[np.bool_] | None]], eligible: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """(n, k): 1 on the first choice that holds (None: everywhere) and is eligible, else uniform."""
    weights = np.zeros_like(eligible, dtype=np.float64)
    open_rows = np.ones(len(eligible), dtype=bool)
    for column, holds in choices:
        taken = open_rows & eligible[:, column]
        if holds is not None:
            taken &= holds
        weights[:, column] += taken
        open_rows &= ~taken
    weights += open_rows[:, None] & eligible
    return weights
