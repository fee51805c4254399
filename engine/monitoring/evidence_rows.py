"""The paired difference of a lineage and the incumbent, day by day, frozen: rows of `evidence`."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Optional

import numpy as np
import pandas as pd

from engine.config import Config
from engine.digests import array_digest
from policies import AsDeployed, LoggedDecisions, Policy, cross_fit
from policies.judging.lineages import Lineage
from policies.sequences.days import DaySums, day_sums, noise_share


def evidence_rows(
    log: LoggedDecisions,
    lineage: Lineage,
    load: Callable[[str], Policy],
    incumbent: tuple[str, Policy],
    config: Config,
    frozen: pd.DataFrame,
    as_of: dt.date,
    since: Optional[Callable[[dt.date], LoggedDecisions]] = None,
) -> pd.DataFrame:
    """Sums of the matured days that are not frozen yet, each scored by what was fixed before it.

    Candidate and incumbent are valued as deployed.

    Args:
        log: all decisions matured by `as_of`.
        lineage: whose versions are on trial.
        load: the policy of a version.
        incumbent: its name and policy.
        config: the exploration that deployment adds.
        frozen: the rows of `evidence` for this lineage and incumbent, oldest first.
        as_of: written beside the new rows.
        since: the log's decisions from a day on, whose distributions may be known where those of
            earlier ones are not.
    """
    dates = log.decision_date
    assert dates is not None
    last = frozen["decision_date"].max() if len(frozen) else None
    before = [DaySums.from_dict(row) for row in frozen.to_dict("records")]
    scoring = lineage.scoring_after(last, np.unique(dates).astype(object))
    if not scoring:
        return pd.DataFrame()
    expected_reward = cross_fit(log, by="date")
    recent = log
    if log.distribution is None and since is not None:
        recent = since(min(scoring))
    assert recent.decision_date is not None
    policies = {number: load(number) for number in set(scoring.values())}
    floor = config.logging_floor if recent.distribution is None else None
    noise = None if before else noise_share(log, next(iter(scoring)))  # tunes the sequence
    rows = []
    for day, number in scoring.items():
        here = dates == np.datetime64(day)
        part = recent[recent.decision_date == np.datetime64(day)]
        ours, theirs = (
            AsDeployed(policy, config.exploration).distribution(part.contexts, part.eligible)
            for policy in (policies[number], incumbent[1])
        )
        [sums] = day_sums(
            part, ours, theirs, expected_reward[here], before=before, floor=floor, noise=noise
        )
        before.append(sums)
        hashes = {"candidate_hash": array_digest(ours), "incumbent_hash": array_digest(theirs)}
        rows.append({**sums.to_dict(), **hashes, "candidate": number})
    return pd.DataFrame(rows).assign(
        lineage=lineage.name, incumbent=incumbent[0], frozen_as_of=as_of
    )
