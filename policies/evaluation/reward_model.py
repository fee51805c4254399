"""Reward models: the mean reward of every action, predicted by a model that never saw the row."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from policies.errors import EvaluationError, did_you_mean
from policies.learning.examples import Encoder
from policies.logged import Array, Bools, Floats, LoggedDecisions

COMMON_RIDGE = 1.0  # rows' worth of pull of the slopes that all actions share towards 0
OWN_RIDGE = 10.0  # rows' worth of pull of an action's own slopes towards the shared ones
OWN_MEAN = 10.0  # rows' worth of pull of an action's level towards the overall one
MODELS = ("linear",)
BY = ("folds", "date")


@dataclass(frozen=True, eq=False)
class Moments:
    """Sums over some rows that a fit needs, per action: k Gram matrices, and what predicts y.

    Attributes:
        gram: (k, p + 1, p + 1) Σ z z', z = (1, encoded context).
        cross: (k, p + 1) Σ z r.
        low, high: smallest and largest reward.
    """

    gram: Floats
    cross: Floats
    low: float = np.inf
    high: float = -np.inf

    @classmethod
    def of(cls, design: Floats, action: Array, reward: Floats, k: int) -> Moments:
        """The sums over these rows."""
        p = design.shape[1]
        gram, cross = np.zeros((k, p, p)), np.zeros((k, p))
        for index in range(k):
            rows = action == index
            part = design[rows]
            gram[index], cross[index] = part.T @ part, part.T @ reward[rows]
        low, high = reward.min(initial=np.inf), reward.max(initial=-np.inf)
        return cls(gram, cross, float(low), float(high))

    def __add__(self, other: Moments) -> Moments:
        """The sums over both sets of rows."""
        low, high = min(self.low, other.low), max(self.high, other.high)
        return Moments(self.gram + other.gram, self.cross + other.cross, low, high)

    @property
    def n(self) -> float:
        """How many rows were summed."""
        return float(self.gram[:, 0, 0].sum())

    def weights(self) -> Floats:
        """(k, p + 1) ridge coefficients, each action's pulled to those that all actions share.

        An action without rows gets the shared coefficients.
        """
        gram, cross = self.gram.sum(axis=0), self.cross.sum(axis=0)
        penalty, own = np.full(len(cross), COMMON_RIDGE), np.full(len(cross), OWN_RIDGE)
        penalty[0], own[0] = 1e-9, OWN_MEAN
        shared = np.linalg.solve(gram + np.diag(penalty), cross)
        right = self.cross + own * shared
        solved = np.linalg.solve(self.gram + np.diag(own), right[:, :, None])
        return np.asarray(solved[:, :, 0])


@dataclass(frozen=True, eq=False)
class RewardModel:
    """A linear mean reward per action: ridge on encoded contexts, clipped to the reward's range.

    Attributes:
        action_ids: k ids.
        encoder: contexts to numbers; None for a log without contexts.
        weights: (k, p + 1), the intercept first.
        low, high: predictions are clipped to these.
    """

    action_ids: tuple[str, ...]
    encoder: Encoder | None
    weights: Floats
    low: float
    high: float

    def predict(self, contexts: pd.DataFrame | None, n: int | None = None) -> Floats:
        """(n, k) expected rewards; n is needed where there are no contexts."""
        rows = n if contexts is None else len(contexts)
        if rows is None:
            raise EvaluationError("predict needs contexts, or the number of rows")
        return np.clip(_design(self.encoder, contexts, rows) @ self.weights.T, self.low, self.high)


def fit_reward_model(log: LoggedDecisions) -> RewardModel:
    """The reward model of all of the log's choice rows, for use on other rows.

    Each action has its own coefficients, pulled towards those of all actions together as far as it
    has few rows. Predictions stay in the declared reward_range, else in the range seen.

    Raises:
        EvaluationError: when the log is empty.
    """
    rows = _teaching(log)
    if not rows.any():
        raise EvaluationError("a reward model needs at least one row", hint="wait for rewards")
    encoder = _encoder(log, rows)
    design = _design(encoder, log.contexts, len(log))
    moments = Moments.of(design[rows], log.action[rows], log.reward[rows], log.n_actions)
    low, high = log.reward_range or (moments.low, moments.high)
    return RewardModel(log.action_ids, encoder, moments.weights(), low, high)


def cross_fit(
    log: LoggedDecisions,
    *,
    by: str = "folds",
    folds: int = 5,
    seed: int = 0,
    model: str = "linear",
) -> Floats:
    """(n, k) expected rewards, each row predicted by a reward model that never saw it.

    Args:
        by: "folds": by the model of the other folds, a customer's rows staying together.
            "date": forward only, a day is predicted by the model of rows whose rewards had matured
            by then (`matured_before`), as a gate's sequence requires; days before any such row get
            0, clipped to the reward range, so DR is IPS there.
        folds: how many, for by="folds".
        seed: of the assignment to folds.
        model: "linear", as in `fit_reward_model`.

    Only choice rows teach (all rows, where there are none).

    Raises:
        EvaluationError: an unknown `by` or `model`, fewer than 2 folds, or by="date" without dates.
    """
    for name, value, known in (("by", by, BY), ("model", model, MODELS)):
        if value not in known:
            raise EvaluationError(
                f"cross_fit knows no {name}={value!r}", hint=did_you_mean(value, known)
            )
    if by == "folds" and folds < 2:
        raise EvaluationError(f"cross_fit needs at least 2 folds, not {folds}")
    if by == "date" and log.decision_date is None:
        raise EvaluationError('by="date" needs decision_date', hint="or use by='folds'")
    low, high = log.reward_range or (-np.inf, np.inf)
    expected = np.full((len(log), log.n_actions), float(np.clip(0.0, low, high)))
    parts = _folds(log, folds, seed) if by == "folds" else _forward(log)
    for rows, design, moments in parts:
        if moments.n:
            ends = log.reward_range or (moments.low, moments.high)
            expected[rows] = np.clip(design @ moments.weights().T, *ends)
    return expected


def _folds(log: LoggedDecisions, folds: int, seed: int) -> Iterator[tuple[Array, Floats, Moments]]:
    """Each fold's rows, their design, and the moments of all other folds."""
    codes, count = log.customers
    fold = np.random.default_rng(seed).permutation(count)[codes] % folds
    teaches = _teaching(log)
    design = _design(_encoder(log, teaches), log.contexts, len(log))
    parts = [np.flatnonzero(fold == each) for each in range(folds)]
    sums = [_moments(log, design, rows[teaches[rows]]) for rows in parts]
    for each, rows in enumerate(parts):
        others = [part for other, part in enumerate(sums) if other != each]
        yield rows, design[rows], _added(others)


def _forward(log: LoggedDecisions) -> Iterator[tuple[Array, Floats, Moments]]:
    """Each day's rows, their design, and the moments of the rows matured by then.

    The encoder is fitted on the contexts decided before the first day that has matured rows, so
    nothing of a later day enters; rows are summed once, on the day they mature.
    """
    dates = log.decision_date
    assert dates is not None
    known = dates + 1 if log.matured_on is None else log.matured_on
    teaches = _teaching(log)
    first = known[teaches].min() if teaches.any() else dates.max() + 1
    started = np.flatnonzero(dates >= first)
    if not len(started):
        return
    first = dates[started].min()
    encoder = _encoder(log, dates < first)
    design = _design(encoder, log.contexts, len(log))
    order = np.flatnonzero(teaches)[np.argsort(known[teaches], kind="stable")]
    matured = known[order]
    order_of_days = np.argsort(dates, kind="stable")
    days, starts = np.unique(dates[order_of_days], return_index=True)
    summed, done = None, 0
    for day, rows in zip(days, np.split(order_of_days, starts[1:])):
        if day < first:
            continue
        now = int(np.searchsorted(matured, day, side="right"))
        new = _moments(log, design, order[done:now])
        summed, done = new if summed is None else summed + new, now
        yield rows, design[rows], summed


def _moments(log: LoggedDecisions, design: Floats, rows: Array) -> Moments:
    return Moments.of(design[rows], log.action[rows], log.reward[rows], log.n_actions)


def _added(parts: list[Moments]) -> Moments:
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total


def _teaching(log: LoggedDecisions) -> Bools:
    """(n,) bool: rows a model learns from: choice rows, or all rows when there are none."""
    choice = log.choice
    return choice if choice.any() else np.ones(len(log), dtype=bool)


def _encoder(log: LoggedDecisions, rows: Bools) -> Encoder | None:
    if log.contexts is None or not len(log.contexts.columns):
        return None
    return Encoder.fit(log.contexts[rows])


def _design(encoder: Encoder | None, contexts: pd.DataFrame | None, n: int) -> Floats:
    """(n, p + 1) encoded contexts after a column of ones."""
    ones = np.ones((n, 1))
    if encoder is None or contexts is None:
        return ones
    return np.hstack([ones, encoder.encode(contexts)])
