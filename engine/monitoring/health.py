"""Whether the log can judge a candidate at all: rows of `drift` whose subject is the log."""

from __future__ import annotations

import pandas as pd

from policies import AsDeployed, Exploration, LoggedDecisions, Policy, assess
from policies.judging.assessment import MIN_EFFECTIVE_N

LOG = "log"


def health_rows(log: LoggedDecisions, candidate: Policy, exploration: Exploration) -> pd.DataFrame:
    """One row a reason: subject, metric, value, threshold, status (`decide collect broken`), reason.

    The candidate is assessed as deployed. The metric is the status and the reason's number, so that
    the text of the reason is no key.
    """
    assessment = assess(log, AsDeployed(candidate, exploration))
    reasons = assessment.reasons or ["the log can judge the candidate"]
    return pd.DataFrame(
        {
            "subject": LOG,
            "metric": [f"{assessment.verdict}_{number}" for number in range(1, len(reasons) + 1)],
            "value": assessment.effective_n,
            "threshold": MIN_EFFECTIVE_N,
            "status": assessment.verdict,
            "reason": reasons,
        }
    )


def problems(drift: pd.DataFrame) -> list[str]:
    """Why the log cannot be trusted, as a day's rows of `drift` say."""
    return list(drift.loc[(drift["subject"] == LOG) & (drift["status"] == "broken"), "reason"])
