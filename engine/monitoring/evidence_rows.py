"""The paired difference of a lineage and the incumbent, day by day, frozen: rows of `evidence`."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import numpy as np
import pandas as pd

from engine.config import Config
from engine.digests import array_digest
from engine.models.lineages import Lineage
from policies import LoggedDecisions, Policy, cross_fit, final_distribution
from policies.sequences.days import DaySums, day_sums, noise_share


def evidence_rows(
    log: LoggedDecisions,
    lineage: Lineage,
    load: Callable[[str], Policy],
    incumbent: tuple[str, Policy],
    config: Config,
    frozen: pd.DataFrame,
    as_of: dt.date,
) -> pd.DataFrame:
    """Sums of the matured days that are not frozen yet, each scored by what was fixed before it.

    Candidate and incumbent are valued as they would act: with the floor and the uniform share.

    Args:
        log: all decisions matured by `as_of`.
        lineage: whose versions are on trial.
        load: the policy of a version.
        incumbent: its name and policy.
        config: floor and uniform share.
        frozen: the rows of `evidence` for this lineage and incumbent, oldest first.
        as_of: written beside the new rows.
    """
    dates = log.decision_date
    assert dates is not None
    last = frozen["decision_date"].max() if len(frozen) else None
    before = [DaySums.from_dict(row) for row in frozen.to_dict("records")]
    days = [day.astype(object) for day in np.unique(dates)]
    days = [day for day in days if lineage.scoring(day) and (last is None or day > last)]
    if not days:
        return pd.DataFrame()
    floor, share = config.engine.exploration.floor, config.engine.groups.uniform

    def acting(policy: Policy, part: LoggedDecisions) -> np.ndarray:
        return final_distribution(
            policy, part.contexts, part.eligible, floor=floor, uniform_share=share
        )

    expected_reward = cross_fit(log, by="date")
    policies = {number: load(number) for number in {lineage.scoring(day) for day in days} if number}
    noise = None if before else noise_share(log, days[0])  # what the sequence is tuned with
    rows = []
    for day in days:
        here = dates == np.datetime64(day)
        part, number = log[here], lineage.scoring(day)
        assert number is not None
        theirs, ours = acting(incumbent[1], part), acting(policies[number], part)
        [sums] = day_sums(part, ours, theirs, expected_reward[here], before=before, noise=noise)
        before.append(sums)
        hashes = {"candidate_hash": array_digest(ours), "incumbent_hash": array_digest(theirs)}
        rows.append({**sums.to_dict(), **hashes, "candidate": number})
    return pd.DataFrame(rows).assign(
        lineage=lineage.name, incumbent=incumbent[0], frozen_as_of=as_of
    )
