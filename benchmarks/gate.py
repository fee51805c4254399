"""The gate's operating characteristics: what it promotes and rejects under daily looks, and when.

Run it with `uv run python -m benchmarks.gate [STREAMS] [NAME …]`; docs/gate.md shows the tables. A
stream is a world of its own: for 14 days the incumbent acts alone, as before any trial, and then the
gate looks every evening for 60 days. Candidate and incumbent are valued as they would act, by a reward
model of rows that had matured before each day, and true differences are `true_value`'s on the log.
Rows needed are compared with the fixed-n formula 7.85·σ²/δ² (80 % power, 5 % two-sided, one look).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import numpy as np

from policies import AsDeployed, Gate, LoggedDecisions, Policy, assess, cross_fit
from policies.sequences.days import NO_DAYS, DaySums, day_sums, noise_share
from simulation import World, scenario
from simulation.world import START

BEFORE, DAYS, WEEK, POWER = 14, 60, 7, 7.85
BEYOND = 100  # days between the starts of logs that go on from each other
STREAMS = 500


@dataclass(frozen=True)
class Case:
    """A line of the table.

    Attributes:
        scenario: its name.
        customers: decisions a day.
        portion: share of the streams that the command line gives.
        effect: minimum effect per logged row; None is the stream's own true difference.
        share: of decisions drawn uniformly; None is the scenario's.
        reward: "visits" or "money".
        goes_on: how often 60 days with other customers may follow, until there is a verdict.
    """

    scenario: str
    customers: int
    portion: float = 1.0
    effect: float | None = 0.005
    share: float | None = None
    reward: str = "visits"
    goes_on: int = 0


CASES = {
    "same": Case("same", 1_000),
    "same_money": Case("same", 1_000, 0.2, effect=0.03, reward="money"),
    "worse_5": Case("worse_5", 1_000),
    "better_5": Case("better_5", 2_500, 0.3),
    "better_5_small": Case("better_5", 1_000, 0.2),
    "explore_5": Case("better_5", 2_500, 0.1, share=0.05),
    "explore_10": Case("better_5", 2_500, 0.1, share=0.1),
    "explore_50": Case("better_5", 2_500, 0.1, share=0.5),
    "better_5_money": Case("better_5", 12_000, 0.2, effect=0.03, reward="money"),
    "broken_log": Case("broken_log", 300, 0.3),
    "thin_overlap": Case("thin_overlap", 12_000, 0.04, effect=None, goes_on=5),
}


class Stream(NamedTuple):
    """What one stream came to.

    Attributes:
        verdict: the first other than hold, or hold.
        rows: choice rows at it, or in all.
        formula: choice rows by the formula, with the stream's variance and true difference.
        foreseen: choice rows in all that the gate needs, as it says after a week.
        named: whether the rule `log` failed.
    """

    verdict: str
    rows: int
    formula: float
    foreseen: float
    named: bool


def acting(world: World, policy: Policy, log: LoggedDecisions) -> np.ndarray:
    """What a policy would do on the log's rows once deployed in the world."""
    return AsDeployed(policy, world.exploration).distribution(log.contexts, log.eligible)


def parts(case: Case, seed: int) -> Iterator[tuple[list[DaySums], float, tuple[str, ...]]]:
    """Day sums of 60 days, their total true difference, and what is wrong with the log."""
    done: list[DaySums] = []
    for turn in range(case.goes_on + 1):
        world = scenario(
            case.scenario, case.customers, seed=seed + 100_000 * turn, reward=case.reward
        )
        if case.share is not None:
            world = replace(world, uniform_share=case.share)
        start = np.datetime64(START) + BEYOND * turn
        log = world.history(BEFORE + DAYS, start=str(start))
        expected, known = cross_fit(log, by="date"), noise_share(log, start + BEFORE)
        assert log.decision_date is not None
        assert world.candidate is not None
        judged = log.decision_date >= start + BEFORE
        log = log[judged]
        ours, theirs = (acting(world, policy, log) for policy in (world.candidate, world.incumbent))
        problems = assess(log, ours).reasons if world.corrupt_log else ()
        sums = day_sums(log, ours, theirs, expected[judged], before=done, noise=known)
        true = world.true_value(ours, log) - world.true_value(theirs, log)
        done = done + sums
        yield sums, true * len(log), tuple(problems)


def one(seed: int, case: Case) -> Stream:
    """Look every day until the verdict is not hold."""
    days: list[DaySums] = []
    true, foreseen, verdict = 0.0, np.nan, None
    for sums, gained, problems in parts(case, seed):
        days, true, seen = days + sums, true + gained, len(days)
        gate = Gate(minimum_effect=case.effect or abs(true) / sum(days, NO_DAYS).n)
        for look in range(seen + 1, len(days) + 1):
            verdict = gate.judge(days[:look], "champion", problems=problems)
            if look == WEEK and verdict.rows_needed is not None:
                foreseen = verdict.rows_needed * verdict.n_choice / verdict.n
            if verdict.verdict != "hold":
                break
        if verdict is not None and verdict.verdict != "hold":
            break
    assert verdict is not None
    whole = sum(days, NO_DAYS)
    n = whole.n_choice
    variance = whole.square / n - (whole.total / n) ** 2
    formula = POWER * variance / (true / n) ** 2  # forced rows differ by nothing
    named = not verdict.rules["log"]["holds"]
    return Stream(verdict.verdict, verdict.n_choice, formula, foreseen, named)


def line(name: str, case: Case, streams: list[Stream]) -> str:
    """A line of the table."""
    shares = [
        np.mean([stream.verdict == verdict for stream in streams])
        for verdict in ("promote", "reject", "hold")
    ]
    text = f"{name:15}|{len(streams):5}|{case.customers:7,}|" + "|".join(
        f"{share:7.1%}" for share in shares
    )
    decided = "promote" if shares[0] >= shares[1] else "reject"
    rows = np.array([stream.rows if stream.verdict == decided else np.inf for stream in streams])
    formula = np.array([stream.formula for stream in streams])
    half, most = np.quantile(rows, [0.5, 0.8], method="higher")
    if case.scenario not in ("same", "broken_log"):
        low, high = between(rows, formula)
        text += f"|{half:11,.0f}|{most:11,.0f}|{np.median(formula):11,.0f}"
        text += f"|{most / np.median(formula):5.2f} ({low:.2f} to {high:.2f})"
    if case.scenario == "broken_log":
        text += f"| cause named {np.mean([stream.named for stream in streams]):.1%}"
    if case.effect is None:
        off = np.median(
            np.maximum(ratio := np.array([stream.foreseen for stream in streams]) / most, 1 / ratio)
        )
        text += f"| forecast after {WEEK} days {np.median(ratio):.2f} of it, off by {off:.2f}"
    return text


def between(rows: np.ndarray, formula: np.ndarray) -> tuple[float, float]:
    """90 % of bootstrapped ratios of the rows by which 80 % are decided to the median formula."""
    rng, n = np.random.default_rng(0), len(rows)
    ratios = []
    for _ in range(2_000):
        drawn = rng.integers(0, n, n)
        most = np.quantile(rows[drawn], 0.8, method="higher")
        ratios.append(most / np.median(formula[drawn]))
    low, high = np.quantile(ratios, [0.05, 0.95], method="nearest")
    return float(low), float(high)


def main() -> None:
    """Print a line a case."""
    numbers = [word for word in sys.argv[1:] if word.isdigit()]
    names = [word for word in sys.argv[1:] if not word.isdigit()]
    streams = int(numbers[0]) if numbers else STREAMS
    print(
        f"{'case':15}|    n|  a day|promote| reject|   hold|       50 %|       80 %|    formula|ratio"
    )
    for name in names or CASES:
        case = CASES[name]
        with ProcessPoolExecutor(2) as pool:
            seeds = range(max(2, round(streams * case.portion)))
            print(line(name, case, list(pool.map(partial(one, case=case), seeds))), flush=True)


if __name__ == "__main__":
    main()
