"""How wrong logged probabilities may be before a verdict falls."""

from __future__ import annotations

import math

import numpy as np
from scipy import optimize

from policies.log import Floats

MOST = 100.0  # largest factor searched


def sensitivity_gamma(direct: Floats, random: Floats, low: float, limit: float) -> float:
    """The largest Γ for which a lower bound stays above a limit, whatever p really was.

    Contributions are direct + random, random being proportional to 1/p. If every logged p is wrong
    by a factor between 1/Γ and Γ, the lowest mean takes random/Γ where random > 0 and random·Γ
    where it is negative, row by row and whatever the outcome (the marginal sensitivity model of Tan
    2006; Zhao, Small & Bhattacharya 2019). The distance from mean to bound grows with the standard
    deviation of these worst terms. All of it follows from three means and their mean products.

    Args:
        direct: (n,) what stays whatever p was.
        random: (n,) what p divides.
        low: lower bound of the mean of direct + random.
        limit: what the bound must exceed; for an upper bound pass all four negated.

    Returns:
        Γ >= 1, at most 100; 1.0 where the bound does not exceed the limit now.
    """
    terms = np.stack([direct, np.maximum(random, 0.0), np.minimum(random, 0.0)])
    means, products = terms.mean(axis=1), np.einsum("in,jn->ij", terms, terms) / len(direct)

    def moments(factor: float) -> tuple[float, float]:
        worst = np.array([1.0, 1 / factor, factor])
        mean = float(worst @ means)
        return mean, math.sqrt(max(float(worst @ products @ worst) - mean * mean, 0.0))

    mean, deviation = moments(1.0)

    def above(factor: float) -> float:
        worst, spread = moments(factor)
        return worst - (mean - low) * (spread / deviation if deviation else 1.0) - limit

    if not above(1.0) > 0:
        return 1.0
    if above(MOST) > 0:
        return MOST
    return float(optimize.brentq(above, 1.0, MOST, xtol=1e-15))
