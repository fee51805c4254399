"""History: reproducible bytes, exact probabilities, and contexts that follow from the tables."""

from __future__ import annotations

import hashlib
from collections import deque

import numpy as np
import pandas as pd
import pytest

from policies.deciding.groups import GROUPS, Groups
from policies.errors import InvalidLogError
from policies.learning.baselines import FixedAction, UniformPolicy
from policies.log import LoggedDecisions
from simulation import FEATURES, Day, World, scenario

START = "2026-01-01"


def digest(log: LoggedDecisions) -> str:
    """A hash of all that a log holds."""
    assert log.contexts is not None
    parts = [log.action, log.action_probability, log.reward, log.eligible, log.distribution]
    parts += [log.decision_date, log.matured_on]
    seen = hashlib.sha256()
    for part in parts:
        assert part is not None
        seen.update(part.tobytes())
    for frame in (log.contexts, pd.DataFrame({"customer": log.customer_id, "group": log.group})):
        seen.update(pd.util.hash_pandas_object(frame).to_numpy().tobytes())
    return seen.hexdigest()


def test_same_call_gives_the_same_bytes() -> None:
    """Two worlds of one seed log the same bytes; another seed does not."""
    logs = [scenario("stable", customers=120, seed=seed).history(12) for seed in (2, 2, 3)]
    assert digest(logs[0]) == digest(logs[1]) != digest(logs[2])


def test_smaller_world_is_part_of_the_larger() -> None:
    """A customer's days do not depend on who else is simulated."""
    small = scenario("stable", customers=60, seed=2).history(15)
    large = scenario("stable", customers=150, seed=2).history(15)
    assert large.customer_id is not None
    assert digest(small) == digest(large[pd.Index(large.customer_id) <= "C0000059"])


def test_log_is_declared_in_full(world: World) -> None:
    """A log has its reward range, maturity dates and exactly the features, typed."""
    log = world.history(3)
    assert log.contexts is not None
    assert tuple(log.contexts.columns) == FEATURES
    counts = ["tenure_days", "orders_28d", "visits_7d", "contacts_7d"]
    types = {name: "object" if name in FEATURES[:3] else "float64" for name in FEATURES}
    assert {n: str(t) for n, t in log.contexts.dtypes.items()} == {
        **types,
        **dict.fromkeys(counts, "int64"),
    }
    assert log.reward_range == (-0.06, 1.0)
    assert ((log.matured_on - log.decision_date).astype(int) == 4).all()
    assert set(np.unique(log.group.astype(str))) == {"policy", "uniform"}


def test_logging_policy_states_its_own_mixture(world: World) -> None:
    """Policy and uniform rows are both drawn from logging_policy.distribution."""
    log = world.history(30)
    stated = world.logging_policy.distribution(log.contexts, log.eligible)
    np.testing.assert_allclose(stated, log.distribution, rtol=0, atol=1e-12)
    drawn = stated[np.arange(len(log)), log.action]
    np.testing.assert_allclose(drawn, log.action_probability, rtol=0, atol=1e-12)
    assert stated[log.choice][log.eligible[log.choice]].min() >= 0.02 - 1e-12


@pytest.mark.parametrize("kind", ["uniform", "fixed"])
def test_any_policy_logs_its_own_distribution(world: World, kind: str) -> None:
    """A policy given to history is drawn from as it is, without floor or uniform share."""
    ids = world.action_ids
    policy = UniformPolicy(ids) if kind == "uniform" else FixedAction(ids, "app_push", "no_contact")
    log = world.history(10, policy)
    stated = policy.distribution(log.contexts, log.eligible)
    np.testing.assert_allclose(stated, log.distribution, rtol=0, atol=1e-12)
    drawn = stated[np.arange(len(log)), log.action]
    np.testing.assert_allclose(drawn, log.action_probability, rtol=0, atol=1e-12)


def test_most_rows_are_choice_rows() -> None:
    """Rules leave a choice on at least 85 % of rows, for rule-based and uniform logging."""
    world = scenario("stable", customers=1000, seed=1)
    assert world.history(28).choice.mean() >= 0.85
    assert world.history(28, UniformPolicy(world.action_ids)).choice.mean() >= 0.85


def test_groups_have_their_shares_and_holdout_is_left_alone(days: list[Day]) -> None:
    """Holdout is sticky and never contacted; a fifth of the rest is uniform each day."""
    group = np.concatenate([day.decisions.group for day in days])
    action = np.concatenate([day.decisions.action for day in days])
    customer = np.concatenate([day.contexts["customer_id"].to_numpy() for day in days])
    held = group == GROUPS.index("holdout")
    assert 0.04 < held.mean() < 0.17
    assert not set(customer[held]) & set(customer[~held])
    assert (action[held] == 0).all()
    assert (group[~held] == GROUPS.index("uniform")).mean() == pytest.approx(0.2, abs=0.02)


def test_contexts_follow_from_events_and_decisions(world: World, days: list[Day]) -> None:
    """Every context column, recomputed by brute force from the tables, is the same."""
    start = np.datetime64(START)
    events = pd.concat([world.burn_in(START), *(day.events for day in days)])
    events["date"] = events["event_ts"].to_numpy().astype("datetime64[D]")
    channel = np.array(world.catalogue.channels)
    decided = pd.concat(
        pd.DataFrame(
            {
                "customer_id": day.contexts["customer_id"],
                "date": day.date,
                "channel": channel[day.decisions.action],
            }
        )
        for day in days
    )
    signup = world.population("2027-01-01").set_index("customer_id")["signup_date"]
    for at in (0, 1, 6, 7, 8, 27, 28, 29, 39):
        date = start + at
        shown = days[at].contexts.set_index("customer_id")
        ago = pd.Series((date - events["date"].to_numpy()).astype("timedelta64[D]").astype(int))
        past = events.reset_index(drop=True).assign(ago=ago)
        bought = past[past["ago"].between(1, 28) & (past["event_type"] == "purchase")]
        visits = past[past["ago"].between(1, 7) & (past["event_type"] == "visit")]
        made = decided.assign(
            ago=(date - decided["date"].to_numpy()).astype("timedelta64[D]").astype(int)
        )
        sent = made[made["ago"].between(1, 28) & (made["channel"] != "none")]
        expected = {
            "recency_days": bought.groupby("customer_id")["ago"].min().astype(float),
            "orders_28d": bought.groupby("customer_id").size(),
            "spend_28d": bought.groupby("customer_id")["amount"].sum(),
            "visits_7d": visits.groupby("customer_id").size(),
            "contacts_7d": sent[sent["ago"] <= 7].groupby("customer_id").size(),
            "tenure_days": (pd.Timestamp(date) - signup).dt.days,
        }
        for name in ("email", "sms", "push", "phone"):
            on = sent[sent["channel"] == name].groupby("customer_id")["ago"].min()
            expected[f"days_since_{name}"] = on.astype(float)
        for name, series in expected.items():
            column = series.reindex(shown.index)
            column = column if name.startswith(("recency", "days_since")) else column.fillna(0)
            np.testing.assert_allclose(shown[name], column, atol=1e-9, err_msg=f"{name} on {date}")


def test_nobody_is_there_before_signing_up() -> None:
    """Customers get their first decision the day after their signup date."""
    world = scenario("stable", customers=300, seed=0)
    signup = world.population("2027-01-01").set_index("customer_id")["signup_date"]
    for day in world.run(2, "2024-01-10", floor=0.0, groups=Groups(0.0, 0.0)):
        here = signup[day.contexts["customer_id"]]
        assert 0 < len(here) < 300
        assert len(here) == (signup < pd.Timestamp(day.date)).sum()
        assert (here < pd.Timestamp(day.date)).all()
        assert day.contexts["tenure_days"].min() >= 1


def test_run_is_lazy(world: World) -> None:
    """Days come one by one, so a long history needs the memory of a day."""
    days = world.run(10**6, START, floor=0.02, groups=Groups(0.2, 0.0))
    assert [str(day.date) for day in deque((next(days) for _ in range(3)), maxlen=1)] == [
        "2026-01-03"
    ]


def test_history_of_no_days_is_an_error(world: World) -> None:
    """A history without decisions is refused, and so is a start that is no date."""
    with pytest.raises(InvalidLogError, match="0 days"):
        world.history(0)
    with pytest.raises(InvalidLogError, match="'soon' is no date"):
        world.history(3, start="soon")
