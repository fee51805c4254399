"""A rehearsal: a company's closed loop in a world, and beside it what was true."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from policies.judging.change_detection import Drop
from simulation.loop import Loop, LoopSettings, Promotion
from simulation.world import World

Array = npt.NDArray[Any]
Say = Callable[[str], None]

PROGRESS = 10  # days after which something is said, whatever happens


@dataclass(frozen=True, eq=False)
class Rehearsal:
    """What came of a loop.

    Args:
        table: one row a day: date, champion ("business_rules" or the lineage's number), the true
            values per decision of champion, rules and best (as they would act), lead_share (the
            champion's share of the gap between rules and best), gain (over whom it replaced; NaN
            for the rules), verdict and note.
        promotions, alarms: when and why; an alarm is the day it was raised on and the drop.
        actions: (days, k) share of the day's decisions that the champion gives each action, and
            the best policy: `right`.
        results: (difference, standard error) of every trial that ended.
    """

    table: pd.DataFrame
    promotions: tuple[Promotion, ...]
    alarms: tuple[tuple[np.datetime64, Drop], ...]
    actions: Array
    right: Array
    results: tuple[tuple[float, float], ...]

    def realised(self, promotion: Promotion) -> float:
        """Mean true gain per decision from the day after a promotion to the next; NaN for none."""
        later = self.table[self.table["date"] > promotion.date]
        return float(later.loc[later["champion"] == str(promotion.number), "gain"].mean())


def rehearse(
    world: World, days: int = 120, pace: LoopSettings | None = None, say: Say | None = None
) -> Rehearsal:
    """Let a company learn in a world, and keep beside it what was true.

    Args:
        world: who answers, and how decisions are explored.
        days: how many.
        pace: how it learns and judges.
        say: told a line whenever something happens, and every tenth day.
    """
    loop, rows, actions, right = Loop(world, pace), [], [], []
    for _ in range(days):
        name, champion = loop.champion_name, loop.acting(loop.champion)
        replaced = loop.promotions[-1].replaced if loop.promotions else None
        day, log, verdict, note = loop.next_day()
        best = world.best_policy(log)
        acts = [champion, loop.acting(world.incumbent), loop.acting(best)]
        shares = [each.distribution(log.contexts, log.eligible) for each in acts]
        values = [world.true_value(each, log) for each in shares]
        gain = np.nan
        if replaced is not None:
            gain = values[0] - world.true_value(loop.acting(replaced), log)
        rows.append((day.date, name, *values, gain, verdict, note))
        actions.append(shares[0].mean(axis=0))
        right.append(shares[2].mean(axis=0))
        if say is not None and (note or len(rows) % PROGRESS == 0):
            earns = (
                f"{name} earns {values[0]:.3f}, the rules {values[1]:.3f}, the best {values[2]:.3f}"
            )
            say(f"{day.date}  {note or earns}")
    columns = ("date", "champion", "learned", "rules", "best", "gain", "verdict", "note")
    table = pd.DataFrame(rows, columns=columns)
    gap = (table["best"] - table["rules"]).to_numpy()
    lead = (table["learned"] - table["rules"]).to_numpy()
    table.insert(
        5, "lead_share", np.divide(lead, gap, out=np.full(len(gap), np.nan), where=gap > 0)
    )
    happened = (tuple(loop.promotions), tuple(loop.alarms))
    return Rehearsal(table, *happened, np.array(actions), np.array(right), tuple(loop.results))
