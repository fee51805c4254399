"""Lineages: which recipes are on trial, and which version scores which day."""

from __future__ import annotations

import datetime as dt

import pandas as pd
import pytest

from engine.models.lineages import Lineage, lineages, on_trial


def march(day: int) -> dt.date:
    """A day in March."""
    return dt.date(2026, 3, day)


def tags(recipe: str, as_of: int, through: int, started: int | None = None) -> dict[str, str]:
    """A version's tags; days are those of March."""
    return {
        "recipe": recipe,
        "lineage": f"{recipe}@{march(started or as_of)}",
        "as_of": str(march(as_of)),
        "trained_through": str(march(through)),
    }


VERSIONS = [
    ("1", tags("bold", 10, 4)),
    ("2", tags("bold", 11, 5, started=10)),
    ("3", tags("shy", 15, 9)),
    ("4", tags("shy", 16, 10, started=15)),
]


def verdicts(*rows: tuple[str, str, str, int]) -> pd.DataFrame:
    """Rows of `verdicts`: candidate, verdict, alias, day of March."""
    names = ["candidate", "verdict", "to_alias", "day"]
    frame = pd.DataFrame(list(rows), columns=names)
    return frame.assign(as_of=[march(day) for day in frame["day"]])


def test_versions_of_one_recipe_follow_one_another() -> None:
    """A lineage holds its versions in order, and starts with the first of them."""
    bold, shy = lineages(VERSIONS, march(16))
    assert bold == Lineage("bold@2026-03-10", "bold", march(10), (("1", march(4)), ("2", march(5))))
    assert (shy.newest, shy.started) == ("4", march(15))


def test_a_past_day_knows_no_later_versions() -> None:
    """Looking back, versions of later days do not exist yet."""
    [bold] = lineages(VERSIONS, march(10))
    assert bold.newest == "1"
    assert lineages(VERSIONS, march(9)) == []


@pytest.mark.parametrize(("day", "version"), [(3, None), (4, "1"), (5, "2"), (20, "2")])
def test_a_day_is_scored_by_what_was_fixed_before_it(day: int, version: str | None) -> None:
    """The newest version that learned from earlier days only scores a day; before any, none."""
    bold = lineages(VERSIONS, march(16))[0]
    assert bold.scoring(march(day)) == version


def test_the_newest_lineage_is_on_trial() -> None:
    """Without verdicts the newest lineage is on trial, and before any version there is none."""
    known = lineages(VERSIONS, march(16))
    assert on_trial(known, verdicts(), march(16), 60) == known[-1]
    assert on_trial([], verdicts(), march(16), 60) is None


@pytest.mark.parametrize(
    ("row", "goes_on"),
    [
        (("3", "hold", "staging", 15), True),
        (("3", "promote", "staging", 15), True),
        (("3", "reject", "staging", 15), False),
        (("4", "promote", "champion", 15), False),
        (("3", "reject", "champion", 16), True),  # of the day itself: takes effect tomorrow
        (("1", "reject", "staging", 12), True),  # of another lineage
    ],
)
def test_a_trial_ends_by_rejection_or_at_the_top(
    row: tuple[str, str, str, int], goes_on: bool
) -> None:
    """A rejection or the promotion to champion on an earlier day ends a lineage's trial."""
    known = lineages(VERSIONS, march(16))
    assert (on_trial(known, verdicts(row), march(16), 60) is not None) == goes_on


def test_a_trial_has_a_time_limit() -> None:
    """After its days are over a lineage is no longer on trial."""
    known = lineages(VERSIONS, march(16))
    assert on_trial(known, verdicts(), march(19), 5) is not None
    assert on_trial(known, verdicts(), march(20), 5) is None
