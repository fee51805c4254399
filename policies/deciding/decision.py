"""The decision: the final distribution, the one draw and its id, as pure functions of rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import ArrayLike, NDArray

from policies.catalogue import Catalogue
from policies.deciding import groups as experiment
from policies.deciding.capacity import within_capacity
from policies.deciding.exploration import uniform
from policies.deciding.rules import NOT_VALID, Codes, Day, as_days, funnel
from policies.errors import CatalogueError, InvalidPolicyError
from policies.log import Bools, Floats, Ints
from policies.policy import Policy

REASONS = (
    "exploit",
    "explore",
    "control_uniform",
    "holdout",
    "previous",
    "only_choice",
    "no_eligible_action",
)


@dataclass(frozen=True)
class Decisions:
    """The decisions for n customers.

    Args:
        action: (n,) column of the action taken.
        action_probability: (n,) with which it was drawn.
        group: (n,) int8, place in `GROUPS`.
        reason: (n,) int8, place in `REASONS`.
        distribution: (n, k) the logged distribution.
        eligible: (n, k) bool, after all rules.
        blocked: (n, k) int8, what `funnel` gives.
        chosen_expected_reward: (n,) in reward units, by the deciding policy; NaN where unknown.
    """

    action: Ints
    action_probability: Floats
    group: Codes
    reason: Codes
    distribution: Floats
    eligible: Bools
    blocked: Codes
    chosen_expected_reward: Floats


def decide(
    policy: Policy,
    catalogue: Catalogue,
    frame: pd.DataFrame,
    *,
    date: Day,
    floor: float,
    groups: experiment.Groups,
    previous: Policy | None = None,
    salt: str = "draw",
    hashes: NDArray[np.uint64] | None = None,
) -> Decisions:
    """Rules, groups, distribution and draw; each row's decision depends on that row only.

    The groups `policy` and `uniform` both log the mixture's probability (1-u)·policy + u·uniform,
    because group membership is itself random.

    Args:
        policy: the deciding policy; its actions are the catalogue's, in the same order.
        catalogue: the k actions and their rules.
        frame: n rows with customer_id, `consent_<channel>` and the features.
        date: the day, which seeds the draws; or (n,) days.
        floor: least probability of every eligible action of a choice row.
        groups: shares of uniform, holdout and previous.
        previous: the old champion, needed when `groups.previous` is above 0.
        salt: draws under different salts are independent.
        hashes: (n,) `hashed_ids` of the customers, if they are known already.

    Raises:
        CatalogueError: customer ids are missing, or the frame lacks what the rules read.
        InvalidPolicyError: a policy has other actions or gives no distribution.
    """
    for deciding in (policy, previous):
        _same_actions(deciding, catalogue)
    ids = _hashes(frame) if hashes is None else hashes
    blocked = funnel(catalogue, frame, date)
    eligible = blocked == 0
    group = experiment.assign_groups(ids, date, groups)
    wanted, rewards = policy.distribution(frame, eligible), policy.expected_reward(frame)
    logged = _mixed(wanted, eligible, floor, groups.uniform)
    drawn_from = _drawn_from(logged, eligible, group == experiment.UNIFORM, groups.uniform)
    held, old = group == experiment.HOLDOUT, group == experiment.PREVIOUS
    contacts = np.array(catalogue.action_ids) != catalogue.no_contact
    logged[held] = drawn_from[held] = ~contacts
    if old.any():
        if previous is None:
            raise InvalidPolicyError("a share stays with a previous policy, but there is none")
        wanted[old] = previous.distribution(frame[old], eligible[old])
        logged[old] = drawn_from[old] = _mixed(wanted[old], eligible[old], floor, 0.0)
    action = draw(drawn_from, experiment.uniforms(ids, date, salt))
    chosen = _chosen(rewards, action)
    if old.any() and previous is not None:
        chosen[old] = _chosen(previous.expected_reward(frame[old]), action[old])
    return Decisions(
        action=action,
        action_probability=logged[np.arange(len(action)), action],
        group=group,
        reason=_reasons(group, wanted, action, blocked, contacts),
        distribution=logged,
        eligible=eligible,
        blocked=blocked,
        chosen_expected_reward=chosen,
    )


def final_distribution(
    policy: Policy,
    contexts: pd.DataFrame | None,
    eligible: ArrayLike | None,
    *,
    floor: float,
    uniform_share: float,
    capacity: Mapping[int, float] | None = None,
) -> Floats:
    """The distribution with which a policy would really act on one day.

    q = (1 - u) pi + u / m over a row's m eligible actions, then p = (1 - l) q + l / m with the
    least l for which p >= floor: nothing changes where the floor already holds. Capacity last.

    Args:
        policy: pi.
        contexts: n rows of features, or None for a policy that reads none.
        eligible: (n, k) bool; None means all.
        floor: least probability of every eligible action of a choice row.
        uniform_share: u, the share of rows in the group `uniform`.
        capacity: column of a scarce action -> expected count it may have over these n rows.

    Returns:
        (n, k) float64, rows sum to 1.

    Raises:
        InvalidPolicyError: floor times the size of an eligible set exceeds 1.
        CapacityError: see `within_capacity`.
    """
    wanted = policy.distribution(contexts, eligible)
    mask = np.ones(wanted.shape, dtype=bool) if eligible is None else np.asarray(eligible)
    result = _mixed(wanted, mask, floor, uniform_share)
    if capacity is None:
        return result
    kept = np.maximum(floor, uniform_share / np.count_nonzero(mask, axis=1, keepdims=True))
    return within_capacity(result, mask, capacity, kept)


def draw(distribution: Floats, u: Floats) -> Ints:
    """(n,) actions by inverse CDF in column order; one of probability 0 is never drawn.

    Args:
        distribution: (n, k), rows sum to 1.
        u: (n,) in [0, 1).
    """
    columns = distribution.T
    threshold = u * reduce(np.add, columns, np.zeros(len(u)))
    reached, action = np.zeros(len(u)), np.zeros(len(u), dtype=np.int64)
    for column in columns:
        reached += column
        action += reached <= threshold
    np.minimum(action, len(columns) - 1, out=action)
    # Rounding may leave u above the last sum.
    off = np.flatnonzero(~(distribution[np.arange(len(u)), action] > 0))
    action[off] = len(columns) - 1 - np.argmax(distribution[off, ::-1] > 0, axis=1)
    return action


def decision_ids(customer_id: NDArray[np.object_], date: Day) -> pa.Array:
    """(n,) strings `customer:date:slot`; the slot is 0, since there is one decision a day.

    Every log and table calls a decision so.

    Args:
        customer_id: (n,) strings.
        date: a day or (n,) days.
    """
    days = pa.array(np.broadcast_to(as_days(date), len(customer_id))).cast(pa.string())
    return pc.binary_join_element_wise(pa.array(customer_id, pa.string()), days, "0", ":")


def _hashes(frame: pd.DataFrame) -> NDArray[np.uint64]:
    if "customer_id" not in frame.columns or frame["customer_id"].isna().any():
        raise CatalogueError("a decision needs a customer_id in every row", where="customer_id")
    return experiment.hashed_ids(frame["customer_id"].to_numpy(dtype=object))


def _mixed(wanted: Floats, eligible: Bools, floor: float, uniform_share: float) -> Floats:
    """`final_distribution` before capacity."""
    m = np.count_nonzero(eligible, axis=1, keepdims=True)
    choice = m > 1
    if not (floor >= 0 and 0 <= uniform_share <= 1):
        raise InvalidPolicyError(f"floor {floor} or uniform share {uniform_share} is no share")
    if choice.any() and floor * m.max() > 1 + 1e-12:
        raise InvalidPolicyError(
            f"a floor of {floor:g} does not fit {m.max()} eligible actions",
            hint=f"the floor is at most {1 / m.max():.4g} here",
        )
    even = uniform(eligible)
    mixed = (1 - uniform_share) * wanted + uniform_share * even
    least = np.where(eligible, mixed, 1.0).min(axis=1, initial=1.0)
    at = np.flatnonzero(choice[:, 0] & (least < floor))
    mixed = np.where(choice, mixed, wanted)
    if at.size:
        rate = ((floor - least[at]) / (1 / m[at, 0] - least[at]))[:, None]
        raised = np.maximum((1 - rate) * mixed[at] + rate * even[at], floor)
        mixed[at] = np.where(eligible[at], raised, 0.0)
    return mixed


def _drawn_from(logged: Floats, eligible: Bools, at_random: Bools, share: float) -> Floats:
    """(n, k) the distribution of the draw, given the group: uniform, or the policy's part.

    The logged distribution is (1-u) of the policy's part plus u of uniform.
    """
    if not share:
        return logged.copy()
    even = uniform(eligible)
    rest = logged if share == 1.0 else np.maximum(logged - share * even, 0.0) / (1 - share)
    return np.where(at_random[:, None], even, rest)


def _chosen(rewards: Floats | None, action: Ints) -> Floats:
    """(n,) expected reward of the action taken; NaN where a policy has none."""
    if rewards is None:
        return np.full(len(action), np.nan)
    rewards = np.broadcast_to(rewards, (len(action), rewards.shape[-1]))
    return np.array(rewards[np.arange(len(action)), action])


def _same_actions(policy: Policy | None, catalogue: Catalogue) -> None:
    if policy is not None and policy.action_ids != catalogue.action_ids:
        raise InvalidPolicyError(
            f"{type(policy).__name__} knows {', '.join(policy.action_ids)}, "
            f"the catalogue {', '.join(catalogue.action_ids)}",
            hint="decide with a policy that was trained on this catalogue's actions",
        )


def _reasons(group: Codes, wanted: Floats, action: Ints, blocked: Codes, contacts: Bools) -> Codes:
    only = np.count_nonzero(blocked == 0, axis=1) == 1
    ruled_out = (blocked[:, contacts] > NOT_VALID).any(axis=1)
    best = wanted[np.arange(len(action)), action] >= wanted.max(axis=1, initial=0.0)
    cases = {
        "holdout": group == experiment.HOLDOUT,
        "previous": group == experiment.PREVIOUS,
        "control_uniform": group == experiment.UNIFORM,
        "no_eligible_action": only & ruled_out,
        "only_choice": only,
        "exploit": best,
    }
    codes = [REASONS.index(name) for name in cases]
    return np.select(list(cases.values()), codes, REASONS.index("explore")).astype(np.int8)
