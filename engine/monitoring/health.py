"""Whether the log can judge a candidate at all: rows of `drift` whose subject is the log."""

from __future__ import annotations

import pandas as pd

from policies import AsDeployed, Exploration, LoggedDecisions, Policy, assess
from policies.judging.assessment import MIN_EFFECTIVE_N

LOG = "log"


def health_rows(log: LoggedDecisions, candidate: Policy, exploration: Exploration) -> pd.DataFrame:
    """One row a reason: subject, metric, value, threshold, status (`decide collect broken`).

    The candidate is assessed as it would act once deployed.
    """
    found = assess(log, AsDeployed(candidate, exploration))
    return pd.DataFrame(
        {
            "subject": LOG,
            "metric": found.reasons or ["the log can judge the candidate"],
            "value": found.effective_n,
            "threshold": MIN_EFFECTIVE_N,
            "status": found.verdict,
        }
    )


def problems(drift: pd.DataFrame) -> list[str]:
    """Why the log cannot be trusted, as a day's rows of `drift` say."""
    return list(drift.loc[(drift["subject"] == LOG) & (drift["status"] == "broken"), "metric"])
