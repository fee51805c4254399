"""The gate's operating characteristics: what it promotes and rejects under daily looks, and when.

Run it with `uv run python -m benchmarks.gate [STREAMS] [SCENARIO …]`. A stream is a world of its own whose
log is looked at every evening for 60 days; candidate and incumbent are valued as they would act, by a
reward model of rows matured before each day. Rows needed are compared with the fixed-n formula
7.85·σ²/δ² (80 % power, 5 % two-sided, one look), δ being the stream's true difference.
"""

from __future__ import annotations

import sys
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import NamedTuple

import numpy as np

from policies import Gate, LoggedDecisions, Policy, assess, cross_fit, final_distribution
from policies.evaluation.day_sums import DaySums, day_sums
from simulation import World, scenario

DAYS, EFFECT = 60, 0.005
CUSTOMERS = {"same": 1_000, "worse_5": 1_000, "better_5": 2_500, "broken_log": 300}
STREAMS = 500


class Stream(NamedTuple):
    """One stream: its first verdict other than hold, at how many choice rows, and the formula's n."""

    verdict: str
    rows: int
    formula: float
    reasons: str


def acting(world: World, policy: Policy, log: LoggedDecisions) -> np.ndarray:
    """What a policy would do on the log's rows, with the world's floor and uniform share."""
    shares = {"floor": world.floor, "uniform_share": world.uniform_share}
    return final_distribution(policy, log.contexts, log.eligible, **shares)


def one(seed: int, name: str) -> Stream:
    """Look every day until the gate says something."""
    world = scenario(name, CUSTOMERS[name], seed=seed)
    log = world.history(DAYS)
    assert world.candidate is not None
    ours, theirs = (acting(world, each, log) for each in (world.candidate, world.incumbent))
    problems = assess(log, ours).reasons if world.spoils else ()
    days = day_sums(log, ours, theirs, cross_fit(log, by="date"))
    verdict, rows, reasons = first_word(days, problems)
    true = world.true_value(ours, log) - world.true_value(theirs, log)
    n = sum(each.n_choice for each in days)
    mean = sum(each.total for each in days) / n
    variance = sum(each.square for each in days) / n - mean**2
    delta = true * len(log) / n  # per choice row, as forced rows differ by nothing
    return Stream(verdict, rows, 7.85 * variance / delta**2 if delta else np.inf, reasons)


def first_word(days: list[DaySums], problems: tuple[str, ...]) -> tuple[str, int, str]:
    """The first verdict that is not hold, or the last hold; choice rows so far; the sentence."""
    gate = Gate(minimum_effect=EFFECT)
    for look in range(1, len(days) + 1):
        said = gate.judge(days[:look], "champion", problems=problems)
        if said.verdict != "hold":
            break
    return said.verdict, said.n_choice, said.sentence


def main() -> None:
    """Print a line a scenario."""
    streams = int(sys.argv[1]) if len(sys.argv) > 1 else STREAMS
    for name in sys.argv[2:] or CUSTOMERS:
        with ProcessPoolExecutor() as pool:
            found = list(pool.map(partial(one, name=name), range(streams)))
        shares = {
            each: np.mean([stream.verdict == each for stream in found])
            for each in ("promote", "reject", "hold")
        }
        line = "  ".join(f"{each} {share:.1%}" for each, share in shares.items())
        rows = np.array([s.rows if s.verdict == "promote" else np.inf for s in found])
        formula = np.median([stream.formula for stream in found])
        if shares["promote"] > 0.8:
            half, most = np.quantile(rows, [0.5, 0.8], method="higher")
            line += (
                f"  choice rows to promotion: half {half:,.0f}, 80 % {most:,.0f}; formula "
                f"{formula:,.0f}, ratio {most / formula:.2f}"
            )
        if name == "broken_log":
            named = np.mean(["cannot be trusted" in stream.reasons for stream in found])
            line += f"  cause named {named:.1%}"
        print(f"{name:12} {streams} streams of {CUSTOMERS[name] * DAYS:,} rows  {line}", flush=True)


if __name__ == "__main__":
    main()
