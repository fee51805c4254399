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

from policies import Gate, LoggedDecisions, Policy, assess, cross_fit, final_distribution
from policies.sequences.days import DaySums, day_sums, noise_share
from simulation import World, scenario
from simulation.world import START

BEFORE, DAYS, ASKED, POWER = 14, 60, 7, 7.85
BEYOND = 100  # days between the starts of logs that go on from each other
STREAMS = 500


@dataclass(frozen=True)
class Case:
    """A line of the table.

    Attributes:
        scenario: its name.
        customers: decisions a day.
        portion: of the streams asked for.
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
        foreseen: choice rows in all that the gate asked for after a week.
        named: whether the gate said that the log cannot be trusted.
    """

    verdict: str
    rows: int
    formula: float
    foreseen: float
    named: bool


def acting(world: World, policy: Policy, log: LoggedDecisions) -> np.ndarray:
    """What a policy would do on the log's rows, with the world's floor and uniform share."""
    shares = {"floor": world.floor, "uniform_share": world.uniform_share}
    return final_distribution(policy, log.contexts, log.eligible, **shares)


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
        kept = log.decision_date >= start + BEFORE
        log = log[kept]
        ours, theirs = (acting(world, each, log) for each in (world.candidate, world.incumbent))
        problems = assess(log, ours).reasons if world.corrupt_log else ()
        sums = day_sums(log, ours, theirs, expected[kept], before=done, noise=known)
        true = world.true_value(ours, log) - world.true_value(theirs, log)
        done = done + sums
        yield sums, true * len(log), tuple(problems)


def one(seed: int, case: Case) -> Stream:
    """Look every day until the gate says something."""
    days: list[DaySums] = []
    true, foreseen, said = 0.0, np.nan, None
    for sums, gained, problems in parts(case, seed):
        days, true, seen = days + sums, true + gained, len(days)
        gate = Gate(minimum_effect=case.effect or abs(true) / sum(each.n for each in days))
        for look in range(seen + 1, len(days) + 1):
            said = gate.judge(days[:look], "champion", problems=problems)
            if look == ASKED and said.rows_needed is not None:
                foreseen = said.rows_needed * said.n_choice / said.n
            if said.verdict != "hold":
                break
        if said is not None and said.verdict != "hold":
            break
    assert said is not None
    n = sum(each.n_choice for each in days)
    mean = sum(each.total for each in days) / n
    variance = sum(each.square for each in days) / n - mean**2
    formula = POWER * variance / (true / n) ** 2  # forced rows differ by nothing
    named = not said.rules["log"]["holds"]
    return Stream(said.verdict, said.n_choice, formula, foreseen, named)


def line(name: str, case: Case, found: list[Stream]) -> str:
    """A line of the table."""
    shares = [
        np.mean([each.verdict == said for each in found]) for said in ("promote", "reject", "hold")
    ]
    text = f"{name:15}|{len(found):5}|{case.customers:7,}|" + "|".join(
        f"{share:7.1%}" for share in shares
    )
    decided = "promote" if shares[0] >= shares[1] else "reject"
    rows = np.array([each.rows if each.verdict == decided else np.inf for each in found])
    formula = np.array([each.formula for each in found])
    half, most = np.quantile(rows, [0.5, 0.8], method="higher")
    if case.scenario not in ("same", "broken_log"):
        low, high = between(rows, formula)
        text += f"|{half:11,.0f}|{most:11,.0f}|{np.median(formula):11,.0f}"
        text += f"|{most / np.median(formula):5.2f} ({low:.2f} to {high:.2f})"
    if case.scenario == "broken_log":
        text += f"| cause named {np.mean([each.named for each in found]):.1%}"
    if case.effect is None:
        off = np.median(
            np.maximum(ratio := np.array([s.foreseen for s in found]) / most, 1 / ratio)
        )
        text += f"| asked for after {ASKED} days {np.median(ratio):.2f} of it, off by {off:.2f}"
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
    numbers = [each for each in sys.argv[1:] if each.isdigit()]
    names = [each for each in sys.argv[1:] if not each.isdigit()]
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
