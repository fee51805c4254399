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
    """Rows by use; `cut` is the day from which the gate may score decisions.

    Everything in `fit` and `select` had matured by `cut`, so a model made of it is fixed before
    any decision of `cut` or later was taken.
    """

    fit: LoggedDecisions
    select: LoggedDecisions
    cut: dt.date

    @property
    def both(self) -> np.ndarray:
        """Days used, for tags: first and last decision date."""
        return np.array([self.fit.decision_date.min(), self.select.decision_date.max()])


def split_days(log: LoggedDecisions, settings: Training) -> Split:
    """Earliest days fit, later ones select, the last `reserve_days` matured days stay unseen.

    Raises:
        JobError: there are too few matured days.
    """
    days = np.unique(log.decision_date)
    needed = settings.reserve_days + 2
    cut = days[-settings.reserve_days] if len(days) >= needed else None
    known = np.unique(log.decision_date[log.matured_on <= cut]) if cut is not None else []
    if len(known) < 2:
        raise JobError(
            f"The log has {len(days)} matured days, too few to fit, select and judge apart.",
            where="rewarded_decisions",
            hint=f"wait for more days, or lower training.reserve_days ({settings.reserve_days})",
        )
    n_fit = min(max(int(round(settings.fit_share * len(known))), 1), len(known) - 1)
    first_select = known[n_fit]
    matured = log.matured_on <= cut
    fit = (log.decision_date < first_select) & (log.matured_on <= max(first_select, known[0]))
    if not fit.any():
        fit = log.decision_date < first_select
    return Split(
        fit=log[fit & matured],
        select=log[(log.decision_date >= first_select) & matured],
        cut=cut.astype(dt.date),
    )
