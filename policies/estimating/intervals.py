"""Intervals around a mean of contributions at one look; for those at every look see `sequences`."""

from __future__ import annotations

import math

import numpy as np
from scipy import special

from policies.estimating.sums import Customers
from policies.log import Floats

_BLOCK = 4_000_000  # bootstrap draws held in memory at once


def normal(mean: float, std_error: float, confidence: float) -> tuple[float, float]:
    """mean ± z·std_error: for one look at a large fixed n."""
    half = float(special.ndtri((1 + confidence) / 2)) * std_error
    return mean - half, mean + half


def bootstrap(
    contributions: Floats,
    confidence: float,
    customers: Customers | None = None,
    *,
    draws: int = 1_000,
    seed: int = 0,
) -> tuple[float, float]:
    """Percentiles of the mean when customers are drawn again, each Poisson(1) times.

    Source: Efron & Tibshirani (1993); Poisson counts as in Chamandy et al. (2012).
    """
    n = len(contributions)
    codes, count = customers or (np.arange(n), n)
    sums = np.bincount(codes, contributions, minlength=count)
    sizes = np.bincount(codes, minlength=count)
    rng = np.random.default_rng(seed)
    means, step = np.empty(draws), max(1, _BLOCK // count)
    for start in range(0, draws, step):
        times = rng.poisson(1.0, (min(step, draws - start), count))
        means[start : start + step] = (times @ sums) / np.maximum(times @ sizes, 1)
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def bernstein(contributions: Floats, confidence: float, span: float) -> tuple[float, float]:
    """Empirical Bernstein interval for n independent rows whose contributions span `span`.

    mean ± (sqrt(2·var·L / n) + 7·span·L / (3·(n − 1))), L = log(4 / (1 − confidence)).
    Valid at any fixed n. Source: Maurer & Pontil (2009), Theorem 4, once for each side.
    """
    n = len(contributions)
    if n < 2:
        return -math.inf, math.inf
    logs = math.log(4 / (1 - confidence))
    half = math.sqrt(2 * contributions.var(ddof=1) * logs / n) + 7 * span * logs / (3 * (n - 1))
    mean = float(contributions.mean())
    return mean - half, mean + half
