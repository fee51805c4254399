"""How many customer-days a second the simulator makes, on one core and with all effects on.

Run it with `uv run python -m benchmarks.simulating [CUSTOMERS] [DAYS]`. Twelve actions on four channels, with
consent, limits, pauses, fatigue, saturation, unsubscribing, late and lost outcomes. The baseline is what
numpy needs to draw twelve uniform numbers and take their largest, once a customer-day.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from policies.catalogue import Action, Catalogue
from policies.deciding.groups import Groups
from simulation import World, demo_catalogue, scenario
from simulation.scenarios import LATE, UNREPORTED
from simulation.world import START

REPEATS = 5


def twelve_actions() -> Catalogue:
    """The demo's six actions, and six more under limits of their own."""
    more = [
        (channel, number, 0.002 * (1 + number))
        for number, channel in enumerate(("email", "sms", "push", "phone", "email", "push"))
    ]
    extra = tuple(
        Action(
            f"{channel}_{number}",
            f"{channel} {number}",
            "more",
            channel,
            cost=cost,
            eligible_when=f"contacts_7d < {4 + number % 3}",
            applicable_when=f"days_since_{channel} IS NULL OR days_since_{channel} >= {2 + number % 2}",
        )
        for channel, number, cost in more
    )
    demo = demo_catalogue()
    return replace(demo, actions=(*demo.actions, *extra))


def busy_world(customers: int) -> World:
    """A world with every effect on."""
    world = scenario("fatigue", customers, catalogue=twelve_actions())
    return replace(world, response=replace(world.response, lags=LATE, lost=UNREPORTED))


def live(world: World, days: int) -> int:
    """Decide, answer and remember, part by part; the number of decisions."""
    groups, count = Groups(uniform=world.uniform_share, holdout=0.05), 0
    for part in world.parts():
        for day in part.run(days, START, floor=world.floor, groups=groups):
            count += len(day.rows)
    return count


def draw(customers: int, days: int) -> int:
    """The baseline."""
    rng = np.random.default_rng(0)
    for _ in range(days):
        rng.random((customers, 12)).argmax(axis=1)
    return customers * days


def seconds(work: Callable[[], int]) -> float:
    """Seconds per customer-day."""
    start = time.perf_counter()
    count = work()
    return (time.perf_counter() - start) / count


def main() -> None:
    """Print rates and ratios, each the median of side-by-side repeats."""
    customers, days = (int(number) for number in (*sys.argv[1:], 20_000, 60)[:2])
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    world = busy_world(customers)
    works = {
        "twelve uniform numbers": lambda: draw(customers, days),
        "decide, answer, remember": lambda: live(world, days),
        "the same into a log": lambda: len(world.history(days)),
    }
    taken = np.array([[seconds(work) for work in works.values()] for _ in range(REPEATS)])
    for name, column in zip(works, taken.T):
        ratio = np.median(column / taken[:, 0])
        rate = 1e-6 / np.median(column)
        print(f"{name:26} {rate:6.2f} million customer-days/s  {ratio:5.1f} times the first")


if __name__ == "__main__":
    main()
