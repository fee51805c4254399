"""Decisions as rows: every array finds its column, and ids say whose day it is."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pandas as pd
import pytest

from engine.data.decisions import Author, day_of, decision_rows
from policies import Action, Catalogue
from policies.deciding.decision import REASONS, Decisions
from policies.deciding.groups import GROUPS
from policies.deciding.rules import RULES

CATALOGUE = Catalogue(
    "EUR",
    (
        Action("no_contact", "None", "none"),
        Action("mail", "Mail", "news", "email"),
        Action("call", "Call", "service", "phone", cost=0.1),
    ),
)
AUTHOR = Author("main.nba.model", "7", "f" * 12, "run1")
CUSTOMERS = np.array(["a", "b"], dtype=object)


@pytest.fixture
def rows() -> list[dict[str, object]]:
    """Two decisions: one among two actions, one forced."""
    made = Decisions(
        action=np.array([1, 0]),
        action_probability=np.array([0.75, 1.0]),
        group=np.array([1, 0], dtype=np.int8),
        reason=np.array([2, 5], dtype=np.int8),
        distribution=np.array([[0.25, 0.75, 0.0], [1.0, 0.0, 0.0]]),
        eligible=np.array([[True, True, False], [True, False, False]]),
        blocked=np.array([[0, 0, 2], [0, 1, 5]], dtype=np.int8),
        chosen_expected_reward=np.array([0.5, np.nan]),
    )
    dates = day_of(dt.date(2026, 3, 2), 2)
    return decision_rows(CUSTOMERS, dates, made, CATALOGUE, AUTHOR).to_pylist()


def test_arrays_become_columns(rows: list[dict[str, object]]) -> None:
    """Indices turn into names; what is zero or not eligible does not appear in a map."""
    first, second = rows
    assert first["decision_id"] == "a:2026-03-02:0"
    assert first["decision_date"] == dt.date(2026, 3, 2)
    assert (first["action_id"], first["channel"]) == ("mail", "email")
    assert (first["group"], first["reason_code"]) == (GROUPS[1], REASONS[2])
    assert first["distribution"] == [("no_contact", 0.25), ("mail", 0.75)]
    assert first["eligible_actions"] == ["no_contact", "mail"]
    assert first["blocked_actions"] == [("call", RULES[1])]
    assert second["blocked_actions"] == [("mail", RULES[0]), ("call", RULES[4])]
    assert (first["action_probability"], second["action_probability"]) == (0.75, 1.0)


def test_an_unknown_expectation_is_null(rows: list[dict[str, object]]) -> None:
    """A policy that expects nothing leaves null, not NaN."""
    assert [row["chosen_expected_reward"] for row in rows] == [0.5, None]


def test_the_author_stands_beside_every_row(rows: list[dict[str, object]]) -> None:
    """Model, version, catalogue, features and run are those given."""
    names = ("model_name", "model_version", "feature_hash", "run_id", "catalogue_hash")
    expected = ("main.nba.model", "7", "f" * 12, "run1", CATALOGUE.hash)
    assert {tuple(row[name] for name in names) for row in rows} == {expected}


def test_decisions_are_taken_at_eight(rows: list[dict[str, object]]) -> None:
    """decision_ts is 08:00 UTC of the decision's date."""
    assert {pd.Timestamp(str(row["decision_ts"])) for row in rows} == {
        pd.Timestamp("2026-03-02 08:00", tz="UTC")
    }
