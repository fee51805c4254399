"""Values by segment and by day, in intervals that hold for all segments together."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from policies.errors import EvaluationError, did_you_mean
from policies.estimating.estimators import Estimator, as_estimators
from policies.judging.question import Question, value_table
from policies.log import Array, LoggedDecisions

MOST = 1_000  # segments: beyond that a column is an identifier, and no interval says anything


def evaluate_by(
    log: LoggedDecisions,
    target: Any,
    by: Any,
    *,
    estimators: str | Estimator | Iterable[str | Estimator] = ("dr",),
    expected_reward: Any = None,
    confidence: float = 0.95,
) -> pd.DataFrame:
    """What the target would have earned in each segment, with intervals that hold for all of them.

    With m segments each interval has confidence 1 − (1 − confidence) / m (Bonferroni), so that the
    chance that any of an estimator's m intervals misses is at most 1 − confidence: picking the best
    looking segment afterwards is allowed. Normal intervals, by customer where ids are given. Each is
    widened by the segment's own share of the target on actions that the logger never draws there,
    times the reach of the log's rewards, as `evaluate` widens that of the whole log.

    Args:
        log: n decisions.
        target: a policy or an (n, k) array.
        by: a column of the contexts, "decision_date", or (n,) labels; a missing label is a segment.
        estimators, expected_reward: as in `evaluate`; a ratio is normalised within its segment.
        confidence: of all intervals of an estimator together.

    Returns:
        A frame indexed by segment and estimator with the columns of `evaluate`. `.attrs` as there,
        and "segments" (m) and "confidence_each". A segment without weight has no error and, unless the
        logger never draws the target's actions there, no interval (NaN).

    Raises:
        EvaluationError: an unknown column, more than 1,000 segments, or what `evaluate` refuses.
    """
    question = Question(log, target, None, expected_reward, confidence=confidence)
    codes, names = _segments(log, by)
    confidence_each = 1 - (1 - confidence) / len(names)
    question = replace(question, confidence=confidence_each)
    frame = value_table(question, as_estimators(estimators), codes, names)
    frame.attrs.update(segments=len(names), confidence_each=confidence_each)
    return frame.sort_index(level="segment", sort_remaining=False, kind="stable")


def _segments(log: LoggedDecisions, by: Any) -> tuple[Array, list[Any]]:
    """(n,) number of each row's segment, and the segments' labels in order."""
    values, hint = by, "a column of the contexts, 'decision_date', or one label a row"
    if isinstance(by, pd.Series) and not by.index.equals(pd.RangeIndex(len(by))):
        raise EvaluationError(
            "segments come with an index of their own", hint="in the log's order: by.to_numpy()"
        )
    if isinstance(by, str):
        columns = [] if log.contexts is None else list(log.contexts.columns)
        if by == "decision_date" and log.decision_date is not None:
            values = log.decision_date
        elif log.contexts is not None and by in columns:
            values = log.contexts[by]
        else:
            known = [*map(str, columns), "decision_date"]
            raise EvaluationError(f"no column {by!r} in the contexts", hint=did_you_mean(by, known))
    array = np.asarray(values)
    if array.shape != (len(log),):
        raise EvaluationError(
            f"segments must be {len(log)} labels, and have shape {array.shape}", hint=hint
        )
    values = pd.Series(array)
    codes, seen = pd.factorize(values, sort=True, use_na_sentinel=True)
    found = list(seen)
    if (codes < 0).any():
        codes, found = np.where(codes < 0, len(found), codes), [*found, "(missing)"]
    if len(found) > MOST:
        raise EvaluationError(
            f"{len(found):,} segments are more than {MOST:,}", hint="group values, or cut numbers"
        )
    return codes, found
