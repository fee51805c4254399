"""What promoted policies were forecast to earn, and what they truly earned on later rows.

Run it with `uv run python -m benchmarks.forecast [WORLDS]`. Each world is a small company's closed loop; its
promotions are compared with the true gain over the policy replaced, on the rows from the next day to the next
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
    result, promoted = run_loop(world, DAYS, LoopSettings(gate=gate, grid=GRID, rows=60_000)), []
    for promotion in result.promotions:
        if len(promotion.later) < LATER:
            continue
        new, old = (
            world.live_value(AsDeployed(policy, world.exploration), LIVE)[0]
            for policy in (promotion.policy, promotion.replaced)
        )
        later, realised = trial_result(promotion.later), result.realised(promotion)
        promoted.append(Promoted(seed, promotion.sums, later, realised, new - old))
    return promoted, list(result.results)


def main() -> None:
    """Print optimism, error and coverage."""
    worlds = int(sys.argv[1]) if len(sys.argv) > 1 else WORLDS
    with ProcessPoolExecutor() as pool:
        outcomes = list(pool.map(one, range(worlds)))
    promoted = [promotion for promotions, _ in outcomes for promotion in promotions]
    realised = np.array([promotion.realised for promotion in promoted])
    live = np.array([promotion.live for promotion in promoted])
    trials = sum(len(results) for _, results in outcomes)
    print(f"{worlds} worlds, {trials} trials ended, {len(promoted)} promotions with later rows")
    print(f"mean gain realised {realised.mean():+.4f}, live {live.mean():+.4f}")
    default = Prior.default(2 * EFFECT)
    forecasts = []
    for world in range(worlds):
        own = [promotion for promotion in promoted if promotion.world == world]
        if own:
            prior, retention = _seen(world, promoted, outcomes)
            forecasts += [
                (forecast(p.sums, prior, retention), forecast(p.sums, default)) for p in own
            ]
    for name, way in (
        ("raw", [updated.raw for updated, _ in forecasts]),
        ("posterior_mean", [updated.posterior_mean for updated, _ in forecasts]),
        ("first promotion", [first.difference for _, first in forecasts]),
        ("published", [updated.difference for updated, _ in forecasts]),
    ):
        off = np.array(way) - realised
        error = off.std(ddof=1) / np.sqrt(len(off))
        print(
            f"{name:16} mean error {off.mean():+.4f} ± {error:.4f} ({off.mean() / error:+.1f} se),"
            f" above live by {np.mean(np.array(way) - live):+.4f}"
        )
    for name, which in (("published", 0), ("first promotion", 1)):
        chosen = [pair[which] for pair in forecasts]
        inside = np.mean([t.low <= r <= t.high for t, r in zip(chosen, realised)])
        width = np.mean([t.high - t.low for t in chosen])
        print(f"{name:16} 90 % intervals hold {inside:.1%}, width {width:.4f}")


def _seen(
    world: int, promoted: list[Promoted], outcomes: list[tuple[Any, list[tuple[float, float]]]]
) -> tuple[Prior, Retention]:
    """Prior and retention updated by the trials and promotions of all other worlds."""
    trials = [r for other, (_, results) in enumerate(outcomes) if other != world for r in results]
    prior = Prior.default(2 * EFFECT).updated(trials)
    past = [(forecast(e.sums, prior), *e.later) for e in promoted if e.world != world]
    return prior, Retention().updated(past)


if __name__ == "__main__":
    main()
