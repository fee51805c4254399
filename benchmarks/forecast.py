"""What promoted policies were forecast to earn, and what they truly earned on later rows.

Run it with `uv run python -m benchmarks.forecast [WORLDS]`. Each world is a small company's closed loop; its
promotions are compared with the true gain over whom was replaced, on the rows from the next day to the next
promotion, and with the gain in live value, which no log shows. A forecast's prior is learned from the trials
of all other worlds, promoted or not.
"""

from __future__ import annotations

import sys
from concurrent.futures import ProcessPoolExecutor
from typing import NamedTuple

import numpy as np

from policies import Gate
from policies.evaluation.day_sums import DaySums
from policies.evaluation.forecast import Prior, forecast
from simulation import scenario
from simulation.loop import Loop, Pace, run_loop

SCENARIOS = ("stable", "season", "fatigue", "delayed_rewards", "new_action")
CUSTOMERS, DAYS, LATER, EFFECT, WORLDS = 2_500, 60, 7, 0.01, 150
GRID = (
    {"cb_type": "mtr", "learning_rate": 0.1, "passes": 2, "standardise": True},
    {"cb_type": "mtr", "learning_rate": 0.02, "passes": 3, "bins": 8, "standardise": True},
)


class Promoted(NamedTuple):
    """A promotion: its evidence, and the gain that was realised, one-step and live."""

    world: int
    sums: tuple[DaySums, ...]
    realised: float
    live: float


def one(seed: int) -> tuple[list[Promoted], list[tuple[float, float]]]:
    """The promotions of a world that had a week or more to show their worth, and all its trials."""
    gate = Gate(margin=0.005, minimum_effect=EFFECT, min_days=7)
    world = scenario(SCENARIOS[seed % len(SCENARIOS)], CUSTOMERS, seed=seed)
    course = run_loop(world, DAYS, Pace(gate=gate, grid=GRID, rows=60_000))
    acting, found = Loop(world).acting, []
    for each in course.promotions:
        later = (course.table["champion"] == str(each.number)).sum()
        if later < LATER:
            continue
        new, old = (world.live_value(acting(p), 45)[0] for p in (each.policy, each.replaced))
        found.append(Promoted(seed, each.sums, course.realised(each), new - old))
    return found, list(course.results)


def main() -> None:
    """Print optimism, error and coverage."""
    worlds = int(sys.argv[1]) if len(sys.argv) > 1 else WORLDS
    with ProcessPoolExecutor() as pool:
        lived = list(pool.map(one, range(worlds)))
    promoted = [each for found, _ in lived for each in found]
    default = Prior.default(2 * EFFECT)
    learned = {
        seed: default.learned(
            [r for other, (_, rs) in enumerate(lived) if other != seed for r in rs]
        )
        for seed in {each.world for each in promoted}
    }
    realised = np.array([each.realised for each in promoted])
    live = np.array([each.live for each in promoted])
    trials = sum(len(results) for _, results in lived)
    print(f"{worlds} worlds, {trials} trials ended, {len(promoted)} promotions with later rows")
    print(f"mean gain realised {realised.mean():+.4f}, live {live.mean():+.4f}")
    ways = {"raw": None, "default prior": dict.fromkeys(learned, default), "learned prior": learned}
    for name, priors in ways.items():
        told = [forecast(e.sums, (priors or learned)[e.world]) for e in promoted]
        middle = np.array([each.difference if priors else each.raw for each in told])
        off = middle - realised
        error = off.std(ddof=1) / np.sqrt(len(off))
        line = (
            f"{name:14} mean error {off.mean():+.4f} ± {error:.4f} ({off.mean() / error:+.1f} se)"
        )
        if priors:
            inside = [t.low <= r <= t.high for t, r in zip(told, realised)]
            width = np.mean([t.high - t.low for t in told])
            line += f"  90 % intervals hold {np.mean(inside):.1%}, width {width:.4f}"
        print(f"{line}  above live by {np.mean(middle - live):+.4f}")


if __name__ == "__main__":
    main()
