"""Has a paired difference dropped for good: a change that nobody announced, found from day sums."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np

from policies.errors import EvaluationError
from policies.sequences.days import DaySums

SHARPNESS = (
    5.0  # standard errors; by chance in some 120 daily looks at all splits: well below 1 in 1,000
)
DAYS_BEFORE = 7  # of a usual level, before a drop can be told from a beginning


@dataclass(frozen=True)
class Drop:
    """A drop of the mean difference.

    Attributes:
        since: the first day of the new level, as far as the days tell.
        before, after: mean difference per row up to then and since.
        std_errors: how many standard errors lie between the two.
    """

    since: date
    before: float
    after: float
    std_errors: float


def noticed_drop(
    days: Sequence[DaySums], least: float = 0.0, sharpness: float = SHARPNESS
) -> Drop | None:
    """The likeliest drop within these days, if it is beyond chance; None otherwise.

    Every split into days before and days since is looked at, and the one with most standard errors
    between the two means is taken: the generalised likelihood ratio for a change of unknown size on
    an unknown day (Siegmund & Venkatraman 1995). Unlike the gate's sequence it is an alarm, with a
    rate of false ones and no verdict.

    Args:
        days: day sums of one paired difference, oldest first, all of one regime as far as anybody
            meant to.
        least: a drop of less than this, per row, is none.
        sharpness: standard errors between the two means that make an alarm.

    Raises:
        EvaluationError: a day without a date.
    """
    if any(each.decision_date is None for each in days):
        raise EvaluationError("a drop is dated, and some day has no date")
    n = np.array([each.n for each in days], dtype=np.float64)
    total, square = (
        np.array([getattr(each, name) for each in days]) for name in ("total", "square")
    )
    splits = np.arange(DAYS_BEFORE, len(days))
    if not len(splits):
        return None
    rows, sums = np.cumsum(n), np.cumsum(total)
    early, late = rows[splits - 1], rows[-1] - rows[splits - 1]
    before, after = sums[splits - 1] / early, (sums[-1] - sums[splits - 1]) / late
    variance = max(square.sum() / rows[-1] - (sums[-1] / rows[-1]) ** 2, 0.0)
    if not variance:
        return None
    errors = (before - after) / np.sqrt(variance * (1 / early + 1 / late))
    at = int(np.argmax(errors))
    if errors[at] < sharpness or before[at] - after[at] < least:
        return None
    since = days[int(splits[at])].decision_date
    assert since is not None
    return Drop(since, float(before[at]), float(after[at]), float(errors[at]))
