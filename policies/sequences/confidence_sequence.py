"""Confidence sequences from day sums: intervals of a running mean that are valid at every look."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import dropwhile

import numpy as np

from policies.errors import EvaluationError
from policies.log import Floats
from policies.sequences.boundaries import POWER_AT, TUNED_AT, Tuning, best_rho, boundary
from policies.sequences.days import NO_DAYS, DaySums, Side

PLANS = np.geomspace(1, 1e13, 200)  # candidate numbers of rows; results are interpolated


def sequence_interval(
    days: Sequence[DaySums],
    alpha_low: float,
    alpha_high: float,
    *,
    minimum_effect: float | None = None,
) -> tuple[float, float, float]:
    """Bounds that hold at every look, from day sums: (low, high, difference) per logged row.

    They bound the running mean, over all logged rows so far, of each row's conditional mean given
    the past: contexts, loggers and policies may change. With probability at least 1 − alpha_low it
    never lies below low, at any number of looks; likewise high.

    Empirical-Bernstein sequence with a gamma-exponential mixture (Howard, Ramdas, McAuliffe &
    Sekhon 2021, Theorem 4 and Proposition 9): low = (Σ X − c·s(V / c²)) / n, V = Σ (X − centre)².

    Args:
        days: all days of the sequence.
        alpha_low, alpha_high: error probability of each side.
        minimum_effect: a difference per logged row; the sequence is then tuned to decide it soonest
            (see `Tuning`), and is about the `tuned_days`. Without any, the bounds are infinite.

    Raises:
        EvaluationError: no days, or bounds that changed within the sequence or are far from any
            contribution.
    """
    if minimum_effect is not None:
        days = tuned_days(days) or days
    whole = sum(days, NO_DAYS)
    if not whole.n:
        raise EvaluationError("a sequence needs at least one row", hint="wait for a matured day")
    difference = whole.total / whole.n
    if minimum_effect is not None and not days[0].spread:
        return -math.inf, math.inf, difference
    bounds = _bound([day.low for day in days]), _bound([day.high for day in days])

    def half(side: Side, c: float, alpha: float) -> float:
        if not c:
            return 0.0
        if minimum_effect is None:
            tuning = Tuning(best_rho(alpha, TUNED_AT * float(np.square(max(bounds) / c))))
        else:
            tuning = Tuning.to_decide(minimum_effect, days[0].spread / days[0].n, alpha, c)
        return float(_half(side.square, alpha, c, tuning))

    low = whole.low.total - half(whole.low, bounds[0], alpha_low)
    high = whole.high.total + half(whole.high, bounds[1], alpha_high)
    return low / whole.n, high / whole.n, difference


def tuned_days(days: Sequence[DaySums]) -> Sequence[DaySums]:
    """Days from the first with a variance forecast, which tunes the sequence.

    Earlier days only led to the forecast.
    """
    return list(dropwhile(lambda day: not day.spread, days))


def rows_to_decide(
    days: Sequence[DaySums], alpha: float, effect: float, minimum_effect: float
) -> int | None:
    """Smallest n, in logged rows of a tuned sequence, with 80 % power to show an effect.

    There n·effect exceeds the boundary for V by .84 standard errors of the sum. V increases as
    forecast for the days so far (`DaySums.spread`); the observed V is less steady where few draws
    tell the two apart.

    Args:
        days: the days so far.
        alpha: error probability of the lower bound.
        effect: per logged row, above what is to be exceeded.
        minimum_effect: what the sequence is tuned to.

    Returns:
        The total number of rows; None without a variance forecast, or for more than 10¹³.
    """
    days = tuned_days(days)
    c = _bound([day.low for day in days])
    if not c:
        return None
    whole = sum(days, NO_DAYS)
    v = PLANS * whole.spread / whole.n
    tuning = Tuning.to_decide(minimum_effect, days[0].spread / days[0].n, alpha, c)
    reach = _half(v, alpha, c, tuning) + POWER_AT * np.sqrt(v)
    short = np.log(reach / (PLANS * effect))  # falls through 0 at the number of rows
    first = int((short <= 0).argmax())
    if not first:
        return None
    around = slice(first - 1, first + 1)
    return math.ceil(float(np.exp(np.interp(0.0, -short[around], np.log(PLANS[around])))))


def _bound(sides: Sequence[Side]) -> float:
    """The one bound of the days' sides; 0 if no row has needed any."""
    bounds = {side.bound for side in sides if side.square or side.bound}
    if len(bounds) > 1:
        raise EvaluationError(
            f"a bound changed within the sequence: {sorted(bounds)}",
            hint="a bound is fixed before the first row; pass the days so far as `before`",
        )
    return bounds.pop() if bounds else 0.0


def _half(v: Floats | float, alpha: float, c: float, tuning: Tuning) -> Floats:
    """The largest excess of Σ contributions over its mean, for V and a bound c."""
    try:
        return c * boundary(v / c**2, alpha, tuning.rho, tuning.lines)
    except ArithmeticError as error:
        raise EvaluationError(
            f"a bound of {c:g} is too far from the other side's, or from all contributions, to"
            " compute with",
            hint="leave the bounds out, or declare how far below 0 a contribution may lie",
        ) from error
