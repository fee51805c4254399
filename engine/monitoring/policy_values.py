"""What each policy would have earned on the matured log: the rows of `policy_values`."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from policies import LoggedDecisions, Policy, cross_fit, evaluate


def value_rows(log: LoggedDecisions, policies: Mapping[str, Policy], window: str) -> pd.DataFrame:
    """IPS, SNIPS, DM and DR of every raw policy (no exploration, no uniform share).

    Intervals are normal ones at 95 %, by customer; the reward model of DM and DR is cross-fitted
    by customer. They are for people to read; the gate has its own.

    Args:
        log: matured decisions.
        policies: name -> policy.
        window: what these rows are called.

    Returns:
        policy, estimator, window, segment and the columns of `policies.evaluate`.
    """
    expected_reward = cross_fit(log)
    tables = {
        name: evaluate(log, policy, expected_reward=expected_reward)
        for name, policy in policies.items()
    }
    return pd.concat(tables, names=["policy"]).reset_index().assign(window=window, segment="all")
