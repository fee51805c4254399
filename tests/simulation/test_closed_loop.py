"""The closed loop: what it may know on a day, its verdicts, and its results."""

from __future__ import annotations

import datetime as dt
from functools import cache

import numpy as np
import pytest

from policies.judging.gate import Gate
from simulation import scenario
from simulation.loop import Loop, LoopSettings
from simulation.loop_result import LoopResult, run_loop
from simulation.scenarios import NEW_DAY, SHIFT_DAY
from simulation.world import START

QUICK = LoopSettings(
    gate=Gate(margin=0.01, minimum_effect=0.02, min_days=3),
    grid=({"cb_type": "mtr", "learning_rate": 0.1, "passes": 2, "standardise": True},),
    first_days=14,
    reserve_days=3,
    memory_days=21,
)
FULL = LoopSettings(rows=60_000)


@cache
def small_run(name: str) -> LoopResult:
    """A small company's 45 days, learning by one recipe."""
    return run_loop(scenario(name, 2_000, seed=1), 45, QUICK)


def test_the_same_seed_is_the_same_result() -> None:
    """A second run of a loop ends in the same table."""
    world = scenario("stable", 300, seed=1)
    one, two = (run_loop(world, 22, QUICK).table for _ in range(2))
    assert one.equals(two)


def test_a_promotion_takes_effect_the_next_day_and_on_unseen_rows() -> None:
    """The old champion still decides on the day of a verdict; evidence begins after learning."""
    result = small_run("stable")
    assert result.promotions
    for promotion in result.promotions:
        on = result.table.set_index("date")["champion"]
        assert on[promotion.date] != promotion.version == on[promotion.date + 1]
        assert promotion.verdict.verdict == "promote"
        assert promotion.verdict.rules["range"]["reading"] == "declared"
        days = [np.datetime64(day.decision_date) for day in promotion.sums]
        assert days == sorted(set(days))
        assert days[-1] + 4 <= promotion.date  # matured: a day's window, two of lag
        assert len(days) >= QUICK.gate.min_days


def test_learning_pays_by_the_true_values() -> None:
    """The champion's true value rises above the rules' and stays below the best possible."""
    table = small_run("stable").table
    first = table[table["champion"] == "business_rules"]
    np.testing.assert_allclose(first["learned"], first["rules"], rtol=1e-12)
    assert first["gain"].isna().all()
    assert (table["learned"] <= table["best"] + 0.004).all()
    assert table["lead_share"].iloc[-7:].mean() > 0.4
    assert (table["gain"].iloc[-7:] > 0).all()


def test_the_loop_remembers_the_last_days_only() -> None:
    """Decisions older than memory_days are forgotten, and no immature reward is read."""
    loop = Loop(scenario("stable", 200, seed=1), QUICK)
    for _ in range(30):
        loop.next_day()
    assert len(loop.days) == QUICK.memory_days
    today = np.datetime64(START) + 29
    known = loop._matured(loop.today - dt.timedelta(days=1)).values()
    assert max(log.known_on.max() for log in known) <= today
    assert len(known) == QUICK.memory_days - 4


def test_the_newest_matured_days_are_reserved_for_the_gate() -> None:
    """Every version, a new lineage's or a later one, leaves the reserved days to its judge."""
    loop = Loop(scenario("stable", 300, seed=1), QUICK)
    for _ in range(29):
        loop.next_day()
    assert len({version.lineage for version in loop.versions}) < len(loop.versions)
    newest_matured = [version.as_of - dt.timedelta(days=4) for version in loop.versions]
    reserved = dt.timedelta(days=QUICK.reserve_days - 1)
    assert [version.trained_through for version in loop.versions] == [
        day - reserved for day in newest_matured
    ]


def test_staging_comes_before_champion_one_step_a_day() -> None:
    """A champion was staged on an earlier day."""
    notes = small_run("stable").table["note"]
    for promotion in small_run("stable").promotions:
        [staged] = notes.index[notes.str.contains(f"version {promotion.version} staged")]
        [promoted] = notes.index[notes.str.contains(f"version {promotion.version} promoted")]
        assert staged < promoted


def test_in_no_effect_nothing_is_promoted_over_no_contact() -> None:
    """If contacts have no effect, no policy replaces the one that contacts nobody."""
    for seed in range(3):
        world = scenario("no_effect", 1_000, seed=seed, rules=())
        result = run_loop(world, 40, QUICK)
        assert not result.promotions
        assert (result.table["champion"] == "business_rules").all()


def test_a_broken_log_promotes_nothing() -> None:
    """If the log contradicts itself, a verdict that would be a promotion is a hold."""
    result = small_run("broken_log")
    assert not result.promotions
    assert small_run("stable").promotions
    assert (result.table["verdict"] == "hold").sum() > 10


def test_a_small_company_may_have_too_few_days() -> None:
    """A loop shorter than its first training ends with the rules and no verdict."""
    result = run_loop(scenario("stable", 100), 10, QUICK)
    assert len(result.table) == 10
    assert not result.promotions
    assert (result.table["verdict"] == "").all()


@pytest.mark.slow
def test_the_champion_earns_most_of_the_possible_gain() -> None:
    """In stable, after 120 days the champion has 80 % of the gap between rules and best."""
    result = run_loop(scenario("stable", 6_000, seed=0), 120, FULL)
    assert result.table["lead_share"].iloc[-20:].mean() >= 0.8
    assert not result.alarms


@pytest.mark.slow
def test_a_shift_raises_an_alarm_within_two_weeks_and_is_made_good_within_45_days() -> None:
    """In preference_shift the alarm comes within 14 days of the first matured row after it."""
    result = run_loop(scenario("preference_shift", 6_000, seed=0), SHIFT_DAY + 56, FULL)
    matured = np.datetime64(START) + SHIFT_DAY + 4
    [date, drop], *_ = [alarm for alarm in result.alarms if alarm[0] >= matured - 4]
    assert matured <= date <= matured + 14
    assert abs(np.datetime64(drop.since) - (matured - 4)).astype(int) <= 3
    late = result.table[result.table["date"] >= matured + 41]
    assert late["lead_share"].mean() >= 0.65


@pytest.mark.slow
def test_a_new_action_gets_half_its_share_within_a_month() -> None:
    """In new_action the champion gives the action at least half the share that the best does."""
    world = scenario("new_action", 6_000, seed=0)
    result = run_loop(world, NEW_DAY + 31, FULL)
    new = world.action_ids.index("video_call")
    shares = result.actions[:, new] / np.maximum(result.best_actions[:, new], 0.01)
    assert not result.best_actions[:NEW_DAY, new].any()
    assert (result.best_actions[NEW_DAY:, new] > 0.2).all()
    assert shares[-7:].mean() >= 0.5
    assert result.table["lead_share"].iloc[-7:].mean() > 0.7
