"""Candidates of a known worth against the incumbent: they choose otherwise on some rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from policies.errors import CatalogueError
from policies.learning.baselines import BusinessRules
from policies.log import LoggedDecisions
from policies.policy import Policy, require_features
from simulation.best_policy import BestFromContexts
from simulation.customers import Bools, Floats
from simulation.world import World

GOLDEN = 0.6180339887498949  # its multiples spread evenly over [0, 1) (Weyl 1916)
EXCHANGED = 0.2  # share of the rows on which effects cancel
TRIAL_DAYS, TRIAL_CUSTOMERS = 60, 1_500  # of the log on which true values are computed


class Parted(Policy):
    """Different policies on different rows, chosen by the customer's tenure in days.

    A row's place in [0, 1) is a multiple of the golden ratio, so rows are spread evenly, a
    customer's days too. It is no mixture, since each row has one policy.

    Args:
        policies: one for each part.
        ends: where each part but the last ends, rising.
    """

    kind = "parted"

    def __init__(self, policies: Sequence[Policy], ends: Sequence[float]) -> None:
        super().__init__(policies[0].action_ids)
        self.policies, self.ends = tuple(policies), tuple(ends)

    def _weights(self, contexts: pd.DataFrame | None, eligible: Bools) -> Floats:
        frame = require_features(contexts, ["tenure_days"], "parted")
        place = (frame["tenure_days"].to_numpy(dtype=np.float64) * GOLDEN) % 1.0
        part = np.searchsorted(self.ends, place, side="right")
        weights = np.zeros(eligible.shape)
        for number, policy in enumerate(self.policies):
            rows = part == number
            if rows.any():
                weights[rows] = policy.distribution(frame[rows], eligible[rows])
        return weights

    def _state(self) -> dict[str, Any]:
        return {"ends": list(self.ends)}  # without the policies: it cannot be saved


class Worst(BestFromContexts):
    """The eligible action of lowest E[reward | contexts]: the best policy's opposite."""

    kind = "worst_from_contexts"

    def gains(self, contexts: pd.DataFrame | None) -> Floats:
        """(n, k) the best policy's gains, negated."""
        return -super().gains(contexts)


def better_by(share: float, world: World) -> Policy:
    """A candidate whose true value is (1 + share) times the incumbent's.

    On as many rows as that takes it does the best that contexts allow (for a negative share the
    worst), and on all others what the incumbent does.

    Raises:
        CatalogueError: no policy of this world is so much better or worse.
    """
    world, log, best, worst = _trial(world)
    other = best if share > 0 else worst
    value = world.true_value(world.incumbent, log)
    reachable = world.true_value(other, log) - value
    part = share * value / reachable
    if not 0 <= part <= 1:
        raise CatalogueError(
            f"no policy of this world is {share:+.0%} of the incumbent's value away",
            hint=f"the reachable end is {reachable / value:+.1%}",
        )
    return Parted([other, world.incumbent], [part])


def equal_to(swaps: Mapping[str, str], world: World) -> Policy:
    """A candidate of the incumbent's true value that decides otherwise on most rows.

    Actions are swapped for their twins where those are eligible, which changes no reward. On two
    parts of the rows it does the best and the worst that contexts allow, in shares whose effects
    cancel.
    """
    world, log, best, worst = _trial(world)
    rules = []
    for predicate, action in world.rules:
        rules += [(predicate, swaps.get(action, action)), (predicate, action)]
    twin = BusinessRules(world.action_ids, rules, fallback=world.catalogue.no_contact)
    value = world.true_value(world.incumbent, log)
    gain, loss = world.true_value(best, log) - value, value - world.true_value(worst, log)
    shares = np.array([loss, gain]) / (gain + loss) * EXCHANGED
    return Parted([best, worst, twin], np.cumsum(shares).tolist())


def _trial(world: World) -> tuple[World, LoggedDecisions, Policy, Policy]:
    """The world's first customers, their uncorrupted log, and the best and the worst policy."""
    world = replace(next(world.parts(TRIAL_CUSTOMERS)), corrupt_log=None)
    best, worst = (kind(world.response, world.action_ids) for kind in (BestFromContexts, Worst))
    return world, world.history(TRIAL_DAYS), best, worst
