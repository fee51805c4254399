"""Reward models: the mean reward of every action, predicted by a model that never saw the row."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce
from operator import add

import numpy as np
import pandas as pd

from policies.encoder import Encoder
from policies.errors import EvaluationError, require_known
from policies.estimating.arguments import check_folds, check_seed
from policies.estimating.regressions import REGRESSIONS, Predictor, Regression
from policies.log import Array, Bools, Dates, Floats, LoggedDecisions

GROWTH = 1.2  # going forward, a costly model is fitted anew when its rows have grown by a fifth
REENCODE = 2  # likewise, contexts are encoded anew when there are twice as many
BY = ("folds", "date")

# A number that changes with the encoding, rows to predict, their design, and what teaches them.
Fold = tuple[int, Array, Floats, Regression]


@dataclass(frozen=True, eq=False)
class RewardModel:
    """The mean reward of every action for a context, clipped to the reward's range.

    Attributes:
        encoder: contexts to numbers; None for a log without contexts.
        predictor: (n, p + 1) encoded contexts after a column of ones -> (n, k).
    """

    encoder: Encoder | None
    predictor: Predictor

    def predict(self, contexts: pd.DataFrame | None, n: int | None = None) -> Floats:
        """(n, k) expected rewards; n is needed where there are no contexts."""
        rows = n if contexts is None else len(contexts)
        if rows is None:
            raise EvaluationError("predict needs contexts, or the number of rows")
        return self.predictor(_design(self.encoder, contexts, rows))


def fit_reward_model(log: LoggedDecisions, *, model: str = "linear", seed: int = 0) -> RewardModel:
    """The reward model of all of the log's choice rows, for use on other rows.

    Args:
        model: "linear": a ridge per action, pulled towards what all actions share as far as the
            action has few rows. "logistic": the same in log odds, for rewards between two ends.
            "boosted": gradient-boosted trees over context and action.

    Predictions stay in the declared reward_range, else in the range seen.

    Raises:
        EvaluationError: an unknown model, a bad seed, or an empty log.
    """
    kind, rows = _regression(model), _teaching(log)
    check_seed(seed)
    if not rows.any():
        raise EvaluationError("a reward model needs at least one row", hint="wait for rewards")
    encoder = _encoder(log, rows)
    seen = _seen(kind, log, _design(encoder, log.contexts, len(log)), np.flatnonzero(rows))
    return RewardModel(encoder, seen.predictor(log.reward_range, seed))


def cross_fit(
    log: LoggedDecisions,
    *,
    by: str = "folds",
    folds: int = 5,
    seed: int = 0,
    model: str = "linear",
) -> Floats:
    """(n, k) expected rewards, each row predicted by a reward model that never saw it.

    Results made with them report their quality as `model_skill`.

    Args:
        by: "folds": by the model of the other folds, a customer's rows staying together.
            "date": forward only, a day is predicted by the model of rows whose rewards had matured
            by then (`matured_before`), as a gate's sequence requires; days before any such row get
            0, clipped to the reward range, so DR is IPS there.
        folds: how many, for by="folds".
        seed: of the assignment to folds, and of "boosted".
        model: "linear", "logistic" or "boosted", as in `fit_reward_model`. By date the last two are
            fitted anew whenever the matured rows have grown by a fifth.

    Only choice rows teach (all rows, where there are none).

    Raises:
        EvaluationError: an unknown `by` or `model`, fewer than 2 folds, a bad seed, or by="date"
            without dates.
    """
    kind = _regression(model)
    if not isinstance(log, LoggedDecisions):
        raise EvaluationError(
            f"cross_fit takes LoggedDecisions, not a {type(log).__name__}",
            hint="LoggedDecisions.from_frame(frame, …) makes one",
        )
    require_known(by, BY, EvaluationError, f"cross_fit knows no by={by!r}")
    check_folds(folds)
    check_seed(seed)
    if by == "date" and log.decision_date is None:
        raise EvaluationError('by="date" needs decision_date', hint="or use by='folds'")
    low, high = log.reward_range or (-np.inf, np.inf)
    expected = np.full((len(log), log.n_actions), float(np.clip(0.0, low, high)))
    parts = _folds(log, kind, folds, seed) if by == "folds" else _forward(log, kind)
    fitted, last = 0, -1
    for stamp, rows, design, seen in parts:
        if not seen.n:
            continue
        if stamp != last or kind.cheap or seen.n >= GROWTH * fitted:
            predictor, fitted, last = seen.predictor(log.reward_range, seed), seen.n, stamp
        expected[rows] = predictor(design)
    return expected


def _regression(model: str) -> type[Regression]:
    what = f"there is no reward model called {model!r}"
    require_known(model, list(REGRESSIONS), EvaluationError, what)
    return REGRESSIONS[model]


def rows_by_day(dates: Dates) -> Iterator[tuple[np.datetime64, Array]]:
    """Each day of (n,) dates, in order, and the numbers of its rows."""
    order = np.argsort(dates, kind="stable")
    days, starts = np.unique(dates[order], return_index=True)
    return zip(days, np.split(order, starts[1:]))


def customer_folds(log: LoggedDecisions, folds: int, seed: int) -> Array:
    """(n,) the fold of each row, a customer's rows staying together."""
    codes, count = log.customers
    return np.random.default_rng(seed).permutation(count)[codes] % folds


def _folds(log: LoggedDecisions, kind: type[Regression], folds: int, seed: int) -> Iterator[Fold]:
    """Each fold's number, rows, their design, and what all other folds teach."""
    fold = customer_folds(log, folds, seed)
    teaches = _teaching(log)
    design = _design(_encoder(log, teaches), log.contexts, len(log))
    parts = [np.flatnonzero(fold == number) for number in range(folds)]
    seen = [_seen(kind, log, design, rows[teaches[rows]]) for rows in parts]
    for number, rows in enumerate(parts):
        yield number, rows, design[rows], reduce(add, seen[:number] + seen[number + 1 :])


def _forward(log: LoggedDecisions, kind: type[Regression]) -> Iterator[Fold]:
    """Which encoding, each day's rows, their design, and what the rows matured by then teach.

    The encoder is fitted on contexts decided before the day, and anew when these have doubled, so
    nothing of a later day enters; in between, rows are added once, on the day they mature.
    """
    dates = log.decision_date
    assert dates is not None
    known, teaches = log.known_on, _teaching(log)
    order = np.flatnonzero(teaches)[np.argsort(known[teaches], kind="stable")]
    matured = known[order]
    seen, done, encoded, design, decided = None, 0, 0, np.zeros((0, 0)), 0
    for day, rows in rows_by_day(dates):
        before, decided = decided, decided + len(rows)
        now = int(np.searchsorted(matured, day, side="right"))
        if not now:
            continue
        if seen is None or before >= REENCODE * encoded:
            design = _design(_encoder(log, dates < day), log.contexts, len(log))
            seen, done, encoded = None, 0, before
        new = _seen(kind, log, design, order[done:now])
        seen, done = new if seen is None else seen + new, now
        yield encoded, rows, design[rows], seen


def _seen(kind: type[Regression], log: LoggedDecisions, design: Floats, rows: Array) -> Regression:
    return kind.of(design[rows], log.action[rows], log.reward[rows], log.n_actions)


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
    return np.hstack([ones, encoder.matrix(contexts)])
