"""Forecasts of a promoted policy's gain over the one it replaces, by shrinking the estimate."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import optimize, special

from policies.errors import EvaluationError
from policies.log import Floats
from policies.sequences.days import NO_DAYS, DaySums

POINTS, REACH = 401, 6.0  # of the grid of differences, and how many default spreads it spans
DEFAULT_WEIGHT = 20.0  # lineages, and promotions, that the defaults count as
TINY = 1e-12  # instead of a spread of 0
ROUNDS = 200  # of expectation and maximisation; after some fifty they change little


@dataclass(frozen=True)
class Prior:
    """The distribution of true differences between candidates and their incumbents.

    Attributes:
        differences: (m,) possible true differences per decision, rising.
        masses: (m,) their probabilities.
    """

    differences: Floats
    masses: Floats

    @classmethod
    def default(cls, spread: float) -> Prior:
        """Normal around 0: candidates are as often worse as better.

        Args:
            spread: its standard deviation, per decision; twice the minimum effect, say.

        Raises:
            EvaluationError: no positive spread.
        """
        if not spread > 0:
            raise EvaluationError(f"the spread of a prior must be positive, and is {spread}")
        grid = np.linspace(-REACH, REACH, POINTS) * spread
        return cls(grid, _normalised(np.exp(-((grid / spread) ** 2) / 2)))

    def updated(self, tried: Sequence[tuple[float, float]]) -> Prior:
        """The prior estimated from the lineages tried so far, with this one as `DEFAULT_WEIGHT` more.

        Nonparametric maximum likelihood (Kiefer & Wolfowitz 1956; Koenker & Mizera 2014) by
        expectation and maximisation over the grid. Looks and stopping do not bias it: the likelihood
        of a difference does not depend on the stopping rule.

        Args:
            tried: (difference, standard error) of every lineage whose trial has ended, whatever its
                verdict; without those that failed it would be too optimistic.
        """
        if not tried:
            return self
        results = np.array(tried, dtype=np.float64)
        likely = _likelihood(results[:, :1], results[:, 1:], self.differences)
        masses = self.masses
        for _ in range(ROUNDS):
            shares = likely * masses
            shares /= shares.sum(axis=1, keepdims=True)
            masses = _normalised(shares.sum(axis=0) + DEFAULT_WEIGHT * self.masses)
        return Prior(self.differences, masses)


@dataclass(frozen=True)
class Retention:
    """How much of the estimated gain remains after promotion.

    The new champion changes its own contexts (a customer contacted today is tired tomorrow), so a
    one-step difference on the old champion's rows is mostly smaller on its own.

    Attributes:
        share: the mean share. The default is that of the simulator's closed loops.
        spread: standard deviation of the share from promotion to promotion. An updated one is never
            below the default: a handful of promotions cannot show that it varies less.
    """

    share: float = 0.7
    spread: float = 0.35

    def updated(self, past: Sequence[tuple[Forecast, float, float]]) -> Retention:
        """The share estimated from promotions so far, with this one as `DEFAULT_WEIGHT` more.

        Args:
            past: of earlier promotions the forecast, and the difference to whom they replaced on
                later rows with its standard error, estimated like any other (`trial_result`).
        """
        if not past:
            return self
        means = np.array([expected.posterior_mean for expected, _, _ in past])
        errors = [(self.share * expected.std_error) ** 2 + se**2 for expected, _, se in past]
        later = np.array([difference for _, difference, _ in past])
        seen = float(means @ means)
        usual = DEFAULT_WEIGHT * seen / len(means)
        share = (float(means @ later) + usual * self.share) / (seen + usual)
        rest = float(((later - share * means) ** 2 - errors).sum()) + usual * self.spread**2
        return Retention(share, max(math.sqrt(max(rest, 0.0) / (seen + usual)), self.spread))


@dataclass(frozen=True)
class Forecast:
    """The expected difference of a candidate on later rows, per logged decision.

    Attributes:
        raw: the estimate at the verdict. Verdicts come when luck helps, so on average it is too good
            (the winner's curse).
        posterior_mean, std_error: of the posterior given the estimate and the prior, on rows like
            those of the trial.
        difference: the part of the posterior mean that remains on the candidate's own rows.
        low, high: the prediction interval of the difference.
        confidence: with which the later difference lies in it.
    """

    raw: float
    posterior_mean: float
    std_error: float
    difference: float
    low: float
    high: float
    confidence: float


def forecast(
    days: Sequence[DaySums],
    prior: Prior,
    retention: Retention | None = None,
    *,
    confidence: float = 0.9,
) -> Forecast:
    """The difference on later rows, decided by the candidate itself, from the days of its trial.

    First the posterior under the prior, of Σ X / n ~ N(difference, σ² / n). Stopping at a verdict
    biases the estimate, and not the posterior (the likelihood principle; Berger & Wolpert 1988), as
    far as the prior is right. Then the share of it that remains. Both are about one-step
    differences; no log of another policy shows the further effects of living with the policy.

    Args:
        days: all days of the trial.
        prior: `Prior.default`, or `updated` by the lineages tried before.
        retention: None = the default; or `updated` by earlier promotions.
        confidence: of the interval.

    Raises:
        EvaluationError: no rows, or a confidence outside (0, 1).
    """
    if not 0 < confidence < 1:
        raise EvaluationError(f"confidence must lie between 0 and 1, and is {confidence}")
    raw, error = trial_result(days)
    retention = retention or Retention()
    points = prior.differences
    likely = _likelihood(np.array([[raw]]), np.array([[error]]), points)[0] * prior.masses
    masses = _normalised(likely)
    mean = float(masses @ points)
    sd = math.sqrt(float(masses @ (points - mean) ** 2))
    share, tail, spread = retention.share, (1 - confidence) / 2, retention.spread * abs(mean)
    low, high = (_quantile(share * points, masses, spread, q) for q in (tail, 1 - tail))
    return Forecast(raw, mean, sd, share * mean, low, high, confidence)


def trial_result(days: Sequence[DaySums]) -> tuple[float, float]:
    """(difference, standard error) per logged row of the days of a trial.

    Raises:
        EvaluationError: no rows.
    """
    whole = sum(days, NO_DAYS)
    if not whole.n:
        raise EvaluationError("nothing can be forecast from no rows", hint="wait for a matured day")
    mean = whole.total / whole.n
    variance = max(whole.square / whole.n - mean**2, 0.0)
    return mean, math.sqrt(variance / whole.n)


def _likelihood(difference: Floats, error: Floats, points: Floats) -> Floats:
    """(t, m) normal likelihood of each point, up to a factor a row; wide enough for the grid."""
    step = points[1] - points[0]
    scale = np.sqrt(error**2 + step**2 / 12)
    log = -(((difference - points) / scale) ** 2) / 2
    return np.asarray(np.exp(log - log.max(axis=1, keepdims=True)))


def _normalised(masses: Floats) -> Floats:
    return np.asarray(masses / masses.sum())


def _quantile(points: Floats, masses: Floats, spread: float, share: float) -> float:
    """Quantile of a distribution on the grid, with its points spread over their step and further."""
    sd = math.sqrt(spread**2 + (points[1] - points[0]) ** 2 / 12) or TINY

    def beyond(x: float) -> float:
        return float(special.ndtr((x - points) / sd) @ masses) - share

    return float(optimize.brentq(beyond, points.min() - 8 * sd, points.max() + 8 * sd))
