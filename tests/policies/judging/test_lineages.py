"""Lineages: which version scores which day, when a trial ends, and which step comes next."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.judging.aliases import AliasHistory, Move
from policies.judging.lineages import (
    Lineage,
    RecordedVerdict,
    Step,
    TrainedVersion,
    lineages,
    next_step,
    on_trial,
)

START, TRIAL_DAYS = dt.date(2026, 1, 1), 9


def march(day: int) -> dt.date:
    """A day in March."""
    return dt.date(2026, 3, day)


def version(
    number: str, recipe: str, as_of: int, through: int, started: int | None = None
) -> TrainedVersion:
    """A version; days are those of March."""
    lineage = f"{recipe}@{march(started or as_of)}"
    return TrainedVersion(number, lineage, march(as_of), march(through))


VERSIONS = [
    version("1", "bold", 10, 4),
    version("2", "bold", 11, 5, started=10),
    version("3", "shy", 15, 9),
    version("4", "shy", 16, 10, started=15),
]
BOLD, SHY = lineages(VERSIONS, march(16))


def test_versions_of_one_recipe_follow_one_another() -> None:
    """A lineage holds its versions in order, and starts with the first of them."""
    versions = (("1", march(4)), ("2", march(5)))
    assert Lineage("bold@2026-03-10", march(10), versions) == BOLD
    assert (SHY.newest, SHY.started) == ("4", march(15))


def test_a_past_day_knows_no_later_versions() -> None:
    """On a past day, versions of later days do not exist yet."""
    [bold] = lineages(VERSIONS, march(10))
    assert bold.newest == "1"
    assert lineages(VERSIONS, march(9)) == []


@pytest.mark.parametrize(("day", "number"), [(3, None), (4, "1"), (5, "2"), (20, "2")])
def test_a_day_is_scored_by_the_version_fixed_before_it(day: int, number: str | None) -> None:
    """The newest version that learned from earlier days only scores a day; before any, none."""
    assert BOLD.scoring(march(day)) == number


def test_only_days_after_the_last_frozen_one_are_scored() -> None:
    """Frozen days and days before the first version are left out."""
    days = [march(day) for day in (3, 4, 5, 6)]
    assert BOLD.scoring_after(None, days) == {march(4): "1", march(5): "2", march(6): "2"}
    assert BOLD.scoring_after(march(5), days) == {march(6): "2"}
    assert BOLD.scoring_after(march(6), days) == {}


def test_the_newest_lineage_is_on_trial() -> None:
    """Without verdicts the newest lineage is on trial, and before any version there is none."""
    assert on_trial([BOLD, SHY], [], march(16), 60) == SHY
    assert on_trial([], [], march(16), 60) is None


@pytest.mark.parametrize(
    ("row", "goes_on"),
    [
        ((15, "3", "staging", "hold"), True),
        ((15, "3", "staging", "promote"), True),
        ((15, "3", "staging", "reject"), False),
        ((15, "4", "champion", "promote"), False),
        ((16, "3", "champion", "reject"), True),  # of the day itself: takes effect tomorrow
        ((12, "1", "staging", "reject"), True),  # of another lineage
    ],
)
def test_a_trial_ends_by_rejection_or_at_the_top(
    row: tuple[int, str, str, str], goes_on: bool
) -> None:
    """A rejection or the promotion to champion on an earlier day ends a lineage's trial."""
    day, *rest = row
    verdicts = [RecordedVerdict(march(day), *rest)]
    assert (on_trial([BOLD, SHY], verdicts, march(16), 60) is not None) == goes_on


def test_a_trial_has_a_time_limit() -> None:
    """After its days are over a lineage is no longer on trial."""
    assert on_trial([BOLD, SHY], [], march(19), 5) is not None
    assert on_trial([BOLD, SHY], [], march(20), 5) is None


def test_staging_comes_before_champion() -> None:
    """A lineage asks for staging with its newest version, then for champion with the staged one."""
    history = AliasHistory()
    assert next_step([BOLD, SHY], SHY, "rules", history, march(17)) == Step(
        "staging", "4", "rules", 2
    )
    history = history.with_move(Move(march(17), "staging", None, "3"))
    on_the_day = next_step([BOLD, SHY], SHY, "rules", history, march(17))
    assert on_the_day.alias == "staging"  # the move of the day is not in force yet
    assert next_step([BOLD, SHY], SHY, "rules", history, march(18)) == Step(
        "champion", "3", "rules", 2
    )


def test_the_staging_of_another_lineage_does_not_count() -> None:
    """A version staged by an earlier lineage does not spare a new one its first step."""
    history = AliasHistory([Move(march(12), "staging", None, "1")])
    assert next_step([BOLD, SHY], SHY, "1", history, march(17)).alias == "staging"
    assert next_step([BOLD, SHY], BOLD, "1", history, march(17)).tried == 1


@given(
    trains=st.lists(st.booleans(), min_size=40, max_size=40),
    answers=st.lists(st.sampled_from(["hold", "promote", "reject"]), min_size=40, max_size=40),
    reserve=st.integers(1, 12),
)
def test_whatever_happens_the_day_s_rules_hold(
    trains: list[bool], answers: list[str], reserve: int
) -> None:
    """Over random trainings and verdicts: one trial at a time, staging first, moves from tomorrow.

    A champion was staged on an earlier day by the lineage's own version, was never rejected, and no
    day is scored by a version that could have learned from it.
    """
    versions: list[TrainedVersion] = []
    verdicts: list[RecordedVerdict] = []
    history = AliasHistory()
    for number, (trained, answer) in enumerate(zip(trains, answers)):
        day = START + dt.timedelta(days=number)
        trial = on_trial(lineages(versions, day), verdicts, day, TRIAL_DAYS)
        if trained:
            name = trial.name if trial else f"r@{day}"
            through = day - dt.timedelta(days=reserve)
            versions.append(TrainedVersion(str(len(versions) + 1), name, day, through))
        known = lineages(versions, day)
        before, now = trial, on_trial(known, verdicts, day, TRIAL_DAYS)
        assert before is None or (now is not None and now.name == before.name)
        if now is None:
            continue
        assert now == known[-1]
        assert 0 <= (day - now.started).days < TRIAL_DAYS
        champion = history.version("champion", day) or "rules"
        step = next_step(known, now, champion, history, day)
        own = {name for name, _ in now.versions}
        assert step.version in own
        assert champion not in own  # the promotion to champion ends the trial
        assert (step.alias == "champion") == (history.version("staging", day) in own)
        for scored, name in now.scoring_after(None, [day]).items():
            assert dict(now.versions)[name] <= scored
        verdicts.append(RecordedVerdict(day, step.version, step.alias, answer))
        if answer == "promote":
            from_version = history.version(step.alias, day, today=True)
            history = history.with_move(Move(day, step.alias, from_version, step.version))
            assert history.version(step.alias, day) != step.version
            assert history.version(step.alias, day + dt.timedelta(days=1)) == step.version
    rejected = {row.candidate for row in verdicts if row.verdict == "reject"}
    staged = {move.to_version: move.as_of for move in history.moves if move.alias == "staging"}
    for move in history.moves:
        if move.alias == "champion":
            assert staged[move.to_version] < move.as_of
            assert move.to_version not in rejected
