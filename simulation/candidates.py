"""Policies to try in a scenario: of a known worth against the incumbent, by choosing differently."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from policies.errors import CatalogueError
from policies.policy import Policy, require_features
from simulation.truth import BestFromContexts

if TYPE_CHECKING:
    from simulation.world import World

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
GOLDEN = 0.6180339887498949  # its multiples spread evenly over [0, 1) (Weyl 1916)
EXCHANGED = 0.2  # of rows, on which real effects cancel
TRIAL_DAYS, TRIAL_CUSTOMERS = 60, 1_500  # on which a candidate's worth is measured


class Swapped(Policy):
    """What another policy does, with some actions in the place of others.

    Args:
        policy: the other one.
        swaps: action id -> the one taken instead, where that is eligible.
    """

    kind = "swapped"

    def __init__(self, policy: Policy, swaps: Mapping[str, str]) -> None:
        super().__init__(policy.action_ids)
        self.policy, self.swaps = policy, dict(swaps)

    def _weights(self, contexts: pd.DataFrame | None, eligible: Bools) -> Floats:
        wanted = self.policy.distribution(contexts, eligible)
        out = wanted.copy()
        for old, new in self.swaps.items():
            at, to = self.action_ids.index(old), self.action_ids.index(new)
            moves = eligible[:, to]
            out[moves, to] += wanted[moves, at]
            out[moves, at] -= wanted[moves, at]
        return out

    def _state(self) -> dict[str, Any]:
        return {"swaps": self.swaps}  # it is made for a world, and not saved


class Parted(Policy):
    """Different policies on different rows, told apart by the customer's tenure in days.

    A row's place in [0, 1) is a multiple of the golden ratio, so rows are spread evenly, a
    customer's days too; it is no mixture, as each row has one policy.

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
        out = np.zeros(eligible.shape)
        for number, policy in enumerate(self.policies):
            rows = part == number
            if rows.any():
                out[rows] = policy.distribution(frame[rows], eligible[rows])
        return out

    def _state(self) -> dict[str, Any]:
        return {"ends": list(self.ends)}


class Worst(Policy):
    """The least rewarding eligible action by what contexts show: the best policy's opposite."""

    kind = "worst_from_contexts"

    def __init__(self, best: BestFromContexts) -> None:
        super().__init__(best.action_ids)
        self.best = best

    def _weights(self, contexts: pd.DataFrame | None, eligible: Bools) -> Floats:
        gain = self.best.gains(contexts)
        return np.asarray(np.eye(gain.shape[1])[np.where(eligible, gain, np.inf).argmin(axis=1)])

    def _state(self) -> dict[str, Any]:
        return {}


def better_by(share: float) -> Callable[[World], Policy]:
    """A candidate worth so much more than the incumbent, as a share of its true value.

    On as many rows as that takes it does the best that contexts allow (for a negative share the
    worst), on all others what the incumbent does.

    Raises:
        CatalogueError: no policy of this world is so much better or worse.
    """

    def made(world: World) -> Policy:
        world = _trial(world)
        log = world.history(TRIAL_DAYS)
        best = BestFromContexts(world.response, world.action_ids)
        other = best if share > 0 else Worst(best)
        now, then = world.true_value(world.incumbent, log), world.true_value(other, log)
        part = share * now / (then - now)
        if not 0 <= part <= 1:
            raise CatalogueError(
                f"no policy of this world is {share:+.0%} of the incumbent's value away",
                hint=f"the reachable end is {(then - now) / now:+.1%}",
            )
        return Parted([other, world.incumbent], [part])

    return made


def equal_to(swaps: Mapping[str, str]) -> Callable[[World], Policy]:
    """A candidate of the incumbent's value that decides otherwise on most rows.

    Twins take each other's place, which changes nothing; and on two parts of the rows it does the
    best and the worst that contexts allow, in shares whose effects cancel.
    """

    def made(world: World) -> Policy:
        world = _trial(world)
        log = world.history(TRIAL_DAYS)
        best = BestFromContexts(world.response, world.action_ids)
        worst, twin = Worst(best), Swapped(world.incumbent, swaps)
        now = world.true_value(world.incumbent, log)
        gain, loss = world.true_value(best, log) - now, now - world.true_value(worst, log)
        shares = np.array([loss, gain]) / (gain + loss) * EXCHANGED
        return Parted([best, worst, twin], np.cumsum(shares).tolist())

    return made


def _trial(world: World) -> World:
    """The world's first customers, and what really happens to them."""
    people = world.customers
    few = people.part(0, min(len(people), TRIAL_CUSTOMERS))
    return replace(world, response=replace(world.response, population=few), corrupt_log=None)
