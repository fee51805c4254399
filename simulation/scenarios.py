"""Worlds by name: the demo's catalogue, rules and effects, and what each scenario is for."""

from __future__ import annotations

from collections.abc import Sequence

from policies.actions import Action, Catalogue
from policies.errors import CatalogueError, did_you_mean
from simulation.customers import Population
from simulation.response import Effect, Response
from simulation.world import World

SCENARIOS = {
    "stable": "Contacts work, differently from segment to segment, and nothing changes: the engine "
    "should learn a policy that beats the business rules, and promote it.",
    "no_effect": "Contacts do nothing and customers visit anyway: the engine should find no "
    "difference, and promote nothing over no contact.",
}
"""What each scenario is for, and what the engine should do in it."""

STRENGTH = {"stable": 1.0, "no_effect": 0.0}

EFFECTS = {
    "email_news": Effect(
        0.11, (-0.1, -0.01, 0.03, 0.02), (0.01, -0.01, 0.0, 0.0), (-0.02, 0.0, 0.05)
    ),
    "email_offer": Effect(
        0.124, (-0.1, 0.03, 0.05, 0.0), (-0.01, 0.01, 0.0, 0.0), (0.05, 0.0, -0.08)
    ),
    "sms_offer": Effect(
        0.122, (0.05, 0.06, -0.08, -0.14), (0.0, 0.02, -0.02, 0.0), (0.02, 0.01, -0.03)
    ),
    "app_push": Effect(
        0.115, (0.1, 0.04, -0.07, -0.14), (0.0, 0.0, 0.01, -0.01), (-0.01, 0.02, 0.02)
    ),
    "advisor_call": Effect(
        0.183, (-0.2, -0.05, 0.06, 0.16), (0.01, 0.0, 0.0, -0.01), (-0.05, 0.0, 0.08)
    ),
}
"""What the demo's actions add to a day's visit probability."""


def demo_catalogue() -> Catalogue:
    """The demo's six actions; costs in the currency of a visit's worth, 1."""
    return Catalogue(
        currency="EUR",
        actions=(
            Action("no_contact", "No contact", "none"),
            Action(
                *("email_news", "Newsletter", "content", "email"),
                cost=0.002,
                eligible_when="contacts_7d < 6",
            ),
            Action(
                *("email_offer", "Offer by e-mail", "offer", "email"),
                cost=0.005,
                eligible_when="contacts_7d < 4",
                applicable_when="days_since_email IS NULL OR days_since_email >= 2",
            ),
            Action(
                *("sms_offer", "Offer by SMS", "offer", "sms"),
                cost=0.01,
                eligible_when="contacts_7d < 4",
                applicable_when="days_since_sms IS NULL OR days_since_sms >= 3",
            ),
            Action(
                *("app_push", "Push message in the app", "content", "push"),
                cost=0.001,
                eligible_when="contacts_7d < 6",
            ),
            Action(
                *("advisor_call", "Call by an advisor", "service", "phone"),
                cost=0.06,
                eligible_when="days_since_phone IS NULL OR days_since_phone >= 7",
                suitable_when="tenure_days >= 90",
            ),
        ),
    )


def demo_rules() -> tuple[tuple[str, str], ...]:
    """The demo's business rules, (predicate, action) in order; otherwise no_contact."""
    return (
        ("plan = 'premium'", "advisor_call"),
        ("visits_7d >= 1", "app_push"),
        ("recency_days IS NULL OR recency_days > 14", "email_offer"),
        ("TRUE", "email_news"),
    )


def scenario(
    name: str,
    customers: int = 5_000,
    seed: int = 0,
    *,
    catalogue: Catalogue | None = None,
    rules: Sequence[tuple[str, str]] | None = None,
) -> World:
    """A world by its scenario's name.

    Args:
        name: one of `SCENARIOS`.
        customers: how many; those of a smaller world are the first ones of a larger.
        seed: of the population and of its luck.
        catalogue: the actions; None = `demo_catalogue()`. Actions that the demo does not know get
            an effect seeded from their id and channel.
        rules: the incumbent's business rules; None = `demo_rules()`.

    Raises:
        CatalogueError: no such scenario, or rules that name an action the catalogue lacks.
    """
    if name not in SCENARIOS:
        raise CatalogueError(f"no scenario {name!r}", hint=did_you_mean(name, SCENARIOS))
    response = Response(
        population=Population.of(seed, customers),
        catalogue=demo_catalogue() if catalogue is None else catalogue,
        effects=EFFECTS,
        strength=STRENGTH[name],
        salt=str(seed),
    )
    return World(name, response, tuple(demo_rules() if rules is None else rules))
