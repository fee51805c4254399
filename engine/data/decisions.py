"""Decisions as rows of the table `decisions`: arrays in, Arrow columns out, no loop over rows."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from policies.catalogue import Catalogue
from policies.deciding.decision import REASONS, Decisions, decision_ids
from policies.deciding.groups import GROUPS
from policies.deciding.rules import RULES

DECISION_HOUR = 8  # UTC
OTHER_SYSTEM = "source:"  # how `model_name` begins where a source brought the decision


@dataclass(frozen=True)
class Author:
    """Who decided: the model and its version, the features it read, and the run that called it."""

    model_name: str
    model_version: str
    feature_hash: str
    run_id: str


def decision_rows(
    customer_id: npt.NDArray[Any],
    dates: npt.NDArray[np.datetime64],
    decisions: Decisions,
    catalogue: Catalogue,
    author: Author,
) -> pa.Table:
    """n decisions as rows of `decisions`.

    Args:
        customer_id: (n,) strings.
        dates: (n,) datetime64[D], the day of each decision.
        decisions: n decisions.
        catalogue: where actions get their channel from.
        author: who decided.
    """
    n, ids = len(customer_id), pa.array(catalogue.action_ids)
    moments = dates.astype("datetime64[D]") + np.timedelta64(DECISION_HOUR, "h")
    expected, chances = decisions.chosen_expected_reward, decisions.distribution
    blocked = decisions.blocked
    drawn = pa.array(chances[chances > 0], pa.float64())
    rules = pa.array(RULES).take(pa.array(blocked[blocked > 0].astype(np.int64) - 1))
    return pa.table(
        {
            "decision_id": decision_ids(customer_id, dates),
            "decision_date": pa.array(dates.astype("datetime64[D]"), pa.date32()),
            "decision_ts": pa.array(moments.astype("datetime64[us]"), pa.timestamp("us", "UTC")),
            "customer_id": pa.array(customer_id, pa.string()),
            "group": pa.array(GROUPS).take(pa.array(decisions.group)),
            "action_id": ids.take(pa.array(decisions.action)),
            "channel": pa.array(catalogue.channels).take(pa.array(decisions.action)),
            "action_probability": pa.array(decisions.action_probability),
            "chosen_expected_reward": pa.array(expected, mask=np.isnan(expected)),
            "eligible_actions": pa.ListArray.from_arrays(*_listed(decisions.eligible, ids)),
            "distribution": pa.MapArray.from_arrays(*_listed(chances > 0, ids), drawn),
            "blocked_actions": pa.MapArray.from_arrays(*_listed(blocked > 0, ids), rules),
            "reason_code": pa.array(REASONS).take(pa.array(decisions.reason)),
            "model_name": pa.repeat(author.model_name, n),
            "model_version": pa.repeat(author.model_version, n),
            "catalogue_hash": pa.repeat(catalogue.hash, n),
            "feature_hash": pa.repeat(author.feature_hash, n),
            "run_id": pa.repeat(author.run_id, n),
        }
    )


def day_of(as_of: dt.date, n: int) -> npt.NDArray[np.datetime64]:
    """(n,) copies of one day."""
    return np.full(n, np.datetime64(as_of, "D"))


def _listed(mask: npt.NDArray[np.bool_], ids: pa.Array) -> tuple[pa.Array, pa.Array]:
    """Offsets and values of a column of lists: in each row the actions for which the mask holds."""
    offsets = np.concatenate([[0], np.cumsum(mask.sum(axis=1))]).astype(np.int32)
    return pa.array(offsets), ids.take(pa.array(np.nonzero(mask)[1]))
