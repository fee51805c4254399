"""World: the answers to decisions, in any order and for any catalogue."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from policies.catalogue import Action, Catalogue
from policies.deciding.decision import decision_ids
from policies.errors import CatalogueError, InvalidLogError
from policies.learning.baselines import UniformPolicy
from simulation import SCENARIOS, Day, World, demo_catalogue, demo_rules, scenario
from simulation.effects import LOWEST_UPLIFT
from simulation.response import P_VISIT, Response, rhythm
from simulation.world import START


def requests(world: World, days: list[Day]) -> pd.DataFrame:
    """The decisions of some days as the engine passes them to `World.answer`."""
    ids = np.array(world.action_ids)
    return pd.concat(
        [
            pd.DataFrame(
                {
                    "customer_id": day.contexts["customer_id"],
                    "decision_date": day.date,
                    "decision_id": decision_ids(day.contexts["customer_id"].to_numpy(), day.date),
                    "action_id": ids[day.decisions.action],
                    "contacts_7d": day.contexts["contacts_7d"],
                }
            )
            for day in days
        ],
        ignore_index=True,
    )


def test_answer_is_what_run_does(world: World, days: list[Day]) -> None:
    """The answer to the decisions of a run is that run's events and outcomes."""
    events, outcomes = world.answer(requests(world, days[:5]))
    run = [pd.concat([getattr(d, name) for d in days[:5]]) for name in ("events", "outcomes")]
    pd.testing.assert_frame_equal(events, run[0].reset_index(drop=True))
    pd.testing.assert_frame_equal(outcomes, run[1].reset_index(drop=True))


def test_order_and_chunks_do_not_matter(world: World, days: list[Day]) -> None:
    """Shuffled or in pieces, the decisions get the same rows as answers."""
    frame = requests(world, days[3:5])
    whole = world.answer(frame)
    shuffled = world.answer(frame.sample(frac=1, random_state=0))
    pieces = [world.answer(frame.iloc[i::3]) for i in range(3)]
    for j, key in enumerate(("event_id", "outcome_id")):
        pd.testing.assert_frame_equal(whole[j], shuffled[j])
        joined = pd.concat([piece[j] for piece in pieces]).sort_values(key, ignore_index=True)
        pd.testing.assert_frame_equal(whole[j].sort_values(key, ignore_index=True), joined)


@pytest.mark.parametrize("form", ["text", "date", "timestamp"])
def test_answer_takes_dates_in_any_form(world: World, days: list[Day], form: str) -> None:
    """Dates as text, as date objects or as timestamps mean the same day."""
    frame = requests(world, days[:1])
    stamps = pd.to_datetime(frame["decision_date"])
    forms = {"text": stamps.astype(str), "date": stamps.dt.date, "timestamp": stamps}
    events, _ = world.answer(frame.assign(decision_date=forms[form]))
    pd.testing.assert_frame_equal(events, days[0].events)


def test_no_decisions_have_no_answers(world: World, days: list[Day]) -> None:
    """An empty frame gives empty tables with their columns."""
    events, outcomes = world.answer(requests(world, days[:1]).iloc[:0])
    assert (len(events), len(outcomes)) == (0, 0)
    assert list(events.columns) == list(days[0].events.columns)
    assert list(outcomes.columns) == list(days[0].outcomes.columns)


def test_strangers_and_unknown_actions_are_named(world: World, days: list[Day]) -> None:
    """A customer from elsewhere, or an action not in the catalogue, is an error that names it."""
    frame = requests(world, days[:1])
    with pytest.raises(InvalidLogError, match="C9999999"):
        world.answer(frame.assign(customer_id="C9999999"))
    with pytest.raises(CatalogueError, match="app_pusch"):
        world.answer(frame.assign(action_id="app_pusch"))


def test_facts_keep_their_hours(world: World, days: list[Day]) -> None:
    """Visits fall between 08:00 and midnight of the day, outcomes arrive up to two days later."""
    for day in days:
        opens = pd.Timestamp(day.date) + pd.Timedelta(hours=8)
        assert day.events["event_ts"].between(opens, opens + pd.Timedelta(hours=15.99)).all()
        late = day.outcomes["received_ts"] - day.outcomes["outcome_ts"]
        assert set(late.dt.days) <= {0, 1, 2}
    late = pd.concat([d.outcomes for d in days]).eval("received_ts - outcome_ts").dt.days
    assert late.value_counts(normalize=True)[0] == pytest.approx(0.6, abs=0.05)


def test_events_and_outcomes_tell_the_same_story(days: list[Day]) -> None:
    """Each event is one outcome; purchases come with a visit and an amount, visits without."""
    events = pd.concat([day.events for day in days])
    outcomes = pd.concat([day.outcomes for day in days])
    assert events["event_id"].is_unique
    assert list(events["event_id"]) == list(outcomes["outcome_id"])
    bought = events[events["event_type"] == "purchase"]
    visits = events[events["event_type"] == "visit"]
    assert set(bought["event_id"].str.replace("purchase", "visit")) <= set(visits["event_id"])
    assert (visits["amount"] == 0).all()
    assert 30 < bought["amount"].mean() < 60
    assert 0.11 < len(bought) / len(visits) < 0.19


def test_only_contacted_customers_outcomes_name_a_decision(world: World, days: list[Day]) -> None:
    """An outcome names its decision when something was sent, and none when it is organic."""
    for day in days[:10]:
        contacted = day.decisions.action != world.action_ids.index("no_contact")
        customers = day.contexts["customer_id"].to_numpy()
        reached = day.outcomes["customer_id"].isin(customers[contacted])
        named = day.outcomes["decision_id"].notna()
        assert (named == reached).all()
        expected = day.outcomes["customer_id"] + f":{day.date}:0"
        assert (day.outcomes["decision_id"][named] == expected[named]).all()


def test_burn_in_is_organic_and_the_same_past(world: World, days: list[Day]) -> None:
    """Events of the 28 days before the start are what the first day's contexts count."""
    events = world.burn_in("2026-01-01")
    dates = events["event_ts"].to_numpy().astype("datetime64[D]")
    assert dates.min() >= np.datetime64("2025-12-04")
    assert dates.max() <= np.datetime64("2025-12-31")
    orders = days[0].contexts["orders_28d"].sum()
    assert orders == (events["event_type"] == "purchase").sum()


def test_contacts_move_visits_only_where_contacts_work() -> None:
    """In `no_effect` a contact changes nothing, customer by customer; in `stable` it does."""
    for name, works in (("no_effect", False), ("stable", True)):
        world = scenario(name, customers=2000, seed=1)
        frame = pd.DataFrame({"customer_id": world.population("2026-01-01")["customer_id"]})
        frame = frame.assign(decision_date="2026-02-02", decision_id="x", contacts_7d=0)
        sent, _ = world.answer(frame.assign(action_id="email_news"))
        left, _ = world.answer(frame.assign(action_id="no_contact"))
        assert (len(sent) > 1.2 * len(left)) if works else sent.equals(left)


def test_no_effect_log_shows_no_effect() -> None:
    """In `no_effect` contacts and no contact have equal mean visits within Monte-Carlo error."""
    world = scenario("no_effect", customers=2000, seed=0)
    log = world.history(20, UniformPolicy(world.action_ids))
    visit = log.reward + np.asarray(world.catalogue.costs)[log.action]
    weight = 1 / log.action_probability
    contact, rest = log.action > 0, log.action == 0
    eligible = log.choice
    difference = np.where(contact, weight / (log.eligible.sum(1) - 1).clip(1), 0) * visit
    difference = (difference - np.where(rest, weight, 0) * visit)[eligible]
    assert abs(difference.mean()) < 3 * difference.std() / np.sqrt(len(difference))


def test_probabilities_never_reach_their_clip() -> None:
    """The clip of p_visit is out of reach, for known and seeded effects: the truth is linear."""
    extra = tuple(Action(f"x{i}", f"X{i}", "email", "email", None, None) for i in range(40))
    full = Catalogue("EUR", (*demo_catalogue().actions, *extra))
    world = scenario("stable", customers=3000, seed=0, catalogue=full)
    assert world.response.uplift(np.arange(3000), np.datetime64(START)).min() >= 1.8 * LOWEST_UPLIFT
    for date in np.arange("2026-01-01", "2027-01-01", dtype="datetime64[D]")[::5]:
        p = world.response.p_visit(np.arange(3000), date, {"contacts_7d": np.zeros(3000)})
        assert p.min() > P_VISIT[0]
        assert p.max() < P_VISIT[1]


def test_every_contact_puts_some_segment_off() -> None:
    """Each contact has segments that it draws and segments that it drives away."""
    response = scenario("stable", customers=3000, seed=0).response
    uplift = response.segment_uplift(response.population.traits)
    assert (uplift[:, 1:] < 0).any(axis=0).all()
    assert (uplift[:, 1:] > 0.1).any(axis=0).all()
    assert (uplift[:, 0] == 0).all()


def test_any_catalogue_is_answered() -> None:
    """Actions the demo never heard of get an effect of their own, the same on every call."""
    actions = (
        Action("no_contact", "No contact", "none", "none", None, None),
        Action("wait", "Wait", "none", "none", None, None),
        Action("mens_email", "Men's", "email", "email", None, None, cost=0.01),
        Action("womens_email", "Women's", "email", "email", None, None, cost=0.01),
    )
    catalogue = Catalogue("USD", actions)
    world = scenario("stable", customers=500, seed=0, catalogue=catalogue, rules=())
    uplift = world.response.uplift(np.arange(500), np.datetime64(START))
    assert (uplift[:, :2] == 0).all()
    assert np.abs(uplift[:, 2] - uplift[:, 3]).mean() > 0.01
    assert len(world.history(3)) == 1500
    other = Catalogue("USD", (actions[0], actions[3], actions[2]))
    law = scenario("stable", customers=500, seed=0, catalogue=other, rules=()).response
    again = law.uplift(np.arange(500), np.datetime64(START))
    np.testing.assert_array_equal(again[:, [2, 1]], uplift[:, [2, 3]])


def test_rhythm_averages_to_one() -> None:
    """Season and weekday shift visits through the year, not their level."""
    year = rhythm(np.arange("2026-01-01", "2030-01-01", dtype="datetime64[D]"))
    assert year.mean() == pytest.approx(1, abs=0.002)
    assert year.max() > 1.08
    assert rhythm(np.datetime64("2026-01-09")) > rhythm(np.datetime64("2026-01-11"))  # Fri, Sun


def test_unknown_scenario_is_suggested() -> None:
    """A misspelt scenario gets a hint."""
    with pytest.raises(CatalogueError, match="did you mean 'stable'"):
        scenario("stabel")
    assert set(SCENARIOS) >= {"stable", "no_effect"}


def test_demo_rules_speak_of_demo_actions(world: World) -> None:
    """The demo's rules name actions of the demo's catalogue, and the world runs on both."""
    assert {action for _, action in demo_rules()} <= set(demo_catalogue().action_ids)
    assert world.action_ids == demo_catalogue().action_ids
    assert isinstance(world.response, Response)
    assert world.candidate is None
