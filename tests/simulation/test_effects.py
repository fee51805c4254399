"""Fatigue, saturation, unsubscribing, turnover, late and lost outcomes, money, shifts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from policies.deciding.groups import Groups
from policies.errors import CatalogueError
from policies.learning.baselines import UniformPolicy
from simulation import FEATURES, World, scenario
from simulation.customers import CHANNELS, NEVER, Population
from simulation.response import AMOUNT_CAP, COMPLAINS, RECOVERY_DAYS, UNSUBSCRIBES, visit_worth
from simulation.scenarios import SATURATED, SHIFT_DAY, TURNOVER
from simulation.world import START

NOBODY = Groups(0.0, 0.0)


def quitting(share: float, complaints: float) -> World:
    """A world of 200 customers who unsubscribe much more often than real ones."""
    world = scenario("fatigue", 200, seed=3)
    law = replace(world.response, unsubscribes=share, complaints=complaints)
    return replace(world, response=law)


@pytest.mark.parametrize("name", ["stable", "fatigue", "season"])
def test_parts_make_no_difference(name: str) -> None:
    """A history simulated 37 customers at a time has the bytes of one simulated at once."""
    world = scenario(name, 150, seed=2)
    whole = world.history(40)
    assert whole.contexts is not None
    parts = [part.history(40) for part in world.parts(37)]
    names = ("action", "reward", "action_probability", "customer_id", "decision_date")
    rows = pd.DataFrame({k: np.concatenate([getattr(part, k) for part in parts]) for k in names})
    contexts = pd.concat([part.contexts for part in parts], ignore_index=True)
    distribution = np.concatenate([part.distribution for part in parts])
    order = np.lexsort((rows["customer_id"], rows["decision_date"]))
    pd.testing.assert_frame_equal(contexts.iloc[order].reset_index(drop=True), whole.contexts)
    np.testing.assert_array_equal(distribution[order], whole.distribution)
    for key in names:
        np.testing.assert_array_equal(rows[key].to_numpy()[order], getattr(whole, key))


def test_a_channel_used_yesterday_works_less_and_recovers() -> None:
    """Saturation takes its share off the same channel only, and is gone after a week."""
    law = scenario("fatigue", 50, seed=1).response
    days = np.array([1.0, 4.0, RECOVERY_DAYS, RECOVERY_DAYS + 1, np.nan])
    past = {
        "contacts_7d": np.zeros(5),
        **{f"days_since_{channel}": np.full(5, np.nan) for channel in CHANNELS},
    }
    past["days_since_email"] = days
    left = law.remaining_effect(past)
    email = np.array(law.catalogue.channels) == "email"
    assert (left[:, ~email] == 1).all()
    expected = [1 - SATURATED, 1 - SATURATED * 4 / 7, 1 - SATURATED / 7, 1, 1]
    np.testing.assert_allclose(left[:, email], np.array(expected)[:, None].repeat(2, axis=1))


def test_who_unsubscribes_is_not_contacted_there_again() -> None:
    """A channel that a customer left stays closed, for good; a complaint closes all."""
    world = quitting(0.05, 0.02)
    closed = np.zeros((200, len(CHANNELS)), dtype=bool)
    seen = np.zeros(3, dtype=int)
    for day in world.run(60, START, UniformPolicy(world.action_ids), floor=0.0, groups=NOBODY):
        channel = world.response.channel_of[day.decisions.action]
        assert not closed[day.rows[channel >= 0], channel[channel >= 0]].any()
        quits = day.answers.quits
        assert (channel[quits > 0] >= 0).all()
        at = quits == UNSUBSCRIBES
        closed[day.rows[at], channel[at]] = True
        closed[day.rows[quits == COMPLAINS]] = True
        seen += np.bincount(quits, minlength=3)
    assert seen[1] > 100
    assert seen[2] > 30


def test_unsubscribing_is_an_event_that_changes_the_customers_table() -> None:
    """The table of customers follows from events: consent given, less the channels left."""
    world = quitting(0.05, 0.02)
    days = list(world.run(30, START, UniformPolicy(world.action_ids), floor=0.0, groups=NOBODY))
    events = pd.concat([day.events for day in days])
    customers = world.population("2026-01-31", events)
    policy = UniformPolicy(world.action_ids)
    after = list(world.run(31, START, policy, floor=0.0, groups=NOBODY))[-1].contexts
    for name in (f"consent_{channel}" for channel in CHANNELS):
        assert (customers[name].to_numpy() == after[name].to_numpy()).all()
        assert customers[name].sum() < world.population("2026-01-31")[name].sum()
    outcomes = pd.concat([day.outcomes for day in days])
    assert set(outcomes["outcome_type"]) == set(events["event_type"])
    quits = ~events["event_type"].isin(["visit", "purchase"])
    assert (events.loc[quits, "amount"] == 0).all()


def test_the_share_of_contacts_that_end_in_quitting_is_as_declared() -> None:
    """Unsubscribing is unsubscribes · (1 + contacts_7d) of contacts, complaining `complaints`."""
    world = quitting(0.02, 0.01)
    rows = np.tile(np.arange(200), 300)
    dates = np.repeat(np.datetime64(START) + np.arange(300), 200)
    past = {
        "contacts_7d": np.full(60_000, 2),
        **{f"days_since_{c}": np.full(60_000, 1.0) for c in CHANNELS},
    }
    quits = world.response.answer(rows, dates, np.full(60_000, 1), past).quits
    shares = np.bincount(quits, minlength=3) / 60_000
    assert shares[UNSUBSCRIBES] == pytest.approx(0.06, abs=0.004)
    assert shares[COMPLAINS] == pytest.approx(0.01, abs=0.002)
    nothing = world.response.answer(rows, dates, np.zeros(60_000, dtype=int), past).quits
    assert not nothing.any()


def test_customers_come_and_go_evenly() -> None:
    """With turnover about as many join in a year as leave, and nobody acts before or after."""
    people = Population.of(0, 20_000, TURNOVER)
    there = [len(people.present(np.datetime64(START) + day)) for day in (0, 180, 360)]
    assert max(there) < 1.06 * min(there)
    left = (people.left_on > np.datetime64(START)) & (people.left_on <= np.datetime64(START) + 365)
    assert left.sum() / there[0] == pytest.approx(TURNOVER, abs=0.05)
    assert (Population.of(0, 50).left_on == NEVER).all()
    world = scenario("season", 300, seed=1)
    log = world.history(60)
    assert log.customer_id is not None
    rows = world.rows(log.customer_id)
    assert world.customers.here(rows, log.decision_date).all()
    gone = np.flatnonzero(world.customers.left_on < np.datetime64(START) + 30)
    past = {"contacts_7d": np.zeros(len(gone))}
    late = np.datetime64(START) + 40
    assert not world.response.answer(gone, late, np.zeros(len(gone), dtype=int), past).visit.any()
    assert not world.response.p_visit(gone, late, past).any()


def test_late_outcomes_wait_and_lost_ones_never_come() -> None:
    """Where outcomes are late rows mature later; 8 % of events never become an outcome."""
    world = scenario("delayed_rewards", 1_000, seed=1)
    days = list(world.run(20, START, floor=0.02, groups=NOBODY))
    events, outcomes = (
        pd.concat([getattr(day, name) for day in days]) for name in ("events", "outcomes")
    )
    assert len(outcomes) / len(events) == pytest.approx(0.92, abs=0.01)
    late = (outcomes["received_ts"] - outcomes["outcome_ts"]).dt.days
    assert late.max() == 7
    assert (late == 0).mean() == pytest.approx(0.5, abs=0.03)
    log = world.history(3)
    assert ((log.matured_on - log.decision_date).astype(int) == 9).all()


def test_money_is_what_visits_pay() -> None:
    """In money a visit earns on average its worth, and no reward leaves the declared range."""
    world = scenario("stable", 3_000, seed=2, reward="money")
    log, visits = world.history(20), scenario("stable", 3_000, seed=2).history(20)
    np.testing.assert_array_equal(log.action, visits.action)
    assert log.reward.max() <= AMOUNT_CAP == world.reward_range[1]
    assert log.reward.min() >= world.reward_range[0]
    error = log.reward.std() / np.sqrt(len(log))
    assert abs(log.reward.mean() - visit_worth() * visits.reward.mean()) < 3 * error
    assert 6 < visit_worth() < 7
    with pytest.raises(CatalogueError, match="did you mean 'money'"):
        scenario("stable", 100, reward="mony")


def test_preferences_shift_on_their_day() -> None:
    """Uplifts change once, between two days, and the best policy changes with them."""
    world = scenario("preference_shift", 400, seed=1)
    rows, day = np.arange(400), np.datetime64(START) + SHIFT_DAY
    before, on, later = (world.response.uplift(rows, date) for date in (day - 1, day, day + 30))
    np.testing.assert_array_equal(on, later)
    assert np.abs(before - on)[:, 1:].mean() > 0.02
    dates = np.where(rows % 2, day, day - 1)
    mixed = world.response.uplift(rows, dates, np.full(400, 4))
    np.testing.assert_array_equal(mixed, np.where(rows % 2, on[:, 4], before[:, 4]))
    log = world.history(SHIFT_DAY + 20)
    early, late = log.split_by_date(day)
    old, new = world.best_policy(early), world.best_policy(late)
    assert world.true_value(old, early) > world.true_value(new, early) + 0.02
    assert world.true_value(new, late) > world.true_value(old, late) + 0.02
    assert set(FEATURES) == set(log.contexts.columns)
