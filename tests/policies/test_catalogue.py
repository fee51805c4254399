"""Actions and catalogues."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from policies.catalogue import Action, Catalogue
from policies.errors import CatalogueError, PredicateError

NO_CONTACT = Action("no_contact", "No contact", "none")
EMAIL = Action("email", "E-mail", "newsletter", "email", cost=0.1, eligible_when="age >= 18")
CALL = Action("call", "Call", "service", "phone", valid_from=date(2026, 1, 1), cost=3.0)


def catalogue(*more: Action, **changes: Any) -> Catalogue:
    """Three actions and what a test adds."""
    return Catalogue("EUR", (NO_CONTACT, EMAIL, CALL, *more), **changes)


def test_gives_columns_in_order() -> None:
    """Ids, costs and channels come in the order of the actions; contact channels sorted."""
    actions = catalogue()
    assert actions.action_ids == ("no_contact", "email", "call")
    assert actions.costs.tolist() == [0.0, 0.1, 3.0]
    assert actions.channels == ("none", "email", "phone")
    assert actions.contact_channels == ("email", "phone")
    assert actions.index("call") == 2


def test_names_the_closest_action() -> None:
    """An unknown action is an error that names the closest one."""
    with pytest.raises(CatalogueError, match="did you mean 'email'"):
        catalogue().index("emial")


def test_refuses_a_repeated_id() -> None:
    """Two actions cannot share an id."""
    with pytest.raises(CatalogueError, match="repeat: email"):
        catalogue(EMAIL)


def test_needs_no_contact() -> None:
    """A catalogue without the action that contacts nobody is refused."""
    with pytest.raises(CatalogueError, match="no action 'nothing'"):
        catalogue(no_contact="nothing")


@pytest.mark.parametrize(
    "restriction",
    [{"channel": "email"}, {"valid_to": date(2026, 1, 1)}, {"suitable_when": "age > 3"}],
)
def test_no_contact_is_unrestricted(restriction: dict[str, Any]) -> None:
    """No contact may carry neither channel, dates nor predicates."""
    with pytest.raises(CatalogueError, match="restricted"):
        Catalogue("EUR", (replace(NO_CONTACT, **restriction), EMAIL))


@pytest.mark.parametrize("key", ["eligible_when", "applicable_when", "suitable_when"])
def test_names_the_predicate_that_does_not_parse(key: str) -> None:
    """A predicate outside the grammar is refused with its action, key and text."""
    bad = Action("sms", "SMS", "newsletter", "sms", **{key: "upper(name) = 'X'"})
    with pytest.raises(PredicateError) as error:
        catalogue(bad)
    assert error.value.where == f"action sms, {key}: upper(name) = 'X'"


def test_refuses_dates_and_amounts_that_make_no_sense() -> None:
    """An action that ends before it starts, or costs NaN or less than nothing, is refused."""
    with pytest.raises(CatalogueError, match="after valid_to"):
        catalogue(replace(CALL, id="x", valid_to=date(2025, 1, 1)))
    with pytest.raises(CatalogueError, match="amounts"):
        catalogue(replace(CALL, id="x", cost=float("nan")))
    with pytest.raises(CatalogueError, match="no cost is negative"):
        catalogue(replace(CALL, id="x", cost=-0.01))


@pytest.mark.parametrize(
    "change",
    [
        {"cost": 0.2},
        {"eligible_when": "age >= 21"},
        {"features": {"tone": "warm"}},
        {"name": "Mail"},
    ],
)
def test_hash_follows_the_content(change: dict[str, Any]) -> None:
    """Equal catalogues share 12 hexadecimal digits; any change of an action gives others."""
    changed = Catalogue("EUR", (NO_CONTACT, replace(EMAIL, **change), CALL))
    assert catalogue().hash == Catalogue("EUR", (NO_CONTACT, EMAIL, CALL)).hash
    assert changed.hash != catalogue().hash
    assert len(changed.hash) == 12
    assert int(changed.hash, 16) >= 0


def test_hash_follows_the_order() -> None:
    """The order of actions is part of the hash, since columns follow it."""
    assert Catalogue("EUR", (EMAIL, NO_CONTACT, CALL)).hash != catalogue().hash
