"""How often sequences ever miss the truth under 20 looks, and how wide they are: the docs' table.

Run it with `uv run python -m benchmarks.sequences [STREAMS]`. Every stream has 10,000 rows and looks
from row 200 on; a miss is a stream in which the truth lay outside at any look.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence

import numpy as np

from policies import LoggedDecisions
from policies.sequences.boundaries import best_rho
from policies.sequences.confidence_sequence import sequence_interval
from policies.sequences.days import NO_DAYS, DaySums, day_sums

TUNED_ROWS = 5_000.0  # at which the asymptotic sequence is tightest
ROWS, UNIFORM, SKEWED = 10_000, [1 / 3] * 3, [0.9, 0.05, 0.05]
LOOKS = np.geomspace(200, ROWS, 20).astype(int)
ARMS = [0.106, 0.183, 0.151]
CASES = {
    "value of one arm, uniform log": (UNIFORM, ARMS, (1,)),
    "value of one arm, skewed log": (SKEWED, ARMS, (1,)),
    "A/A, uniform log": (UNIFORM, [0.15] * 3, (1, 0)),
    "A/A, skewed log": (SKEWED, [0.15] * 3, (1, 0)),
    "A/A, rewards of 3 %, uniform log": (UNIFORM, [0.03] * 3, (1, 0)),
    "A/A, rewards of 3 %, skewed log": (SKEWED, [0.03] * 3, (1, 0)),
}


def asymptotic_interval(
    days: Sequence[DaySums], alpha_low: float, alpha_high: float
) -> tuple[float, float, float]:
    """What `policies` does not offer: bounds valid at every look only once there are enough rows.

    low = Σ X / n − sqrt(2·(V + ρ)·log(1 + sqrt((V + ρ) / ρ) / (2·alpha))) / n with V = Σ X² −
    (Σ X)² / n: the one-sided asymptotic sequence of Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas
    (2024), which needs no declared range.
    """
    whole = sum(days, NO_DAYS)
    n, v = whole.n, max(whole.square - whole.total**2 / whole.n, 0.0)
    halves = []
    for alpha in (alpha_low, alpha_high):
        rho = best_rho(alpha, TUNED_ROWS) * v / n
        inside = (v + rho) * math.log1p(math.sqrt((v + rho) / rho) / (2 * alpha)) if v else 0.0
        halves.append(math.sqrt(2 * inside))
    return (whole.total - halves[0]) / n, (whole.total + halves[1]) / n, whole.total / n


def stream(
    seed: int, chances: list[float], rates: list[float], arms: tuple[int, ...], estimator: str
) -> list[float]:
    """Of both kinds of sequence: whether it ever missed, and its width at the end."""
    rng, k = np.random.default_rng(seed), len(chances)
    action = rng.choice(k, ROWS, p=chances)
    reward = (rng.random(ROWS) < np.asarray(rates)[action]).astype(float)
    day = np.searchsorted(LOOKS, np.arange(ROWS), side="right")
    log = LoggedDecisions(
        [str(arm) for arm in range(k)],
        action,
        np.asarray(chances)[action],
        reward,
        distribution=np.tile(chances, (ROWS, 1)),
        reward_range=(0, 1),
        decision_date=np.datetime64("2026-01-01") + day,
    )
    expected, total, count = np.zeros((ROWS, k)), np.zeros(k), np.full(k, 5.0)
    for number in range(day.max() + 1):  # means of the days before
        rows = day == number
        expected[rows] = total / count
        total += np.bincount(action[rows], reward[rows], minlength=k)
        count += np.bincount(action[rows], minlength=k)
    targets = [np.tile(np.eye(k)[arm], (ROWS, 1)) for arm in arms]
    incumbent = targets[1] if len(arms) > 1 else None
    truth = rates[arms[0]] - (rates[arms[1]] if len(arms) > 1 else 0.0)
    days = day_sums(log, targets[0], incumbent, expected, estimator=estimator)
    results: list[float] = []
    for interval in (sequence_interval, asymptotic_interval):
        looks = [interval(days[: n + 1], 0.025, 0.025) for n in range(len(days))]
        missed = any(low > truth or high < truth for low, high, _ in looks)
        results += [float(missed), looks[-1][1] - looks[-1][0]]
    return results


def main() -> None:
    """Print the table."""
    streams = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000
    print(f"{streams} streams each: ever missed / width at {ROWS:,} rows, at 95 %")
    for name, case in CASES.items():
        for estimator in ("ips", "dr"):
            missed, width, late_missed, late_width = np.mean(
                [stream(seed, *case, estimator) for seed in range(streams)], axis=0
            )
            print(
                f"{name:34} {estimator:4} sequence {missed:6.1%} / {width:.4f}   "
                f"asymptotic {late_missed:6.1%} / {late_width:.4f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
