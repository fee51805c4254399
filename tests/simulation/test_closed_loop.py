"""The closed loop: what it may know when, what it says, and what comes of it."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from policies.judging.gate import Gate
from simulation import scenario
from simulation.loop import Loop, LoopSettings
from simulation.rehearsal import Rehearsal, rehearse
from simulation.scenarios import NEW_DAY, SHIFT_DAY
from simulation.world import START

QUICK = LoopSettings(
    gate=Gate(margin=0.01, minimum_effect=0.02, min_days=3),
    grid=({"cb_type": "mtr", "learning_rate": 0.1, "passes": 2, "standardise": True},),
    memory_days=21,
)
FULL = LoopSettings(rows=60_000)


@cache
def lived(name: str) -> Rehearsal:
    """A small company's 45 days, learning by one recipe."""
    return rehearse(scenario(name, 2_000, seed=1), 45, QUICK)


def test_the_same_seed_is_the_same_course() -> None:
    """A loop lived again ends in the same table."""
    world = scenario("stable", 300, seed=1)
    one, two = (rehearse(world, 22, QUICK).table for _ in range(2))
    assert one.equals(two)


def test_a_promotion_takes_effect_the_next_day_and_on_unseen_rows() -> None:
    """The day of a verdict is still decided by the old champion; evidence begins after learning."""
    course = lived("stable")
    assert course.promotions
    for each in course.promotions:
        on = course.table.set_index("date")["champion"]
        assert on[each.date] != str(each.number) == on[each.date + 1]
        assert each.verdict.verdict == "promote"
        assert each.verdict.rules["range"]["reading"] == "declared"
        days = [np.datetime64(day.decision_date) for day in each.sums]
        assert days == sorted(set(days))
        assert days[-1] + 4 <= each.date  # matured: a day's window, two of lag
        assert len(days) >= QUICK.gate.min_days


def test_learning_pays_and_the_truth_stands_beside_it() -> None:
    """The champion's true value rises above the rules' and stays below the best possible."""
    table = lived("stable").table
    first = table[table["champion"] == "business_rules"]
    np.testing.assert_allclose(first["learned"], first["rules"], rtol=1e-12)
    assert first["gain"].isna().all()
    assert (table["learned"] <= table["best"] + 0.004).all()
    assert table["lead_share"].iloc[-7:].mean() > 0.4
    assert (table["gain"].iloc[-7:] > 0).all()


def test_memory_is_that_of_the_last_days() -> None:
    """Decisions older than memory_days are forgotten, and nothing immature is learned from."""
    loop = Loop(scenario("stable", 200, seed=1), QUICK)
    for _ in range(30):
        loop.next_day()
    assert len(loop.days) == QUICK.memory_days
    today = np.datetime64(START) + 29
    known = list(loop._matured(today))
    assert max(log.matured_on.max() for log in known if log.matured_on is not None) <= today
    assert len(known) == QUICK.memory_days - 4


def test_in_no_effect_nobody_is_promoted_over_no_contact() -> None:
    """Where contacts do nothing, no policy replaces one that leaves everybody alone."""
    for seed in range(3):
        world = scenario("no_effect", 1_000, seed=seed, rules=())
        course = rehearse(world, 40, QUICK)
        assert not course.promotions
        assert (course.table["champion"] == "business_rules").all()


def test_a_broken_log_is_promoted_from_by_nobody() -> None:
    """Where the log contradicts itself the verdict is held that would have been a promotion."""
    course = lived("broken_log")
    assert not course.promotions
    assert lived("stable").promotions
    assert (course.table["verdict"] == "hold").sum() > 10


def test_a_small_company_may_have_too_few_days() -> None:
    """A loop shorter than its first training ends with the rules and no verdict."""
    course = rehearse(scenario("stable", 100), 10, QUICK)
    assert len(course.table) == 10
    assert not course.promotions
    assert (course.table["verdict"] == "").all()


@pytest.mark.slow
def test_the_champion_earns_most_of_what_can_be_earned() -> None:
    """In stable, after 120 days the champion has 80 % of the gap between rules and best."""
    course = rehearse(scenario("stable", 6_000, seed=0), 120, FULL)
    assert course.table["lead_share"].iloc[-20:].mean() >= 0.8
    assert not course.alarms


@pytest.mark.slow
def test_a_shift_is_noticed_within_two_weeks_and_made_good_within_45_days() -> None:
    """In preference_shift the alarm comes within 14 days of the first matured row after it."""
    course = rehearse(scenario("preference_shift", 6_000, seed=0), SHIFT_DAY + 56, FULL)
    matured = np.datetime64(START) + SHIFT_DAY + 4
    [date, drop], *_ = [each for each in course.alarms if each[0] >= matured - 4]
    assert matured <= date <= matured + 14
    assert abs(np.datetime64(drop.since) - (matured - 4)).astype(int) <= 3
    late = course.table[course.table["date"] >= matured + 41]
    assert late["lead_share"].mean() >= 0.8


@pytest.mark.slow
def test_a_new_action_gets_half_its_share_within_a_month() -> None:
    """In new_action who has learned it is promoted, and gives it half of what the best policy does."""
    world = scenario("new_action", 6_000, seed=0)
    course = rehearse(world, NEW_DAY + 31, FULL)
    new = world.action_ids.index("video_call")
    shares = course.actions[:, new] / np.maximum(course.right[:, new], 0.01)
    assert not course.right[:NEW_DAY, new].any()
    assert (course.right[NEW_DAY:, new] > 0.2).all()
    assert shares[NEW_DAY : NEW_DAY + 5].mean() < 0.4  # likeness to other actions is not enough
    assert shares[-7:].mean() >= 0.5
    assert course.promotions[-1].date > np.datetime64(START) + NEW_DAY
    assert course.table["lead_share"].iloc[-7:].mean() > 0.8
