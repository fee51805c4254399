"""Each scenario does what its sentence says, by the simulator's own truth."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

from policies import LoggedDecisions, assess
from policies.errors import CatalogueError, InvalidLogError
from simulation import SCENARIOS, World, scenario
from simulation.candidates import better_by
from simulation.customers import CHANNELS

CUSTOMERS, DAYS, NEW_DAY = 800, 45, np.datetime64("2026-01-31")


@cache
def world_and_log(name: str) -> tuple[World, LoggedDecisions]:
    """A world of the scenario, and its log."""
    world = scenario(name, customers=CUSTOMERS, seed=1)
    return world, world.history(DAYS)


def worth(name: str) -> tuple[float, float]:
    """The candidate's true and live value, as shares of the incumbent's."""
    world, log = world_and_log(name)
    assert world.candidate is not None
    true = world.true_value(world.candidate, log) / world.true_value(world.incumbent, log)
    live = (world.live_value(policy, DAYS)[0] for policy in (world.candidate, world.incumbent))
    return true - 1, float(np.divide(*live)) - 1


def same_bytes(left: Any, right: Any) -> bool:
    """Whether two logs are equal to the byte."""
    names = ("action", "action_probability", "reward", "eligible", "customer_id", "decision_date")
    return left.contexts.equals(right.contexts) and all(
        np.array_equal(getattr(left, name), getattr(right, name)) for name in names
    )


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_same_seed_is_the_same_world(name: str) -> None:
    """The same scenario and seed give the same log, another seed gives another log."""
    again, other = scenario(name, 150, seed=4), scenario(name, 150, seed=5)
    log = scenario(name, 150, seed=4).history(6)
    assert same_bytes(log, again.history(6))
    assert not np.array_equal(log.reward, other.history(6).reward[: len(log)])
    assert SCENARIOS[name].count(":") == 1  # what it is for: what the engine should do


@pytest.mark.parametrize(("name", "share"), [("better_5", 0.05), ("worse_5", -0.05)])
def test_five_percent_are_five_percent(name: str, share: float) -> None:
    """The candidate is 5 % better or worse in true value, and in the same direction live."""
    true, live = worth(name)
    assert true == pytest.approx(share, abs=0.005)
    assert live * share > 0


def test_twins_and_effects_that_cancel_are_worth_the_same() -> None:
    """The candidate decides otherwise on many rows, with an effect on a fifth, and is worth the same."""
    world, log = world_and_log("same")
    assert world.candidate is not None
    true, _ = worth("same")
    assert abs(true) < 0.003
    ours, theirs = (
        policy.distribution(log.contexts, log.eligible).argmax(axis=1)
        for policy in (world.candidate, world.incumbent)
    )
    assert (ours != theirs)[log.choice].mean() > 0.3
    expected, rows = world.expected_reward(log), np.arange(len(log))
    differs = ~np.isclose(expected[rows, ours], expected[rows, theirs], atol=1e-12)
    assert 0.1 < differs.mean() < 0.25
    first, twin = (world.action_ids.index(name) for name in ("email_offer", "email_offer_b"))
    np.testing.assert_array_equal(expected[:, first], expected[:, twin])


def test_spam_pays_once() -> None:
    """The candidate's one-step value is far above the incumbent's, and its live value below."""
    true, live = worth("spam")
    assert true > 0.2
    assert live < -0.03


def test_a_broken_log_is_called_broken() -> None:
    """The broken log is called broken, and the same world's intact log is not."""
    world, log = world_and_log("broken_log")
    assert world.candidate is not None
    assessment = assess(log, world.candidate)
    assert assessment.verdict == "broken"
    reasons = " ".join(assessment.reasons)
    assert "email_offer" in reasons
    assert "copies" in reasons
    right = scenario("better_5", CUSTOMERS, seed=1)
    assert same_bytes(world_and_log("better_5")[1], right.history(DAYS))
    assert assess(world_and_log("better_5")[1], world.candidate).verdict != "broken"
    assert len(log) < len(world_and_log("better_5")[1])


def test_thin_overlap_needs_more_rows() -> None:
    """The log supports the candidate too little, and the assessment says how many rows it needs."""
    world, log = world_and_log("thin_overlap")
    assert world.candidate is not None
    assessment = assess(log, world.candidate, minimum_effect=0.005)
    assert assessment.verdict == "collect"
    assert assessment.rows_needed is not None
    assert assessment.rows_needed > log.choice.sum()
    usual = assess(world_and_log("better_5")[1], world.candidate, minimum_effect=0.005)
    assert assessment.effective_n < usual.effective_n / 3


def test_a_new_action_comes_on_its_day() -> None:
    """The new action is eligible and drawn from the 31st day on."""
    world, log = world_and_log("new_action")
    assert log.decision_date is not None
    new = world.action_ids.index("video_call")
    later = log.decision_date >= NEW_DAY
    assert not log.eligible[~later, new].any()
    assert log.eligible[later, new].mean() > 0.2
    assert (log.action[later] == new).mean() > 0.01


def test_seasons_swing_and_fatigue_tires() -> None:
    """Organic visits follow the season, and recent contacts take more off an uplift in `fatigue`."""
    usual, seasonal, tiring = (
        world_and_log(name)[0].response for name in ("stable", "season", "fatigue")
    )
    rows, none = np.arange(50), {"contacts_7d": np.zeros(50)}
    spring, autumn = np.datetime64("2026-04-01"), np.datetime64("2026-10-01")

    def swing(response: Any) -> float:
        here = response.population.here(rows, spring) & response.population.here(rows, autumn)
        ratio = (
            response.p_visit(rows, spring, none)[here] / response.p_visit(rows, autumn, none)[here]
        )
        return float(ratio[:, 0].mean())

    assert swing(seasonal) > 1.5 > 1.2 > swing(usual)
    tired = {
        "contacts_7d": np.array([3]),
        **{f"days_since_{c}": np.array([np.nan]) for c in CHANNELS},
    }
    assert tiring.remaining_effect(tired).max() < usual.remaining_effect(tired).max() ** 2


def test_a_candidate_out_of_reach_is_refused() -> None:
    """No policy is worth twice the incumbent here, and the error says what can be reached."""
    with pytest.raises(CatalogueError, match=r"\+100% of the incumbent's value") as caught:
        better_by(1.0, scenario("stable", 200))
    assert "reachable" in str(caught.value.hint)


def test_candidates_are_made_once_and_for_their_world() -> None:
    """A world's candidate is one object, and scenarios without one have none."""
    world = scenario("better_5", 200)
    assert world.candidate is world.candidate
    assert scenario("stable", 200).candidate is None
    with pytest.raises(InvalidLogError):
        world.true_value(np.ones((3, 2)), world.history(2))
