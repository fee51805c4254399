"""Linear terms of rows: what is known before the draw, and contributions within a bound."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from policies.errors import EvaluationError
from policies.log import Bools, Floats, Ints, LoggedDecisions

ROUNDING = 1e-12  # of the bound
START = 0.25  # of a row's range: how far from 0 a centre may settle without widening a sequence
MAX_COST = 1.03  # variance with a smaller bound, relative to that without
HALVINGS, SAMPLE = 14, 20_000  # of the search for that bound, and the rows it reads


@dataclass(frozen=True, eq=False)
class LinearTerms:
    """Rows of a linear estimate: t = candidate − incumbent, or the target itself for a value.

    The contribution of a row is Σ_a t(a)·q(a) + t(A)/p·(r − q(A)); with q = 0 it is IPS, else DR.
    Its mean is Σ_a t(a)·E[r | a]. All methods are about the lowest possible contribution; the
    highest is the lowest of `mirrored()`.

    Attributes:
        weights: t, (n, k).
        chance: (n, k) what was drawn from; the declared floor throughout where that is unknown.
        drawn: (n, k) bool, actions that could have been drawn.
        choice: (n,) bool, rows with at least two eligible actions.
        action, action_probability, reward: A, p, r.
        model: q, (n, k).
        low, high: the reward's range.
        declared: whether range and chances were known beforehand, not read from these rows.
    """

    weights: Floats
    chance: Floats
    drawn: Bools
    choice: Bools
    action: Ints
    action_probability: Floats
    reward: Floats
    model: Floats
    low: float
    high: float
    declared: bool

    @classmethod
    def of(
        cls,
        log: LoggedDecisions,
        weights: Floats,
        model: Floats | None = None,
        *,
        floor: float | None = None,
    ) -> LinearTerms:
        """The terms of a log; model=None means q = 0.

        Raises:
            EvaluationError: a logged probability is below the declared floor.
        """
        least = float(log.action_probability.min(initial=1.0))
        if floor is not None and not 0 < floor <= least * (1 + 1e-6):
            raise EvaluationError(
                f"the declared floor is {floor:g}, and a logged action had probability {least:g}",
                hint="declare the smallest probability that the logger gives an eligible action",
            )
        if log.distribution is None:
            chance, drawn = np.full(weights.shape, floor or least), log.eligible
        else:
            chance, drawn = log.distribution, log.distribution > 0
        seen = (float(log.reward.min(initial=np.inf)), float(log.reward.max(initial=-np.inf)))
        low, high = log.reward_range or (seen if len(log) else (0.0, 0.0))
        return cls(
            weights=weights,
            chance=chance,
            drawn=drawn,
            choice=log.choice,
            action=log.action,
            action_probability=log.action_probability,
            reward=log.reward,
            model=np.zeros(weights.shape) if model is None else model,
            low=low,
            high=high,
            declared=log.reward_range is not None
            and (log.distribution is not None or floor is not None)
            and log.probabilities == "logged",
        )

    def __getitem__(self, rows: Bools | Ints | slice) -> LinearTerms:
        """These rows only."""
        arrays: dict[str, Any] = {
            name: value[rows] for name, value in vars(self).items() if isinstance(value, np.ndarray)
        }
        return replace(self, **arrays)

    def mirrored(self) -> LinearTerms:
        """The same with all rewards negated: its contributions are the negated ones."""
        return replace(self, reward=-self.reward, model=-self.model, low=-self.high, high=-self.low)

    @property
    def uncertain(self) -> Bools:
        """(n,) bool: rows whose draw matters; the contribution of all others is known before it."""
        return np.asarray(((self.weights != 0) & self.drawn).any(axis=1))

    @property
    def direct(self) -> Floats:
        """(n,) Σ_a t(a)·q(a), known before the draw."""
        return np.asarray(np.einsum("nk,nk->n", self.weights, self.model))

    @property
    def residual(self) -> Floats:
        """(n,) t(A)/p·(r − q(A)), the part that depends on the draw."""
        rows = np.arange(len(self.action))
        away = self.reward - self.model[rows, self.action]
        return np.asarray(self.weights[rows, self.action] / self.action_probability * away)

    def _gain(self) -> Floats:
        """t / chance where an action could be drawn, else 0."""
        return np.divide(
            self.weights, self.chance, out=np.zeros(self.weights.shape), where=self.drawn
        )

    def least_residual(self) -> Floats:
        """(n,) at most the lowest residual: min(0, min over a and r of t(a)/p(a)·(r − q(a)))."""
        gain = self._gain()
        ends = np.minimum(gain * (self.low - self.model), gain * (self.high - self.model))
        return np.asarray(ends.min(axis=1, initial=0.0))

    def suggested_bound(self) -> float:
        """A bound from contexts and distributions only; 0 if no row matters.

        Candidates run up to the largest possible residual; a smaller one clips q (see `moved`) and
        costs variance; takes the smallest that costs ≤ 3 %. It reads only what is known before the
        draws, so a sequence may start with the bound of its first day.
        """
        rows = self[self.uncertain]
        if not len(rows.action):
            return 0.0
        if not self.high > self.low:
            raise EvaluationError(
                f"all rewards are {self.low:g}, so their range cannot be read from the log",
                hint="declare reward_range when the log is made",
            )
        slack = START * np.abs(rows.weights).sum(axis=1).max() * (self.high - self.low)
        most = float(max(0.0, -rows.least_residual().min()) + slack)
        few = rows[:: math.ceil(len(rows.action) / SAMPLE)]
        allowed = MAX_COST * few.expected_square()
        least = 0.0
        for _ in range(HALVINGS):
            middle = (least + most) / 2
            room = np.full(len(few.action), max(middle - slack, middle / 2))
            if few.expected_square(few.moved(room)) <= allowed:
                most = middle
            else:
                least = middle
        return most

    def expected_square(self, model: Floats | None = None) -> float:
        """The largest expected Σ residual² if q is right; residuals are about `model`, or q.

        Σ t²/p·((q − low)·(high − q) + (q − model)²): no reward of mean q has more variance than
        (q − low)·(high − q), and one at either end of the range has it (Bhatia & Davis 2000).
        """
        mean = np.clip(self.model, self.low, self.high)
        away = 0.0 if model is None else (mean - model) ** 2
        noise = (mean - self.low) * (self.high - mean)
        return float((self._gain() * self.weights * (noise + away)).sum())

    def moved(self, room: Floats) -> Floats:
        """(n, k) q, moved just far enough that no residual can fall below −room.

        Down where t > 0, up where t < 0: DR is unbiased with any q, so this costs variance only.
        """
        gain = self._gain()
        reach = np.divide(room[:, None], gain, out=np.full(gain.shape, np.inf), where=gain != 0)
        lowered = np.minimum(self.model, self.low + reach)
        raised = np.maximum(self.model, self.high + np.where(gain < 0, reach, -np.inf))
        return np.where(gain > 0, lowered, raised)

    def span(self) -> float:
        """Highest minus lowest contribution that any of these rows could have given."""
        least = self.direct + self.least_residual()
        most = self.direct - self.mirrored().least_residual()
        return float(most.max() - least.min())

    def bounded(self, centre: Floats, bound: float) -> tuple[Floats, Floats]:
        """Contributions whose mean is at most the row's, and that stay above centre − bound.

        Three steps, all fixed before the draw. (1) q is `moved` until the residual cannot fall
        below. (2) An action that cannot be drawn gets the q that is worst for the target. (3) If
        the row can still pass the bound, its residual Z becomes θ·Z + (1 − θ)·sure, `sure` being a
        certain lower bound of its mean, with the largest θ in [0, 1] that respects the bound.

        Args:
            centre: (n,) of residuals, fixed before each row.
            bound: c > 0.

        Returns:
            (n,) contributions and (n,) squared distances of their residuals to the centre, which
            is itself lowered where it would lie more than the bound above `sure`.
        """
        t = self.weights
        model = self.moved(np.maximum(bound - np.maximum(centre, 0.0), bound / 2))
        model = np.where(self.drawn, model, np.where(t > 0, self.low, self.high))
        safe = replace(self, model=model)
        direct, residual, least = safe.direct, safe.residual, safe.least_residual()
        sure = np.minimum(t * self.low, t * self.high).sum(axis=1) - direct
        middle = np.minimum(centre, sure + bound)
        allowed, short = sure - middle + bound, middle - bound - least
        passes = short > ROUNDING * bound
        theta = np.divide(allowed, allowed + short, out=np.ones(short.shape), where=passes)
        pulled = sure + np.clip(theta, 0.0, 1.0) * (residual - sure)
        pulled = np.where(self.uncertain, pulled, 0.0)
        return direct + pulled, np.where(self.uncertain, (pulled - middle) ** 2, 0.0)
