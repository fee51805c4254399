"""Whether the log can judge a candidate, and which versions were refused: rows of `drift`."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import pandas as pd

from engine.config import Config
from policies import AsDeployed, LoggedDecisions, Policy, assess
from policies.judging.assessment import MIN_EFFECTIVE_N

LOG = "log"


def health_rows(log: LoggedDecisions, candidate: Policy, config: Config) -> pd.DataFrame:
    """One row a reason: subject, metric, value, threshold, status (`decide collect broken`), reason.

    The candidate is assessed as deployed; how many rows a difference needs the gate says itself. The
    metric is the status and the reason's number, so that
    the text of the reason is no key.
    """
    low, high = config.engine.reward.range
    deployed = AsDeployed(candidate, config.exploration)
    assessment = assess(log, deployed, minimum_effect=high - low)
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


def refusal_rows(refused: Mapping[str, str], on_trial: Collection[str] = ()) -> pd.DataFrame:
    """One row a version whose files were refused, without a value; one on trial makes the gate hold.

    Args:
        refused: numbers of versions, and why.
        on_trial: versions of the lineage on trial; their rows say that the log is `broken`.
    """
    rows = [
        {
            "subject": LOG if number in on_trial else "models",
            "metric": f"refused_{number}",
            "status": "broken" if number in on_trial else "refused",
            "reason": f"version {number} cannot be used: {why}",
        }
        for number, why in refused.items()
    ]
    return pd.DataFrame(rows).assign(value=float("nan"), threshold=float("nan"))


def problems(drift: pd.DataFrame) -> list[str]:
    """Why the log cannot be trusted, as a day's rows of `drift` say."""
    return list(drift.loc[(drift["subject"] == LOG) & (drift["status"] == "broken"), "reason"])
