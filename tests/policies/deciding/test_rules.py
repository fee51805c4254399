"""The funnel: validity, consent and predicates, and which of them blocked."""

from __future__ import annotations

from datetime import date

import numpy as np
import pandas as pd
import pytest

from policies.catalogue import Action, Catalogue
from policies.deciding.rules import RULES, funnel
from policies.errors import CatalogueError, PredicateError

CATALOGUE = Catalogue(
    "EUR",
    (
        Action("no_contact", "No contact", "none"),
        Action("email", "E-mail", "letters", "email", eligible_when="age >= 18"),
        Action(
            "call",
            "Call",
            "service",
            "phone",
            valid_from=date(2026, 1, 10),
            valid_to=date(2026, 1, 20),
            eligible_when="age >= 18",
            applicable_when="days > 3",
            suitable_when="complaints = 0",
        ),
    ),
)
FRAME = pd.DataFrame(
    {
        "consent_email": [True, None, True, False, True],
        "consent_phone": pd.array([True, True, None, True, True], dtype="boolean"),
        "age": [30, 30, 30, 12, np.nan],
        "days": [5.0, np.nan, 5.0, 5.0, 5.0],
        "complaints": [1, 0, 0, 0, 0],
    }
)


def names(blocked: np.ndarray) -> list[str]:
    """The rule of each code; "" is not blocked."""
    return [("", *RULES)[code] for code in blocked]


def test_names_the_first_rule_that_blocks() -> None:
    """Each blocked pair carries the first of validity, consent, may, makes sense, is good."""
    blocked = funnel(CATALOGUE, FRAME, "2026-01-15")
    email = ["", "no_consent", "", "no_consent", "not_eligible"]
    call = ["not_suitable", "not_applicable", "no_consent", "not_eligible", "not_eligible"]
    assert names(blocked[:, 0]) == [""] * 5
    assert names(blocked[:, 1]) == email
    assert names(blocked[:, 2]) == call
    assert blocked.dtype == np.int8


@pytest.mark.parametrize(
    ("day", "valid"),
    [("2026-01-09", False), ("2026-01-10", True), ("2026-01-20", True), ("2026-01-21", False)],
)
def test_validity_includes_both_ends(day: str, valid: bool) -> None:
    """An action may be taken from its first to its last day, both included, as text or date."""
    for given in (day, date.fromisoformat(day), np.datetime64(day)):
        blocked = funnel(CATALOGUE, FRAME, given)[:, 2]
        assert (RULES[blocked[0] - 1] != "not_valid") == valid


def test_takes_a_day_for_each_row() -> None:
    """With one day per row, each row is judged on its own day."""
    days = np.array(["2026-01-01", "2026-01-15", "2026-01-15", "2026-02-01", "2026-01-15"], "M8[D]")
    together = funnel(CATALOGUE, FRAME, days)
    for row, day in enumerate(days):
        assert np.array_equal(together[row], funnel(CATALOGUE, FRAME, day)[row])


def test_an_unknown_day_is_within_no_dates() -> None:
    """Where the day is missing, an action with dates is not valid; one without dates is valid."""
    blocked = funnel(CATALOGUE, FRAME, np.full(len(FRAME), "NaT", "M8[D]"))
    assert names(blocked[:, 2]) == ["not_valid"] * 5
    assert names(blocked[:, 0]) == [""] * 5


def test_consent_must_be_there_and_boolean() -> None:
    """A missing consent column is named with the closest; one that is not boolean is refused."""
    with pytest.raises(CatalogueError, match="did you mean 'consent_e-mail'"):
        funnel(CATALOGUE, FRAME.rename(columns={"consent_email": "consent_e-mail"}), "2026-01-15")
    with pytest.raises(CatalogueError, match="holds number values"):
        funnel(CATALOGUE, FRAME.assign(consent_email=1), "2026-01-15")


def test_unknown_consent_is_no_consent() -> None:
    """Where nobody's consent is known, nobody is contacted."""
    blocked = funnel(CATALOGUE, FRAME.assign(consent_email=None), "2026-01-15")
    assert names(blocked[:, 1]) == ["no_consent"] * 5


def test_names_the_action_of_a_predicate_that_fails() -> None:
    """A predicate over a missing column is refused with action, key and text."""
    with pytest.raises(PredicateError) as error:
        funnel(CATALOGUE, FRAME.drop(columns="complaints"), "2026-01-15")
    assert error.value.where == "action call, suitable_when: complaints = 0"


def test_works_without_rows() -> None:
    """An empty batch has an empty funnel."""
    assert funnel(CATALOGUE, FRAME[:0], "2026-01-15").shape == (0, 3)
