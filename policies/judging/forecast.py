"""What a promoted policy will earn more than the one it replaces: the estimate, shrunken."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import optimize, special

from policies.errors import EvaluationError
from policies.log import Floats
from policies.sequences.days import DaySums

POINTS, REACH = 401, 6.0  # of the grid of differences, and how many default spreads it spans
DEFAULT_WEIGHT = 20.0  # lineages, and promotions, that defaults count for beside those seen
TINY = 1e-12  # a spread where there is none
ROUNDS = 200  # of expectation and maximisation; each moves little after some fifty


@dataclass(frozen=True)
class Prior:
    """How differences of candidates to their incumbents are spread, before a candidate is seen.

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
        """The prior that lineages tried so far speak for, this one counting as a few of them.

        Nonparametric maximum likelihood (Kiefer & Wolfowitz 1956; Koenker & Mizera 2014) by
        expectation and maximisation over the grid. Looks and stopping do not matter to it: the
        likelihood of a difference is the same however the rows came to an end.

        Args:
            tried: (difference, standard error) of every lineage whose trial has ended, whatever its
                verdict; leaving out those that failed would make it too hopeful.
        """
        if not tried:
            return self
        told = np.array(tried, dtype=np.float64)
        likely = _likelihood(told[:, :1], told[:, 1:], self.differences)
        masses = self.masses
        for _ in range(ROUNDS):
            shares = likely * masses
            shares /= shares.sum(axis=1, keepdims=True)
            masses = _normalised(shares.sum(axis=0) + DEFAULT_WEIGHT * self.masses)
        return Prior(self.differences, masses)


@dataclass(frozen=True)
class Retention:
    """What share of a difference is left once the candidate itself makes the rows.

    A champion changes its own contexts (whom it contacts is tired the next day), so a one-step
    difference that was true on the old champion's rows is mostly smaller on its own.

    Attributes:
        share: the mean share. The default is what the simulator's closed loops keep.
        spread: standard deviation of the share from promotion to promotion. What is learned is
            never below the default: a handful of promotions cannot show that it varies less.
    """

    share: float = 0.7
    spread: float = 0.35

    def updated(self, past: Sequence[tuple[Forecast, float, float]]) -> Retention:
        """The share that promotions so far speak for, this one counting as a few of them.

        Args:
            past: of earlier promotions the forecast, and the difference to whom they replaced on
                later rows with its standard error, estimated like any other (`trial_result`).
        """
        if not past:
            return self
        told = np.array([each.posterior_mean for each, _, _ in past])
        noise = np.array([(self.share * each.std_error) ** 2 + se**2 for each, _, se in past])
        later = np.array([each for _, each, _ in past])
        known, usual = float(told @ told), DEFAULT_WEIGHT * float(told @ told) / len(told)
        share = (float(told @ later) + usual * self.share) / (known + usual)
        rest = float(((later - share * told) ** 2 - noise).sum()) + usual * self.spread**2
        return Retention(share, max(math.sqrt(max(rest, 0.0) / (known + usual)), self.spread))


@dataclass(frozen=True)
class Forecast:
    """What is to be expected of a candidate on later rows, per logged decision.

    Attributes:
        raw: the estimate as it stood when the verdict fell. Verdicts fall when luck helps, so on
            average it is too good (the winner's curse).
        posterior_mean, std_error: mean and standard deviation of what is likely given the estimate and
            the prior, on rows like those of the trial.
        difference: what is likely to be left of that on the candidate's own rows.
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
    days: Sequence[DaySums], prior: Prior, kept: Retention | None = None, *, confidence: float = 0.9
) -> Forecast:
    """What the evidence of a trial says of later rows, decided by the candidate itself.

    First the posterior under the prior, of Σ X / n ~ N(difference, σ² / n). Stopping at a verdict
    biases the estimate, and not the posterior (the likelihood principle; Berger & Wolpert 1988), as
    far as the prior is right. Then the share of it that is kept. Both are about one-step
    differences; what living with the policy changes besides no log of another policy shows.

    Args:
        days: all days of the trial.
        prior: `Prior.default`, or `learned` from the lineages tried before.
        kept: None = the default; or `learned` from earlier promotions.
        confidence: of the interval.

    Raises:
        EvaluationError: no rows, or a confidence outside (0, 1).
    """
    if not 0 < confidence < 1:
        raise EvaluationError(f"confidence must lie between 0 and 1, and is {confidence}")
    raw, error = trial_result(days)
    kept = kept or Retention()
    points = prior.differences
    likely = _likelihood(np.array([[raw]]), np.array([[error]]), points)[0] * prior.masses
    masses = _normalised(likely)
    mean = float(masses @ points)
    sd = math.sqrt(float(masses @ (points - mean) ** 2))
    rest, drift = (1 - confidence) / 2, kept.spread * abs(mean)
    low, high = (_quantile(kept.share * points, masses, drift, q) for q in (rest, 1 - rest))
    return Forecast(raw, mean, sd, kept.share * mean, low, high, confidence)


def trial_result(days: Sequence[DaySums]) -> tuple[float, float]:
    """(difference, standard error) per logged row of the days of a trial.

    Raises:
        EvaluationError: no rows.
    """
    n = sum(each.n for each in days)
    if not n:
        raise EvaluationError("nothing can be forecast from no rows", hint="wait for a matured day")
    mean = sum(each.total for each in days) / n
    variance = max(sum(each.square for each in days) / n - mean**2, 0.0)
    return mean, math.sqrt(variance / n)


def _likelihood(difference: Floats, error: Floats, points: Floats) -> Floats:
    """(t, m) normal likelihood of each point, up to a factor a row; wide enough for the grid."""
    step = points[1] - points[0]
    scale = np.sqrt(error**2 + step**2 / 12)
    log = -(((difference - points) / scale) ** 2) / 2
    return np.asarray(np.exp(log - log.max(axis=1, keepdims=True)))


def _normalised(masses: Floats) -> Floats:
    return np.asarray(masses / masses.sum())


def _quantile(points: Floats, masses: Floats, drift: float, share: float) -> float:
    """Quantile of a distribution on the grid, each point spread over its step and by the drift."""
    sd = math.sqrt(drift**2 + (points[1] - points[0]) ** 2 / 12) or TINY

    def beyond(x: float) -> float:
        return float(special.ndtr((x - points) / sd) @ masses) - share

    return float(optimize.brentq(beyond, points.min() - 8 * sd, points.max() + 8 * sd))
