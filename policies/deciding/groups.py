"""Deterministic random numbers per customer and day, and the experiment groups drawn from them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from policies.deciding.rules import Day, as_days
from policies.errors import InvalidPolicyError

GROUPS = ("policy", "uniform", "holdout", "previous")
POLICY, UNIFORM, HOLDOUT, PREVIOUS = range(4)


@dataclass(frozen=True)
class Groups:
    """The shares of the groups beside `policy`.

    Args:
        uniform: share of rows outside holdout and previous that draw uniformly; drawn anew each day.
        holdout: share of customers who always get no contact; the same customers every day.
        previous: share of customers who stay with the old champion; the same customers every day.
        salt: groups under different salts are independent.

    Raises:
        InvalidPolicyError: a share is outside [0, 1], or the sticky ones exceed 1 together.
    """

    uniform: float
    holdout: float
    previous: float = 0.0
    salt: str = "groups"

    def __post_init__(self) -> None:
        shares = (self.uniform, self.holdout, self.previous, self.holdout + self.previous)
        if not all(0 <= share <= 1 for share in shares):
            raise InvalidPolicyError(f"the shares of {self} are not shares", where="groups")


def assign_groups(customer_id: ArrayLike, date: Day, groups: Groups) -> NDArray[np.int8]:
    """(n,) int8 places in `GROUPS`.

    Holdout takes the low end of a customer's fixed number and previous its high end, so that either
    share can change without moving another customer. `uniform` goes by a number of the day.
    """
    sticky = uniforms(customer_id, None, f"{groups.salt}:sticky")
    daily = uniforms(customer_id, date, f"{groups.salt}:daily")
    group = np.where(daily < groups.uniform, UNIFORM, POLICY)
    group = np.where(sticky >= 1 - groups.previous, PREVIOUS, group)
    return np.where(sticky < groups.holdout, HOLDOUT, group).astype(np.int8)


def uniforms(customer_id: ArrayLike, date: Day | None, salt: str) -> NDArray[np.float64]:
    """(n,) uniform numbers in [0, 1) that depend on customer, day and salt only.

    Counter-based: no state, so neither row order nor batches matter. SplitMix64 (Steele, Lea and
    Flood, OOPSLA 2014) over a hash of the id.

    Args:
        customer_id: (n,) strings, or their `hashed_ids`.
        date: a day or (n,) days; None gives the same number every day.
        salt: numbers under different salts are independent.
    """
    seed = np.frombuffer(hashlib.blake2b(salt.encode(), digest_size=8).digest(), dtype="<u8")[0]
    day = np.asarray(-(2**62) if date is None else as_days(date).astype(np.int64))
    key = _splitmix64(_splitmix64(day.astype(np.uint64)) ^ seed)
    bits = _splitmix64(hashed_ids(customer_id) ^ key) >> np.uint64(11)
    return bits.astype(np.float64) * 2.0**-53


def hashed_ids(customer_id: ArrayLike) -> NDArray[np.uint64]:
    """(n,) uint64 hashes of the ids as text; hashes are returned unchanged."""
    ids = np.asarray(customer_id)
    if ids.dtype == np.uint64:
        return ids
    texts = ids if pd.api.types.infer_dtype(ids) == "string" else ids.astype(str)
    return pd.util.hash_array(texts.astype(object), categorize=False)


def _splitmix64(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    with np.errstate(over="ignore"):
        z = np.asarray(x + np.uint64(0x9E3779B97F4A7C15))
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return np.asarray(z ^ (z >> np.uint64(31)))
