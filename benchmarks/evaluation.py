"""Value and interval of a target: against one numpy pass over the same bytes, and vw-estimators.

Run it with `uv run --with vw-estimators python -m benchmarks.evaluation`. vw-estimators takes rows
one by one, so it is timed on a part of them and compared by rows a second.
"""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable
from importlib import import_module

import numpy as np

from policies import LoggedDecisions, evaluate

ROWS, ACTIONS, CALLS, ROUNDS = 5_000_000, 8, 200_000, 7
PASSES, MEMORY = 3.0, 0.5
RIVALS = {("ips", "gaussian"): 50.0, ("snips", "gaussian"): 35.0, ("snips", "cressieread"): 35.0}
FED = {"a log's columns": False, "Python lists made beforehand": True}


def seconds(work: Callable[[], object]) -> float:
    """How long one call takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def beside(
    ours: Callable[[], object], other: Callable[[], object], rounds: int = ROUNDS
) -> tuple[float, float, float]:
    """Seconds of both, called in turn, and ours over the other's: each the median of the rounds."""
    taken = np.array([(seconds(ours), seconds(other)) for _ in range(rounds)])
    ratios = taken[:, 0] / taken[:, 1]
    return (*np.median(taken, axis=0), float(np.median(ratios)))


def rival(
    name: str, around: str, log: LoggedDecisions, chosen: np.ndarray, lists: bool
) -> Callable[[], object]:
    """Value and interval by vw-estimators, row by row, from columns or from lists (its fastest)."""
    value = import_module(f"estimators.bandits.{name}")
    interval = import_module(f"estimators.bandits.{around}")
    columns = [log.action_probability, log.reward, chosen]
    if lists:
        columns = [each.tolist() for each in columns]

    def work() -> object:
        estimator, bounds = value.Estimator(), interval.Interval()
        for p, r, pi in zip(*columns):
            estimator.add_example(p, r, pi)
            bounds.add_example(p, r, pi)
        return estimator.get(), bounds.get()

    return work


def main() -> None:
    """Print passes, memory and ratios beside their targets."""
    rng = np.random.default_rng(0)
    target, model = rng.random((ROWS, ACTIONS)), rng.random((ROWS, ACTIONS))
    target /= target.sum(axis=1, keepdims=True)
    action = rng.integers(0, ACTIONS, ROWS)
    log = LoggedDecisions(
        [f"a{each}" for each in range(ACTIONS)],
        action,
        np.full(ROWS, 1 / ACTIONS),
        rng.random(ROWS),
        reward_range=(0, 1),
    )
    columns = [target, log.action, log.action_probability, log.reward, log.eligible]
    bytes_read = sum(each.nbytes for each in columns)
    print(f"{ROWS:,} rows, {ACTIONS} actions; a pass is numpy's sum of all that is read")
    for name, needs in {
        "ips": False,
        "snips": False,
        "dr": True,
        "dros": True,
        "auto": True,
    }.items():
        given = {"expected_reward": model} if needs else {}
        read = [*columns, model] if needs else columns

        def whole(name: str = name, given: dict[str, np.ndarray] = given) -> object:
            return evaluate(log, target, estimators=name, **given)

        def one(read: list[np.ndarray] = read) -> object:
            return [each.sum() for each in read]

        first = seconds(whole) if name == "ips" else 0.0
        took, _, passes = beside(whole, one)
        tracemalloc.start()
        whole()
        extra = tracemalloc.get_traced_memory()[1] / (bytes_read + model.nbytes * needs)
        tracemalloc.stop()
        print(
            f"{name}: {passes:.1f} passes (target {PASSES:.0f}), "
            f"{extra:.2f} of the input in memory (target {MEMORY}), {ROWS / took:,.0f} rows/s"
            + f", the first call of all {first - took:+.2f} s" * (name == "ips")
        )
    part = log[:CALLS]
    chosen = target[np.arange(CALLS), part.action]
    for (name, around), wanted in RIVALS.items():
        for fed, lists in FED.items():
            took, taken, _ = beside(
                lambda name=name: evaluate(log, target, estimators=name),  # type: ignore[misc]
                rival(name, around, part, chosen, lists),
            )
            ours, theirs = ROWS / took, CALLS / taken
            print(
                f"{name}: ours {ours:,.0f} rows/s, vw-estimators with its {around} interval, from"
                f" {fed}, {theirs:,.0f}, ratio {ours / theirs:.0f} (target {wanted:.0f})"
            )


if __name__ == "__main__":
    main()
