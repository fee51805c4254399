"""The truth that estimates are judged by: exact expected rewards, and what policies really earn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Union

import numpy as np
import numpy.typing as npt
import pandas as pd

from policies.deciding.groups import Groups
from policies.errors import InvalidLogError, did_you_mean
from policies.learning.baselines import BusinessRules
from policies.log import LoggedDecisions
from policies.policy import Policy, require_features
from simulation.customers import TRAITS
from simulation.response import Bools, Floats, Ints, Response

if TYPE_CHECKING:
    from simulation.world import World

Array = npt.NDArray[Any]


def expected_reward(world: World, log: LoggedDecisions) -> Floats:
    """(n, k) exact E[reward] of every action for each row, as `World.expected_reward` says.

    The past enters through what the row's context shows, and the window closes before the logger's
    next decision: so this is closed form, whoever the logger is.
    """
    if log.customer_id is None or log.decision_date is None or log.contexts is None:
        raise InvalidLogError(
            "the truth of a row needs its customer_id, decision_date and contexts",
            hint="pass a log made by World.history, or rows of one",
        )
    rows = world.rows(log.customer_id)
    places = [world.catalogue.index(each) for each in log.action_ids]
    return _earned(world, rows, log.decision_date, log.contexts)[:, places]


def _earned(world: World, rows: Ints, dates: Any, contexts: pd.DataFrame) -> Floats:
    """(m, k) E[reward] of every action for these customers on these dates (or the one date)."""
    p = world.response.p_visit(rows, dates, contexts) * (1 - world.response.lost)
    return np.asarray(world.worth * (p - np.asarray(world.catalogue.costs)))


def true_value(world: World, policy: Union[Policy, Array], log: LoggedDecisions) -> float:
    """Mean over the rows of distribution times expected reward."""
    if isinstance(policy, Policy):
        distribution = policy.distribution(log.contexts, log.eligible)
    else:
        distribution = np.asarray(policy, dtype=np.float64)
        if distribution.shape != log.eligible.shape:
            raise InvalidLogError(
                f"the target has shape {distribution.shape}, the log {log.eligible.shape}"
            )
    return float((distribution * expected_reward(world, log)).sum(axis=1).mean())


def rule_effects(world: World, log: LoggedDecisions) -> pd.DataFrame:
    """What `World.rule_effects` describes."""
    rules, nothing = list(world.rules), world.catalogue.no_contact
    expected, rows = expected_reward(world, log), []

    def acts(some: list[tuple[str, str]]) -> Floats:
        policy = BusinessRules(log.action_ids, some, fallback=nothing)
        return policy.distribution(log.contexts, log.eligible)

    whole = acts(rules)
    for number, (text, action) in enumerate(rules):
        before, without = acts(rules[:number]), acts(rules[:number] + rules[number + 1 :])
        decides = (acts(rules[: number + 1]) != before).any(axis=1)
        effect = ((whole - without) * expected).sum(axis=1).mean()
        rows.append((text, action, float(decides.mean()), float(effect)))
    return pd.DataFrame(rows, columns=["rule", "action", "share", "effect"])


def live_value(world: World, policy: Policy, days: int, start: str) -> tuple[float, float]:
    """What `World.live_value` describes, in this world."""
    total, count = np.zeros(len(world.customers)), np.zeros(len(world.customers))
    for day in world.run(days, start, policy, floor=0.0, groups=Groups(0.0, 0.0)):
        earned = _earned(world, day.rows, day.date, day.contexts)
        total[day.rows] += (day.decisions.distribution * earned).sum(axis=1)
        count[day.rows] += 1
    value = total.sum() / count.sum()
    residual = total - value * count
    std_error = np.sqrt((residual**2).sum() / max(len(total) - 1, 1) * len(total)) / count.sum()
    return float(value), float(std_error)


class BestFromContexts(Policy):
    """The best decision from what contexts show, one step ahead; see `World.best_policy`.

    Args:
        response: the law.
        action_ids: the actions, in the order wanted.
        late: share of the preferences after a shift in what it takes them to be.
    """

    kind = "best_from_contexts"

    def __init__(self, response: Response, action_ids: tuple[str, ...], late: float = 0.0) -> None:
        super().__init__(action_ids)
        self._response = response
        self._late = late
        self._places = [response.catalogue.index(each) for each in action_ids]

    def _state(self) -> dict[str, Any]:
        return {}  # it knows the world, and so cannot be saved

    def gains(self, contexts: pd.DataFrame | None) -> Floats:
        """(n, k) E[reward | contexts] of every action less that of no contact, in visits' worth."""
        law = self._response
        since = [f"days_since_{each}" for each in set(law.channels) - {"none"}]
        read = (*TRAITS, "contacts_7d", *(sorted(since) if law.saturation else ()))
        contexts = require_features(contexts, read, self._where)
        traits = {name: _codes(contexts, name) for name in TRAITS}
        gain = (
            law.segment_uplift(traits, self._late) * law.remaining_effect(contexts) * (1 - law.lost)
        )
        return np.asarray((gain - np.asarray(self._response.catalogue.costs))[:, self._places])

    def _weights(self, contexts: pd.DataFrame | None, eligible: Bools) -> Floats:
        best = np.where(eligible, self.gains(contexts), -np.inf).argmax(axis=1)
        return np.asarray(np.eye(len(self._places))[best])


def _codes(contexts: pd.DataFrame, name: str) -> Ints:
    """(n,) codes of a trait's values in the order of `TRAITS`."""
    codes = pd.Index(list(TRAITS[name])).get_indexer(pd.Index(contexts[name]))
    if (codes < 0).any():
        strange = str(contexts[name].iloc[int(np.argmax(codes < 0))])
        raise InvalidLogError(
            f"no customer of this world has {name} {strange!r}",
            hint=did_you_mean(strange, TRAITS[name]),
        )
    return np.asarray(codes, dtype=np.int64)
