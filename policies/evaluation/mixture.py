"""Mixtures whose crossing has a known chance, and where they are crossed: what sequences rest on."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import special

from policies.logged import Floats

TUNED_AT = 200.0  # V / (wider bound)² at which a sequence is tightest; see best_rho
LEAN = 0.8  # weight of a tuned mixture's one λ
EARLIER = 10  # the rest of it is tightest that much earlier, for effects that are much larger
POWER_AT = 0.8416  # standard errors past a bound that make it a chance of 80 % to be past it


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


def boundary(v: Floats | float, alpha: float, rho: float, line: float = 0.0) -> Floats:
    """s at which a mixture is 1 / alpha, for c = 1: log_mixture, or with a line that leans to it.

    By Ville's inequality the probability that Σ(X_i − μ_i) ever exceeds it is at most alpha, when
    X_i − centre_i >= −1 and v = Σ(X_i − centre_i)²: exp(λ(X − μ) − ψ(λ)(X − centre)²) has mean at
    most 1 for every λ in [0, 1) (Fan, Grama & Liu 2015), hence so has every mixture of λs that was
    fixed beforehand.

    Args:
        v: >= 0.
        alpha: error probability.
        rho: of log_mixture.
        line: a single λ that gets the weight LEAN; its own boundary is a straight line in v. 0 is
            log_mixture alone.

    Raises:
        ArithmeticError: arguments so extreme that no boundary is found.
    """
    wanted = math.log(1 / alpha)
    a = np.asarray(v, dtype=np.float64) + rho
    if line:  # what leaves the line out lies above, as it adds to the mixture
        s, psi = boundary(v, alpha * (1 - LEAN), rho), -math.log1p(-line) - line
    else:
        s, psi = np.sqrt(2 * a * (wanted + 2)) + wanted, 0.0
    for _ in range(100):  # Newton, from above: the mixture's log is convex and rises in s
        x = a + s
        log_density = -s + a * np.log1p(s / a) - np.log(x) - _gamma_rest(a)
        slope = s / x + np.exp(log_density) / special.gammainc(a, x)
        value = log_mixture(s, a - rho, rho)
        if line:
            straight = line * s - psi * (a - rho) + math.log(LEAN)
            mixed = np.logaddexp(straight, value + math.log(1 - LEAN))
            share = np.exp(straight - mixed)
            value, slope = mixed, share * line + (1 - share) * slope
        step = (value - wanted) / slope
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
    """Which mixture a sequence uses; it moves the width only, and is fixed before the first row.

    Attributes:
        rho, line: see `boundary`.
    """

    rho: float
    line: float = 0.0

    @classmethod
    def to_decide(cls, effect: float, variance: float, alpha: float, bound: float) -> Tuning:
        """The mixture that has decided an effect, with 80 % power, after the fewest rows.

        After n rows their sum is at least n·effect − z·sqrt(V) in 80 % of cases, with V =
        n·variance; a single λ asks for log(1 / alpha) / λ + λV / 2, least sqrt(2·V·log(1 / alpha))
        at λ = sqrt(2·log(1 / alpha) / V). Both are equal at V = (variance / effect)²·(z +
        sqrt(2·log(1 / alpha)))², for which λ is chosen; rho is for a tenth
        of it, so that effects much larger than this one are found much sooner. A wrong variance costs rows, not
        validity: λ a half too large or too small costs some 10 %.

        Args:
            effect: per row, > 0.
            variance: of a row's contribution, as foreseen.
            alpha: error probability of the side.
            bound: c.
        """
        logs = 2 * math.log(1 / alpha)
        v = max(float(np.square(variance / effect * (POWER_AT + math.sqrt(logs)) / bound)), 1.0)
        slope = math.sqrt(logs / v)
        return cls(best_rho(alpha, v / EARLIER), slope / (1 + slope))
