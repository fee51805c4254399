"""A run of the closed loop, and the true values beside it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from policies.judging.change_detection import Drop
from policies.log import LoggedDecisions
from policies.policy import Policy
from simulation.customers import Array
from simulation.loop import Loop, LoopSettings, Promotion
from simulation.world import World

PROGRESS = 10  # days after which a line is said, whatever happens
COLUMNS = ("date", "champion", "learned", "rules", "best", "gain", "verdict", "note")


@dataclass(frozen=True, eq=False)
class LoopResult:
    """The days, promotions and alarms of a loop.

    Args:
        table: one row a day: date, champion (a version's number or "business_rules"), the true
            values per decision of champion, rules and best (each as deployed), lead_share (the
            champion's share of the gap between rules and best), gain (over the champion before;
            NaN for the rules), verdict and note.
        promotions, alarms: in order; an alarm is the day it was raised on and the drop.
        actions: (days, k) share of the day's decisions that the champion gives each action.
        best_actions: (days, k) the same of the best policy.
        results: (difference, standard error) of every trial that ended.
    """

    table: pd.DataFrame
    promotions: tuple[Promotion, ...]
    alarms: tuple[tuple[np.datetime64, Drop], ...]
    actions: Array
    best_actions: Array
    results: tuple[tuple[float, float], ...]

    def realised(self, promotion: Promotion) -> float:
        """Mean true gain per decision from the day after a promotion to the next; NaN for none."""
        later = self.table[self.table["date"] > promotion.date]
        return float(later.loc[later["champion"] == promotion.version, "gain"].mean())


def run_loop(
    world: World,
    days: int = 120,
    settings: LoopSettings | None = None,
    say: Callable[[str], None] | None = None,
) -> LoopResult:
    """Run a company's closed loop in a world, with the true values beside it.

    Args:
        world: the customers, and how decisions explore.
        days: how many.
        settings: how the loop learns and judges.
        say: called with one line per event, and every tenth day.
    """
    loop, rows, actions, best_actions = Loop(world, settings), [], [], []

    def deployed(policy: Policy, log: LoggedDecisions) -> Array:
        return world.deployed(policy).distribution(log.contexts, log.eligible)

    for _ in range(days):
        name = loop.champion
        replaced = loop.promotions[-1].replaced if loop.promotions else None
        day, log, verdict, note = loop.next_day()
        shown = (loop.policies[name], world.incumbent, world.best_policy(log))
        shares = [deployed(policy, log) for policy in shown]
        values = [world.true_value(share, log) for share in shares]
        gain = np.nan
        if replaced is not None:
            gain = values[0] - world.true_value(deployed(replaced, log), log)
        rows.append((day.date, name, *values, gain, verdict, note))
        actions.append(shares[0].mean(axis=0))
        best_actions.append(shares[2].mean(axis=0))
        if say is not None and (note or len(rows) % PROGRESS == 0):
            learned, rules, best = values
            earns = f"{name} earns {learned:.3f}, the rules {rules:.3f}, the best {best:.3f}"
            say(f"{day.date}  {note or earns}")
    table = pd.DataFrame(rows, columns=COLUMNS)
    gap = table["best"] - table["rules"]
    table.insert(5, "lead_share", ((table["learned"] - table["rules"]) / gap).where(gap > 0))
    return LoopResult(
        table,
        tuple(loop.promotions),
        tuple(loop.alarms),
        np.array(actions),
        np.array(best_actions),
        tuple(loop.results()),
    )
