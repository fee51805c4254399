"""Which registered versions housekeeping deletes."""

from __future__ import annotations

import datetime as dt
from types import SimpleNamespace
from typing import Any, Optional

from engine.jobs.housekeeping import _unused_versions
from engine.models.registry import Version
from policies.judging.aliases import AliasHistory, Move

MARCH = [dt.date(2026, 3, day) for day in range(1, 32)]


def run_of(live: Optional[str] = None, moves: Any = (), absent: Any = ()) -> Any:
    """Versions 8 to 12 of lineage `old`, 13 of `new`, and 14, which is not recorded."""
    recorded = {
        str(number): {"lineage": "new" if number == 13 else "old", "as_of": MARCH[number]}
        for number in range(8, 14)
    }
    versions = [Version(number, {}) for number in [*recorded, "14"] if number not in absent]
    return SimpleNamespace(
        registry=SimpleNamespace(
            versions=lambda: versions, alias=lambda name: live if name == "staging" else None
        ),
        standing=SimpleNamespace(recorded=recorded, history=AliasHistory(moves)),
    )


def test_old_versions_that_nothing_names_go() -> None:
    """The oldest go first; young ones, the newest lineage and unrecorded ones stay."""
    assert _unused_versions(run_of(), MARCH[11]) == ["8", "9", "10"]
    assert _unused_versions(run_of(), MARCH[30]) == ["8", "9", "10", "11", "12"]
    assert _unused_versions(run_of(), MARCH[0]) == []


def test_versions_that_are_named_stay() -> None:
    """A live alias, a move to staging or champion and the newest candidate keep a version."""
    moves = [
        Move(MARCH[8], "candidate", None, "8"),
        Move(MARCH[9], "champion", None, "9"),
        Move(MARCH[10], "candidate", "8", "10"),
        Move(MARCH[12], "champion", "9", "11"),
    ]
    assert _unused_versions(run_of("12", moves), MARCH[30]) == ["8"]


def test_deleted_versions_are_not_deleted_again() -> None:
    """What the registry lacks already is left to the record."""
    assert _unused_versions(run_of(absent=("8", "9", "13")), MARCH[11]) == ["10"]
