"""Mixture boundaries: a sum of bounded contributions ever crosses one with probability ≤ alpha."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from policies.log import Floats

TUNED_AT = 200.0  # V / (wider bound)² at which a sequence is tightest; see best_rho
LINES = ((0.75, 0.45), (1.15, 0.45))  # of a tuned mixture: λs, as shares of the best, and weights
EARLIER = 10  # the rest of it is tightest at a V so many times smaller, for much larger effects
POWER_AT = 0.8416  # standard errors beyond a bound at which it is exceeded with 80 % probability


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
    log_p = np.log(special.gammainc(a, a + s))
    return np.asarray(s - a * np.log1p(s / a) + _gamma_rest(a) + log_p - prior)


def _gamma_rest(a: Floats) -> Floats:
    """lgamma(a) + a − a·log a, by Stirling's series where a is large."""
    large = np.maximum(a, 50.0)
    series = 0.5 * np.log(2 * np.pi / large) + 1 / (12 * large) - 1 / (360 * large**3)
    small = np.minimum(a, 50.0)
    return np.where(a > 50.0, series, special.gammaln(small) + small - small * np.log(small))


def boundary(
    v: Floats | float, alpha: float, rho: float, lines: Sequence[tuple[float, float]] = ()
) -> Floats:
    """s at which a mixture is 1 / alpha, for c = 1: log_mixture's, or one that adds single λs.

    By Ville's inequality the probability that Σ(X_i − μ_i) ever exceeds it is at most alpha, when
    X_i − centre_i >= −1 and v = Σ(X_i − centre_i)²: exp(λ(X − μ) − ψ(λ)(X − centre)²) has mean at
    most 1 for every λ in [0, 1) (Fan, Grama & Liu 2015), hence so has every mixture over λ that was
    fixed beforehand.

    Args:
        v: >= 0.
        alpha: error probability.
        rho: of log_mixture.
        lines: (λ, weight); each λ's own boundary is a straight line in v. What the weights leave of
            1 is log_mixture's.

    Raises:
        ArithmeticError: arguments so extreme that no boundary is found.
    """
    goal, rest = math.log(1 / alpha), 1 - sum(weight for _, weight in lines)
    a = np.asarray(v, dtype=np.float64) + rho
    s = np.sqrt(2 * a * (goal + 2)) + goal
    if lines:  # they only add to the mixture, so without them its boundary is higher
        s = boundary(v, alpha * rest, rho)
    for _ in range(100):  # Newton, from above: the mixture's log is convex in s and increases
        x = a + s
        log_density = -s + a * np.log1p(s / a) - np.log(x) - _gamma_rest(a)
        slopes = [s / x + np.exp(log_density) / special.gammainc(a, x)]
        parts = [log_mixture(s, a - rho, rho) + math.log(rest)]
        for lam, weight in lines:
            parts.append(lam * s + (math.log1p(-lam) + lam) * (a - rho) + math.log(weight))
            slopes.append(np.full(s.shape, lam))
        value = special.logsumexp(parts, axis=0)
        step = (value - goal) / (np.exp(parts - value) * slopes).sum(axis=0)
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


@dataclass(frozen=True)
class Tuning:
    """The mixture of a sequence; it affects the width only, and is fixed before the first row.

    Attributes:
        rho, lines: see `boundary`.
    """

    rho: float
    lines: tuple[tuple[float, float], ...] = ()

    @classmethod
    def to_decide(cls, effect: float, variance: float, alpha: float, bound: float) -> Tuning:
        """The mixture that decides an effect, with 80 % power, after few rows.

        After n rows their sum is at least n·effect − .84·sqrt(V) in 80 % of cases, V being
        n·variance. The boundary of a single λ is log(1 / alpha) / λ + λV / 2; it is lowest, with
        sqrt(2·V·log(1 / alpha)), at λ = sqrt(2·log(1 / alpha) / V). Both are equal at

            V = (variance / effect)² · (.84 + sqrt(2·log(1 / alpha)))².

        Most weight is on two λs around the one for this V. A forecast of half the variance then
        costs some 10 % more rows, of twice the variance some 30 %, and no validity. The rest is
        tight at V / 10, for effects that are much larger.

        Args:
            effect: per row, > 0.
            variance: of a row's contribution, as forecast.
            alpha: error probability of the side.
            bound: c.
        """
        logs = 2 * math.log(1 / alpha)
        v = max(float(np.square(variance / effect * (POWER_AT + math.sqrt(logs)) / bound)), 1.0)
        slopes = [(share * math.sqrt(logs / v), weight) for share, weight in LINES]
        lines = tuple((slope / (1 + slope), weight) for slope, weight in slopes)  # ψ bends, too
        return cls(best_rho(alpha, v / EARLIER), lines)
