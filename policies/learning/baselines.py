"""Fixed policies: what a learned one is compared with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import pandas as pd

from policies.errors import InvalidPolicyError, require_known
from policies.log import Bools, Floats
from policies.policy import Policy, require_features
from policies.predicates import Columns, Predicate


class UniformPolicy(Policy):
    """Every eligible action with the same probability.

    >>> UniformPolicy(["email", "call"]).distribution(None, [[True, True], [False, True]]).tolist()
    [[0.5, 0.5], [0.0, 1.0]]
    """

    kind: ClassVar[str] = "uniform"

    def _weights(self, contexts: pd.DataFrame | None, eligible: Bools) -> Floats:
        return eligible.astype(np.float64)


class FixedAction(Policy):
    """Always the same action; where it is not eligible the fallback; else uniform.

    >>> FixedAction(["email", "call"], "call").distribution(None, [[True, True]]).tolist()
    [[0.0, 1.0]]

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
        self.action = str(action)
        self.fallback = None if fallback is None else str(fallback)
        self._order = [
            _column(self, name) for name in (self.action, self.fallback) if name is not None
        ]

    @property
    def name(self) -> str:
        """`fixed:ACTION`."""
        return f"{self.kind}:{self.action}"

    def _weights(self, contexts: pd.DataFrame | None, eligible: Bools) -> Floats:
        return _first_eligible([(column, None) for column in self._order], eligible)


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
        self.rules = [[str(text), str(action)] for text, action in rules]
        self.fallback = fallback
        self._rules = [(Predicate.parse(text), _column(self, name)) for text, name in self.rules]
        self._last = [(_column(self, fallback), None)] if fallback is not None else []

    def _weights(self, contexts: pd.DataFrame | None, eligible: Bools) -> Floats:
        columns = sorted({name for rule, _ in self._rules for name in rule.columns})
        read = Columns(require_features(contexts, columns, self._where))
        holds = [(column, rule.holds(read)) for rule, column in self._rules]
        return _first_eligible([*holds, *self._last], eligible)


def _column(policy: Policy, action: str) -> int:
    what = f"there is no action {action!r}"
    require_known(action, policy.action_ids, InvalidPolicyError, what, policy._where)
    return policy.action_ids.index(action)


def _first_eligible(choices: Sequence[tuple[int, Bools | None]], eligible: Bools) -> Floats:
    """(n, k): 1 on the first choice that holds (None: everywhere) and is eligible, else uniform."""
    weights = np.zeros_like(eligible, dtype=np.float64)
    open_rows = np.ones(len(eligible), dtype=bool)
    for column, holds in choices:
        chosen = open_rows & eligible[:, column] & (True if holds is None else holds)
        weights[:, column] += chosen
        open_rows &= ~chosen
    weights += open_rows[:, None] & eligible
    return weights
