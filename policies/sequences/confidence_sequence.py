"""Intervals that hold at every look, from day sums: how far a running mean may be from its truth."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from policies.errors import EvaluationError
from policies.log import Floats
from policies.sequences.boundaries import POWER_AT, TUNED_AT, Tuning, best_rho, boundary
from policies.sequences.days import DaySums, Side

TUNED_ROWS = 5_000.0  # rows at which an asymptotic sequence is tightest
PLANS = np.geomspace(1, 1e13, 200)  # rows that may be needed; between them is interpolated


def sequence_interval(
    days: Sequence[DaySums],
    alpha_low: float,
    alpha_high: float,
    *,
    tuned_at: float = TUNED_AT,
    minimum_effect: float | None = None,
) -> tuple[float, float, float]:
    """Bounds that hold at every look, from day sums: (low, high, difference) per logged row.

    What they bound is the running mean, over all logged rows so far, of each row's conditional mean
    given the past: contexts, loggers and policies may change. With probability at least
    1 − alpha_low it never lies below low, whenever and however often one looks; likewise high.

    Empirical-Bernstein sequence with a gamma-exponential mixture (Howard, Ramdas, McAuliffe &
    Sekhon 2021, Theorem 4 and Proposition 9): low = (Σ X − c·s(V / c²)) / n, V = Σ (X − centre)².

    Args:
        days: all days of the sequence.
        alpha_low, alpha_high: error probability of each side.
        tuned_at: V, in squares of the wider of the two bounds, at which the interval is tightest;
            declared, like everything else, before the first look.
        minimum_effect: a difference per logged row; the sequence is then tuned to decide it soonest
            (see `Tuning`), and is about the `tuned_days`. Without any, the bounds are infinite.

    Raises:
        EvaluationError: no days, or bounds that changed within the sequence or are far from any
            contribution.
    """
    if minimum_effect is not None:
        days = tuned_days(days) or days
    n = sum(each.n for each in days)
    if not n:
        raise EvaluationError("a sequence needs at least one row", hint="wait for a matured day")
    difference = sum(each.total for each in days) / n
    if minimum_effect is not None and not days[0].spread:
        return -math.inf, math.inf, difference
    widest = max(max(each.low.bound, each.high.bound) for each in days)
    reach = []
    for name, alpha in (("low", alpha_low), ("high", alpha_high)):
        c, half = _bound(days, name), 0.0
        if c:
            if minimum_effect is None:
                tuning = Tuning(best_rho(alpha, tuned_at * float(np.square(widest / c))))
            else:
                foreseen = days[0].spread / days[0].n
                tuning = Tuning.to_decide(minimum_effect, foreseen, alpha, c)
            half = float(_half(sum(getattr(each, name).square for each in days), alpha, c, tuning))
        reach.append((sum(getattr(each, name).total for each in days), half))
    low, high = (reach[0][0] - reach[0][1]) / n, (reach[1][0] + reach[1][1]) / n
    return low, high, difference


def tuned_days(days: Sequence[DaySums]) -> Sequence[DaySums]:
    """The days that a tuned sequence is about: from the first that was known to differ, and how much.

    The variance expected of that day tunes it; whatever came before led to the expectation.
    """
    first = next((i for i, each in enumerate(days) if each.spread), len(days))
    return days[first:]


def rows_to_decide(
    days: Sequence[DaySums], alpha: float, effect: float, minimum_effect: float
) -> int | None:
    """Logged rows of a tuned sequence after which an effect has been shown with 80 % power.

    The n at which n·effect exceeds the boundary for V by .84 standard errors of the sum. V grows as
    expected of the days so far (`DaySums.spread`), which is steadier than what it was where hardly
    any draw tells the two apart.

    Args:
        days: the days so far.
        alpha: error probability of the lower bound.
        effect: per logged row, above what is to be exceeded.
        minimum_effect: what the sequence is tuned to.

    Returns:
        The total number of rows; None while nothing is foreseen, or for more than 10¹³.
    """
    days = tuned_days(days)
    c = _bound(days, "low") if days else 0.0
    if not c:
        return None
    v = PLANS * sum(each.spread for each in days) / sum(each.n for each in days)
    tuning = Tuning.to_decide(minimum_effect, days[0].spread / days[0].n, alpha, c)
    reach = _half(v, alpha, c, tuning) + POWER_AT * np.sqrt(v)
    short = np.log(reach / (PLANS * effect))  # falls through 0 at the number wanted
    first = int((short <= 0).argmax())
    if not first:
        return None
    around = slice(first - 1, first + 1)
    return math.ceil(float(np.exp(np.interp(0.0, -short[around], np.log(PLANS[around])))))


def _bound(days: Sequence[DaySums], name: str) -> float:
    """The one bound of a side; 0 if no row has needed any."""
    sides: list[Side] = [getattr(each, name) for each in days]
    bound = {side.bound for side in sides if side.square or side.bound}
    if len(bound) > 1:
        raise EvaluationError(
            f"the {name} bound changed within the sequence: {sorted(bound)}",
            hint="a bound is fixed before the first row; pass the days so far as `before`",
        )
    return bound.pop() if bound else 0.0


def _half(v: Floats | float, alpha: float, c: float, tuning: Tuning) -> Floats:
    """How far Σ contributions may be above its mean, for V and a bound c."""
    try:
        return c * boundary(v / c**2, alpha, tuning.rho, tuning.lines)
    except ArithmeticError as error:
        raise EvaluationError(
            f"a bound of {c:g} is too far from the other side's, or from all contributions, to"
            " compute with",
            hint="leave the bounds out, or declare how far below 0 a contribution may lie",
        ) from error


def asymptotic_interval(
    days: Sequence[DaySums], alpha_low: float, alpha_high: float, *, tuned_at: float = TUNED_ROWS
) -> tuple[float, float, float]:
    """Bounds that hold at every look once there are enough rows, as `sequence_interval` gives them.

    low = Σ X / n − sqrt(2·(V + ρ)·log(1 + sqrt((V + ρ) / ρ) / (2·alpha))) / n with V = Σ X² −
    (Σ X)² / n: the one-sided asymptotic sequence of Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas
    (2024), which needs no declared range. Early looks, rare rewards and skewed logs break it: see
    docs/estimators.md for how often.

    Args:
        days, alpha_low, alpha_high: as for `sequence_interval`.
        tuned_at: rows at which it is tightest.
    """
    n = sum(each.n for each in days)
    if not n:
        raise EvaluationError("a sequence needs at least one row", hint="wait for a matured day")
    total = sum(each.total for each in days)
    v = max(sum(each.square for each in days) - total**2 / n, 0.0)
    reach = []
    for alpha in (alpha_low, alpha_high):
        rho = best_rho(alpha, tuned_at) * v / n
        inside = (v + rho) * math.log1p(math.sqrt((v + rho) / rho) / (2 * alpha)) if v else 0.0
        reach.append(math.sqrt(2 * inside))
    return (total - reach[0]) / n, (total + reach[1]) / n, total / n
