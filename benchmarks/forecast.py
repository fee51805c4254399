"""What promoted policies were forecast to earn, and what they truly earned on later rows.

Run it with `uv run python -m benchmarks.forecast [WORLDS]`. Each world is a small company's closed loop; its
promotions are compared with the true gain over whom was replaced, on the rows from the next day to the next
promotion, and with the gain in live value, which no log shows. What a forecast knows of candidates in
general it learns from all other worlds: from their trials, promoted or not, and from what their promotions
earned by the estimates of later rows, never from the truth.
"""

from __future__ import annotations

import sys
from concurrent.futures import ProcessPoolExecutor
from typing import Any, NamedTuple

import numpy as np

from policies import AsDeployed, Gate
from policies.judging.forecast import Prior, Retention, forecast, trial_result
from policies.sequences.days import DaySums
from simulation import scenario
from simulation.loop import LoopSettings
from simulation.loop_result import run_loop

SCENARIOS = ("stable", "season", "fatigue", "delayed_rewards", "same")  # each stays as it is
CUSTOMERS, DAYS, LATER, LIVE, EFFECT, WORLDS = 2_000, 60, 7, 45, 0.01, 310
GRID = (
    {"cb_type": "mtr", "learning_rate": 0.1, "passes": 2, "standardise": True},
    {"cb_type": "mtr", "learning_rate": 0.02, "passes": 3, "bins": 8, "standardise": True},
)


class Promoted(NamedTuple):
    """A promotion: its evidence, and the gain that was realised, estimated, true and live."""

    world: int
    sums: tuple[DaySums, ...]
    later: tuple[float, float]
    realised: float
    live: float


def one(seed: int) -> tuple[list[Promoted], list[tuple[float, float]]]:
    """The promotions of a world that had a week or more to show their worth, and all its trials."""
    gate = Gate(margin=0.005, minimum_effect=EFFECT, min_days=7)
    world = scenario(SCENARIOS[seed % len(SCENARIOS)], CUSTOMERS, seed=seed)
    result, found = run_loop(world, DAYS, LoopSettings(gate=gate, grid=GRID, rows=60_000)), []
    for promotion in result.promotions:
        if len(promotion.later) < LATER:
            continue
        new, old = (
            world.live_value(AsDeployed(policy, world.exploration), LIVE)[0]
            for policy in (promotion.policy, promotion.replaced)
        )
        later, realised = trial_result(promotion.later), result.realised(promotion)
        found.append(Promoted(seed, promotion.sums, later, realised, new - old))
    return found, list(result.results)


def main() -> None:
    """Print optimism, error and coverage."""
    worlds = int(sys.argv[1]) if len(sys.argv) > 1 else WORLDS
    with ProcessPoolExecutor() as pool:
        runs = list(pool.map(one, range(worlds)))
    promoted = [each for found, _ in runs for each in found]
    realised = np.array([each.realised for each in promoted])
    live = np.array([each.live for each in promoted])
    trials = sum(len(results) for _, results in runs)
    print(f"{worlds} worlds, {trials} trials ended, {len(promoted)} promotions with later rows")
    print(f"mean gain realised {realised.mean():+.4f}, live {live.mean():+.4f}")
    default = Prior.default(2 * EFFECT)
    told = []
    for world in range(worlds):
        own = [each for each in promoted if each.world == world]
        if own:
            prior, kept = _seen(world, promoted, runs)
            told += [
                (forecast(e.sums, prior, kept), forecast(e.sums, default, Retention())) for e in own
            ]
    for name, way in (
        ("raw", [each.raw for each, _ in told]),
        ("posterior_mean", [each.posterior_mean for each, _ in told]),
        ("first promotion", [each.difference for _, each in told]),
        ("published", [each.difference for each, _ in told]),
    ):
        off = np.array(way) - realised
        error = off.std(ddof=1) / np.sqrt(len(off))
        print(
            f"{name:16} mean error {off.mean():+.4f} ± {error:.4f} ({off.mean() / error:+.1f} se),"
            f" above live by {np.mean(np.array(way) - live):+.4f}"
        )
    for name, which in (("published", 0), ("first promotion", 1)):
        each = [pair[which] for pair in told]
        inside = np.mean([t.low <= r <= t.high for t, r in zip(each, realised)])
        width = np.mean([t.high - t.low for t in each])
        print(f"{name:16} 90 % intervals hold {inside:.1%}, width {width:.4f}")


def _seen(
    world: int, promoted: list[Promoted], runs: list[tuple[Any, list[tuple[float, float]]]]
) -> tuple[Prior, Retention]:
    """What all other worlds have seen of trials and promotions."""
    trials = [r for other, (_, results) in enumerate(runs) if other != world for r in results]
    prior = Prior.default(2 * EFFECT).updated(trials)
    past = [(forecast(e.sums, prior), *e.later) for e in promoted if e.world != world]
    return prior, Retention().updated(past)


if __name__ == "__main__":
    main()
