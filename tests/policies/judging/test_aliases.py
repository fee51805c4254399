"""Aliases on a day: read from recorded moves, and in force from the next day on."""

from __future__ import annotations

import datetime as dt

import pandas as pd
import pytest

from policies.judging.aliases import PREVIOUS_DAYS, AliasHistory, Move

COLUMNS = ["as_of", "moved_at", "alias", "from_version", "to_version"]


def march(day: int) -> dt.date:
    """A day in March."""
    return dt.date(2026, 3, day)


def history(*moves: tuple[int, int, str, str | None, str]) -> AliasHistory:
    """Moves as (day of March, hour of that day, alias, from, to)."""
    rows = [(march(d), pd.Timestamp(2026, 3, d, h), *rest) for d, h, *rest in moves]
    return AliasHistory.from_frame(pd.DataFrame(rows, columns=COLUMNS))


MOVES = history(
    (12, 9, "champion", "1", "3"),
    (5, 9, "champion", None, "1"),
    (5, 8, "candidate", None, "1"),
    (8, 9, "staging", None, "2"),
)


@pytest.mark.parametrize(
    ("day", "version"), [(4, None), (5, None), (6, "1"), (12, "1"), (13, "3"), (30, "3")]
)
def test_a_move_takes_effect_the_next_day(day: int, version: str | None) -> None:
    """On the day of a move the old version is still in force; the order of rows is no matter."""
    assert MOVES.version("champion", march(day)) == version


def test_the_moves_of_the_day_count_when_asked_for() -> None:
    """What is recorded today counts for recording, not for deciding."""
    assert MOVES.version("champion", march(12), today=True) == "3"
    assert MOVES.version("champion", march(11), today=True) == "1"
    assert MOVES.version("staging", march(7), today=True) is None


def test_two_moves_of_one_day_are_in_order_of_time() -> None:
    """The later of two moves of one day is the one that stands."""
    twice = history((5, 11, "staging", "1", "2"), (5, 9, "staging", None, "1"))
    assert twice.version("staging", march(6)) == "2"


def test_the_champion_before_keeps_a_share_for_four_weeks() -> None:
    """The old champion stays from the day after the move for 28 days, a baseline as None."""
    assert MOVES.previous_champion(march(5)) is None
    first, second = Move(march(5), "champion", None, "1"), Move(march(12), "champion", "1", "3")
    assert MOVES.previous_champion(march(6)) == first
    assert MOVES.previous_champion(march(12)) == first
    assert MOVES.previous_champion(march(13)) == second
    last = march(12) + dt.timedelta(days=PREVIOUS_DAYS)
    assert MOVES.previous_champion(last) == second
    assert MOVES.previous_champion(last + dt.timedelta(days=1)) is None


def test_without_moves_nobody_stands_anywhere() -> None:
    """A model that was never promoted has no champion and no one before it."""
    assert history().version("champion", march(5)) is None
    assert history().previous_champion(march(5)) is None


def test_one_more_move_is_known_at_once() -> None:
    """A move that was just recorded counts without reading the table again."""
    more = MOVES.with_move(Move(march(20), "champion", "3", "4"))
    assert more.version("champion", march(21)) == "4"
    assert MOVES.version("champion", march(21)) == "3"
    first = AliasHistory().with_move(Move(march(20), "champion", None, "4"))
    assert first.version("champion", march(21)) == "4"


def test_a_move_recorded_for_a_past_day_does_not_outlast_later_ones() -> None:
    """A move of an earlier day, recorded last, is in force until the next day's move."""
    more = MOVES.with_move(Move(march(10), "champion", "1", "2"))
    assert more.version("champion", march(11)) == "2"
    assert more.version("champion", march(13)) == "3"
