"""Regressions behind the reward models: what they learn from adds up, and fits into a predictor."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, TypeVar

import numpy as np
from scipy import sparse, special

from policies.log import Array, Floats

COMMON_RIDGE = 1.0  # rows' worth of pull of the slopes that all actions share towards 0
OWN_RIDGE = 10.0  # rows' worth of pull of an action's own slopes towards the shared ones
OWN_MEAN = 10.0  # rows' worth of pull of an action's level towards the overall one
LOGISTIC_C = 0.3  # the inverse of the penalty on log-odds slopes, shared and own alike
BOOSTED = {"max_iter": 200, "max_leaf_nodes": 15, "validation_fraction": 0.2}
FEW = 20  # rows of the rarer reward below which trees have nothing to learn from

Predictor = Callable[[Floats], Floats]  # (n, p + 1) design -> (n, k) mean rewards
Self = TypeVar("Self", bound="Regression")


@dataclass(frozen=True, eq=False)
class Regression(ABC):
    """Rows that a regression has seen; what two have seen adds up.

    Attributes:
        n: how many rows.
        low, high: the smallest and the largest reward.
        cheap: whether fitting anew every day costs nothing.
    """

    n: int
    low: float
    high: float
    cheap: ClassVar[bool] = False

    @classmethod
    @abstractmethod
    def of(cls: type[Self], design: Floats, action: Array, reward: Floats, k: int) -> Self:
        """What these rows teach; design is (n, p + 1), its first column 1."""

    @abstractmethod
    def __add__(self: Self, other: Self) -> Self:
        """What both have seen."""

    @abstractmethod
    def fit(self, low: float, high: float, seed: int) -> Predictor:
        """A predictor from at least one row; rewards lie in [low, high]."""

    def predictor(self, reward_range: tuple[float, float] | None, seed: int) -> Predictor:
        """`fit`, with predictions clipped to the declared range of rewards, or to the one seen."""
        low, high = reward_range or (self.low, self.high)
        fitted = self.fit(low, high, seed)
        return lambda design: np.clip(fitted(design), low, high)


@dataclass(frozen=True, eq=False)
class Linear(Regression):
    """Ridge per action, each pulled towards what all actions share; kept as sums, not as rows.

    Attributes:
        gram: (k, p + 1, p + 1) Σ z z', z = (1, encoded context).
        cross: (k, p + 1) Σ z r.
    """

    gram: Floats
    cross: Floats
    cheap = True

    @classmethod
    def of(cls, design: Floats, action: Array, reward: Floats, k: int) -> Linear:
        """The sums over these rows."""
        p = design.shape[1]
        gram, cross = np.zeros((k, p, p)), np.zeros((k, p))
        for index in range(k):
            rows = action == index
            part = design[rows]
            gram[index], cross[index] = part.T @ part, part.T @ reward[rows]
        return cls(len(reward), *_ends(reward), gram, cross)

    def __add__(self, other: Linear) -> Linear:
        """The sums over both sets of rows."""
        low, high = min(self.low, other.low), max(self.high, other.high)
        gram, cross = self.gram + other.gram, self.cross + other.cross
        return Linear(self.n + other.n, low, high, gram, cross)

    def fit(self, low: float, high: float, seed: int) -> Predictor:
        """Ridge coefficients; an action without rows gets the shared ones."""
        gram, cross = self.gram.sum(axis=0), self.cross.sum(axis=0)
        penalty, own = np.full(len(cross), COMMON_RIDGE), np.full(len(cross), OWN_RIDGE)
        penalty[0], own[0] = 1e-9, OWN_MEAN
        shared = np.linalg.solve(gram + np.diag(penalty), cross)
        right = self.cross + own * shared
        weights = np.linalg.solve(self.gram + np.diag(own), right[:, :, None])[:, :, 0]
        return lambda design: design @ weights.T


@dataclass(frozen=True, eq=False)
class _Rows(Regression):
    """A regression that needs its rows again when it is fitted."""

    design: Floats
    action: Array
    reward: Floats
    k: int

    @classmethod
    def of(cls: type[SelfRows], design: Floats, action: Array, reward: Floats, k: int) -> SelfRows:
        """These rows."""
        return cls(len(reward), *_ends(reward), design, action, reward, k)

    def __add__(self: SelfRows, other: SelfRows) -> SelfRows:
        """The rows of both."""
        design = np.concatenate([self.design, other.design])
        action = np.concatenate([self.action, other.action])
        reward = np.concatenate([self.reward, other.reward])
        return self.of(design, action, reward, self.k)


SelfRows = TypeVar("SelfRows", bound=_Rows)


class Logistic(_Rows):
    """Logistic regression of the reward's place in its range, per action, pulled to shared slopes.

    Rewards between the ends of the range count as a share of each end: the fractional logit of
    Papke & Wooldridge (1996), right for the mean whatever the reward's distribution.
    """

    def fit(self, low: float, high: float, seed: int) -> Predictor:
        """Coefficients by sklearn's LogisticRegression on shared and own columns."""
        # Imported where it is used, as below: most programs that import this package never fit one.
        from sklearn.linear_model import LogisticRegression

        spread = high - low
        share = (self.reward - low) / spread if spread > 0 else np.full(self.n, 0.5)
        weight = np.concatenate([share, 1 - share])  # of each row at the high end, and at the low
        kept = np.flatnonzero(weight > 0)
        at_high = kept < self.n
        if at_high.all() or not at_high.any():  # all rewards at one end
            constant = float(self.reward.mean())
            return lambda design: np.full((len(design), self.k), constant)
        columns = _shared_and_own(self.design, self.action, self.k)[kept % self.n]
        model = LogisticRegression(C=LOGISTIC_C, max_iter=300, tol=1e-3)
        model.fit(columns, at_high, sample_weight=weight[kept])
        coefficients = model.coef_[0].reshape(self.k + 1, -1)
        weights = coefficients[0] + coefficients[1:]
        level = float(model.intercept_[0])
        return lambda design: low + spread * special.expit(design @ weights.T + level)


class Boosted(_Rows):
    """Gradient-boosted trees over context and action, for rewards that bend and interact."""

    def fit(self, low: float, high: float, seed: int) -> Predictor:
        """Trees by sklearn's HistGradientBoosting; classes where rewards take two values.

        A log with too few rewards to split gets their mean.
        """
        from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

        ends = np.unique(self.reward)
        binary, place = len(ends) == 2, self.design.shape[1] - 1
        label = (self.reward == ends[-1]).astype(int) if binary else self.reward
        if len(ends) < 2 or len(label) < FEW or (binary and min(np.bincount(label)) < FEW):
            constant = float(self.reward.mean())
            return lambda design: np.full((len(design), self.k), constant)
        kind = HistGradientBoostingClassifier if binary else HistGradientBoostingRegressor
        model = kind(
            early_stopping=True, random_state=seed, categorical_features=[place], **BOOSTED
        ).fit(_with_action(self.design, self.action), label)

        def mean(design: Floats, action: int) -> Floats:
            rows = _with_action(design, np.full(len(design), action))
            if not binary:
                return np.asarray(model.predict(rows))
            return np.asarray(ends[0] + (ends[1] - ends[0]) * model.predict_proba(rows)[:, 1])

        return lambda design: np.column_stack([mean(design, action) for action in range(self.k)])


REGRESSIONS: dict[str, type[Regression]] = {
    "linear": Linear,
    "logistic": Logistic,
    "boosted": Boosted,
}


def _ends(reward: Floats) -> tuple[float, float]:
    return float(reward.min(initial=np.inf)), float(reward.max(initial=-np.inf))


def _shared_and_own(design: Floats, action: Array, k: int) -> sparse.csr_matrix:
    """(n, (k + 1)(p + 1)): the design, and once more in the columns of its action."""
    n, p = design.shape
    own = (action[:, None] + 1) * p + np.arange(p)
    places = np.hstack([np.broadcast_to(np.arange(p), (n, p)), own])
    values = np.hstack([design, design])
    starts = np.arange(n + 1) * 2 * p
    return sparse.csr_matrix((values.ravel(), places.ravel(), starts), shape=(n, (k + 1) * p))


def _with_action(design: Floats, action: Array) -> Floats:
    """The design without its column of ones, and the action as the last column."""
    return np.column_stack([design[:, 1:], action])
