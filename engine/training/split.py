"""Which matured days fit, which select, and which are kept for the gate."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import numpy as np

from engine.config import Training
from engine.errors import JobError
from policies import LoggedDecisions


@dataclass(frozen=True)
class Split:
    """Rows by use; `cut` is the first day whose decisions the gate may score.

    Everything in `fit` and `select` had matured by `cut`, so a model made of it is fixed before
    any decision of `cut` or later was taken.
    """

    fit: LoggedDecisions
    select: LoggedDecisions
    cut: dt.date


def split_days(log: LoggedDecisions, settings: Training) -> Split:
    """Earliest days fit, later ones select, the last `reserve_days` matured days stay unseen.

    Args:
        log: matured decisions with their dates.
        settings: how many days to reserve, and which share of the earlier ones fits.

    Raises:
        JobError: there are too few matured days.
    """
    dates = log.decision_date
    assert dates is not None
    days = np.unique(dates)
    if not len(days):
        raise JobError("No decision has matured yet.", hint="wait for rewards to mature")
    cut = days[-settings.reserve_days] if len(days) > settings.reserve_days else days[0]
    matured = log.matured_before(cut)
    known = np.unique(dates[matured])
    if len(known) < 2:
        raise JobError(
            f"The log has {len(days)} matured days, too few to fit, select and judge apart.",
            where="rewarded_decisions",
            hint=f"wait for more days, or lower training.reserve_days ({settings.reserve_days})",
        )
    n_fit = min(max(round(settings.fit_share * len(known)), 1), len(known) - 1)
    early = dates < known[n_fit]
    return Split(fit=log[matured & early], select=log[matured & ~early], cut=cut.astype(object))
