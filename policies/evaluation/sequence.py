"""Intervals that hold at every look, from day sums: how far a running mean may be from its truth."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy import special

from policies.errors import EvaluationError
from policies.evaluation.day_sums import DaySums
from policies.logged import Floats

TUNED_ROWS = 5_000.0  # rows at which an asymptotic sequence is tightest
TUNED_AT = 200.0  # V / (wider bound)² at which a sequence is tightest; see best_rho


def sequence_interval(
    days: Sequence[DaySums],
    alpha_low: float,
    alpha_high: float,
    *,
    tuned_at: float = TUNED_AT,
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

    Raises:
        EvaluationError: no days, or bounds that changed within the sequence or are far from any
            contribution.
    """
    n = sum(each.n for each in days)
    if not n:
        raise EvaluationError("a sequence needs at least one row", hint="wait for a matured day")
    widest = max(max(each.low.bound, each.high.bound) for each in days)
    reach = []
    for name, alpha in (("low", alpha_low), ("high", alpha_high)):
        sides = [getattr(each, name) for each in days]
        bound = {side.bound for side in sides if side.square or side.bound}
        if len(bound) > 1:
            raise EvaluationError(
                f"the {name} bound changed within the sequence: {sorted(bound)}",
                hint="a bound is fixed before the first row; pass the days so far as `before`",
            )
        c = bound.pop() if bound else 0.0
        v = sum(side.square for side in sides)
        half = 0.0
        if c:
            try:
                rho = best_rho(alpha, tuned_at * (widest / c) ** 2)
                half = c * float(boundary(v / c**2, alpha, rho))
            except ArithmeticError as error:
                raise EvaluationError(
                    f"bounds of {c:g} and {widest:g} are too far from each other, or from all"
                    " contributions, to compute with",
                    hint="leave them out, or declare how far below 0 a contribution may lie",
                ) from error
        reach.append((sum(side.total for side in sides), half))
    low, high = (reach[0][0] - reach[0][1]) / n, (reach[1][0] + reach[1][1]) / n
    return low, high, sum(each.total for each in days) / n


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


def log_mixture(s: Floats, v: Floats, rho: float) -> Floats:
    """log of the gamma-exponential mixture m(s, v) for s >= 0, v >= 0, in units where c = 1.

    m(s, v) = ∫_0^1 exp(λs − ψ(λ)v) f(λ) dλ, ψ(λ) = −log(1 − λ) − λ, where 1 − λ has the gamma
    density of shape and rate rho, cut at 1. With a = v + rho and P the regularised lower
    incomplete gamma function, log m = s − a·log1p(s/a) + g(a) − g(rho) + log P(a, a + s)
    − log P(rho, rho), g(a) = lgamma(a) + a − a·log a: Howard, Ramdas, McAuliffe & Sekhon (2021),
    Proposition 9, arranged so that nothing cancels when v is large (P >= 1/2 as s >= 0).
    """
    a = v + rho
    prior = _gamma_rest(np.asarray(rho)) + math.log(special.gammainc(rho, rho))
    mixed: Floats = (
        s - a * np.log1p(s / a) + _gamma_rest(a) + np.log(special.gammainc(a, a + s)) - prior
    )
    return mixed


def _gamma_rest(a: Floats) -> Floats:
    """lgamma(a) + a − a·log a, by Stirling's series where a is large."""
    large = np.maximum(a, 50.0)
    series = 0.5 * np.log(2 * np.pi / large) + 1 / (12 * large) - 1 / (360 * large**3)
    small = np.minimum(a, 50.0)
    return np.where(a > 50.0, series, special.gammaln(small) + small - small * np.log(small))


def boundary(v: Floats | float, alpha: float, rho: float) -> Floats:
    """s such that log_mixture(s, v, rho) = log(1 / alpha), for c = 1.

    By Ville's inequality the probability that Σ(X_i − μ_i) ever exceeds it is at most alpha, when
    X_i − centre_i >= −1 and v = Σ(X_i − centre_i)²: exp(λ(X − μ) − ψ(λ)(X − centre)²) has mean at
    most 1 for every λ in [0, 1) (Fan, Grama & Liu 2015), hence so has the mixture.
    """
    wanted = math.log(1 / alpha)
    a = np.asarray(v, dtype=np.float64) + rho
    s = np.sqrt(2 * a * (wanted + 2)) + wanted  # Newton: log_mixture is convex and rises in s
    for _ in range(100):
        x = a + s
        log_density = -s + a * np.log1p(s / a) - np.log(x) - _gamma_rest(a)
        slope = s / x + np.exp(log_density) / special.gammainc(a, x)
        step = (log_mixture(s, a - rho, rho) - wanted) / slope
        s = s - step
        if (np.abs(step) <= 1e-9 * s).all():
            return np.asarray(s)
    raise ArithmeticError(f"no boundary found for v = {v}, alpha = {alpha}, rho = {rho}")


def best_rho(alpha: float, tuned_at: float = TUNED_AT) -> float:
    """The rho that makes `boundary` tight around v = tuned_at.

    About tuned_at / (L + log(1 + L)), L = 2·log(1 / (2·alpha)): Howard et al. (2021), Section 3.5.
    The choice moves the width only: v ten times later than tuned for costs some 6 %, ten times
    earlier some 25 %.
    """
    logs = 2 * math.log(1 / min(2 * alpha, 0.5))
    return tuned_at / (logs + math.log1p(logs))
