"""Worlds by name: the demo's catalogue, rules and effects, and what each scenario is for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np

from policies.catalogue import Action, Catalogue
from policies.errors import CatalogueError, did_you_mean
from policies.learning.baselines import BusinessRules
from policies.log import LoggedDecisions
from policies.policy import Policy
from simulation.candidates import better_by, equal_to
from simulation.customers import Population
from simulation.effects import Effect
from simulation.response import Response
from simulation.world import START, World

SCENARIOS = {
    "stable": "Contacts work, differently from segment to segment, and nothing changes; 85 % of rows "
    "have a choice: the engine should learn a policy that beats the business rules, and promote it.",
    "no_effect": "Contacts do nothing and customers visit anyway; 85 % of rows have a choice: the "
    "engine should find no difference, and promote nothing over no contact.",
    "preference_shift": "On the 51st day the young begin to like what the old liked, and the other way "
    "round; 85 % of rows have a choice: the engine should notice the loss, and learn anew.",
    "new_action": "A video call, worth more than other contacts to most, becomes possible on the 31st "
    "day; 85 % of rows have a choice: the engine should begin to try it then, and give it its share.",
    "fatigue": "Contacts wear customers out three times as much as usual, each channel besides, and "
    "some unsubscribe for good; 84 % of rows have a choice: the engine should learn to contact where "
    "it counts, and not more than that.",
    "spam": "The candidate contacts everybody as often as it may, and its one-step difference is "
    "positive and its live value worse; 98 % of rows have a choice: the share that stays with the old "
    "champion must tell.",
    "season": "Visits swing by 40 % over the year, customers come and go; 85 % of rows have a choice: "
    "the engine should not take for an action's work what the season does.",
    "delayed_rewards": "Visits are reported up to 7 days late, and 8 % of them never; 85 % of rows "
    "have a choice: the engine should wait for rows to mature, and never read a late visit as none.",
    "thin_overlap": "The logger hardly ever does what the candidate does; 86 % of rows have a choice: "
    "the engine should hold, and say how many more decisions it needs.",
    "broken_log": "Probabilities of one action are logged half as large as they were, rows are "
    "doubled and lost; 84 % of rows have a choice: the engine should call the log broken and promote "
    "nothing.",
    "same": "The candidate decides otherwise on most rows and is worth the same, by twin actions and "
    "effects that cancel; 84 % of rows have a choice: the engine should hardly ever promote it.",
    "better_5": "The candidate is worth 5 % more, by better choices on some rows; 85 % of rows have a "
    "choice: the engine should promote it once there is evidence.",
    "worse_5": "The candidate is worth 5 % less, by worse choices on some rows; 85 % of rows have a "
    "choice: the engine should never promote it.",
}
"""What each scenario is for, and what the engine should do in it."""

TWINS = {"email_news_b": "email_news", "email_offer_b": "email_offer", "app_push_b": "app_push"}
"""Actions of `same` that are another one by a second name."""

NEW_DAY, SHIFT_DAY = 30, 50  # days after START: an action becomes possible, preferences change
SEASONAL = 0.4  # amplitude of visits over the year; retail e-mail peaks that much before holidays
TURNOVER = 0.3  # share of customers who leave in a year; as many come
TIRING, SPENDING = 0.21, 0.6  # fatigue: three times the usual, and so that nothing is left
SATURATED = 0.3  # share of an uplift that is gone the day after the same channel
UNSUBSCRIBES, COMPLAINTS = 0.002, 0.0002  # of contacts: published e-mail rates are .001 to .003
LATE = (0.5, 0.65, 0.76, 0.84, 0.9, 0.94, 0.97, 1.0)  # cumulated shares received 0 … 7 days late
UNREPORTED = 0.08  # share of visits that no system ever reports
THIN_FLOOR = 0.002  # the least probability of an action where overlap is thin
DOUBLED, LOST = (
    0.02,
    0.3,
)  # shares: of rows repeated, and of one action's rows lost, in a broken log

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
    "video_call": Effect(0.3, (-0.1, 0.0, 0.03, 0.06), (0.0, 0.0, 0.0, 0.0), (-0.03, 0.02, 0.05)),
}
"""What the demo's actions, and the one of `new_action`, add to a day's visit probability."""


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


def twin_catalogue() -> Catalogue:
    """The demo's catalogue, with a second name for three of its actions."""
    demo = demo_catalogue()
    known = {each.id: each for each in demo.actions}
    twins = [replace(known[old], id=new) for new, old in TWINS.items()]
    return replace(demo, actions=(*demo.actions, *twins))


def growing_catalogue() -> Catalogue:
    """The demo's catalogue, with an action that becomes possible on a later day."""
    day = np.datetime64(START) + NEW_DAY
    video = Action(
        *("video_call", "Video call", "service", "phone", day.astype(object)),
        cost=0.03,
        eligible_when="contacts_7d < 6",
    )
    demo = demo_catalogue()
    return replace(demo, actions=(*demo.actions, video))


def turned(effects: Mapping[str, Effect]) -> dict[str, Effect]:
    """Effects after which the old like what the young liked, and premium what basic did."""
    return {
        name: replace(each, age_band=each.age_band[::-1], plan=each.plan[::-1])
        for name, each in effects.items()
    }


def broken(log: LoggedDecisions) -> LoggedDecisions:
    """What a faulty pipeline makes of a log: see `SCENARIOS`."""
    email, push = (log.action_ids.index(each) for each in ("email_offer", "app_push"))
    rng = np.random.default_rng(len(log))
    kept = ~((log.action == push) & (rng.random(len(log)) < LOST))
    again = np.flatnonzero(kept & (rng.random(len(log)) < DOUBLED))
    rows = np.sort(np.concatenate([np.flatnonzero(kept), again]))
    columns = {each.name: getattr(log[rows], each.name) for each in fields(log)}
    logged = columns["action_probability"]
    columns["action_probability"] = np.where(columns["action"] == email, logged / 2, logged)
    columns["distribution"] = None  # it would give the lie to the probabilities
    return LoggedDecisions(**columns)


def scenario(
    name: str,
    customers: int = 5_000,
    seed: int = 0,
    *,
    catalogue: Catalogue | None = None,
    rules: Sequence[tuple[str, str]] | None = None,
    reward: str = "visits",
) -> World:
    """A world by its scenario's name.

    Args:
        name: one of `SCENARIOS`.
        customers: how many; those of a smaller world are the first ones of a larger.
        seed: of the population and of its luck.
        catalogue: the actions; None = the scenario's. Actions that the demo does not know get an
            effect seeded from their id and channel.
        rules: the incumbent's business rules; None = the scenario's. Candidates are made for these.
        reward: "visits" or "money", see `World`.

    Raises:
        CatalogueError: no such scenario or reward, or rules that name an action the catalogue lacks.
    """
    if name not in SCENARIOS:
        raise CatalogueError(f"no scenario {name!r}", hint=did_you_mean(name, SCENARIOS))
    set_up = _SET_UP.get(name, _SetUp())
    effects = {**EFFECTS, **{new: EFFECTS[old] for new, old in TWINS.items()}}
    response = Response(
        population=Population.of(seed, customers, set_up.turnover),
        catalogue=set_up.catalogue() if catalogue is None else catalogue,
        effects=effects,
        shift=(np.datetime64(START) + SHIFT_DAY, turned(effects)) if set_up.shifts else None,
        twins=TWINS,
        salt=str(seed),
        **set_up.law,
    )
    return World(
        name,
        response,
        tuple(set_up.rules() if rules is None else rules),
        floor=set_up.floor,
        uniform_share=set_up.uniform_share,
        make_candidate=set_up.make_candidate,
        corrupt_log=set_up.corrupt_log,
        reward=reward,
    )


def sparing_rules() -> tuple[tuple[str, str], ...]:
    """Rules that leave customers alone most of the time."""
    return (("contacts_7d = 0", "email_offer"),)


def eager(world: World) -> Policy:
    """A candidate that contacts everybody every day it may."""
    rules = (("TRUE", "email_offer"), ("TRUE", "email_news"), ("TRUE", "app_push"))
    return BusinessRules(world.action_ids, rules, fallback=world.catalogue.no_contact)


@dataclass(frozen=True)
class _SetUp:
    """How a scenario differs from `stable`."""

    catalogue: Callable[[], Catalogue] = demo_catalogue
    rules: Callable[[], Sequence[tuple[str, str]]] = demo_rules
    law: Mapping[str, Any] = field(default_factory=dict)
    turnover: float = 0.0
    shifts: bool = False
    floor: float = 0.02
    uniform_share: float = 0.2
    make_candidate: Callable[[World], Policy] | None = None
    corrupt_log: Callable[[LoggedDecisions], LoggedDecisions] | None = None


_QUITTING = {"unsubscribes": UNSUBSCRIBES, "complaints": COMPLAINTS}
_SET_UP = {
    "no_effect": _SetUp(law={"strength": 0.0}),
    "preference_shift": _SetUp(shifts=True),
    "new_action": _SetUp(catalogue=growing_catalogue),
    "fatigue": _SetUp(law={"fatigue": TIRING, "saturation": SATURATED, **_QUITTING}),
    "spam": _SetUp(
        law={"fatigue": SPENDING, **_QUITTING}, rules=sparing_rules, make_candidate=eager
    ),
    "season": _SetUp(law={"season": SEASONAL}, turnover=TURNOVER),
    "delayed_rewards": _SetUp(law={"lags": LATE, "lost": UNREPORTED}),
    "thin_overlap": _SetUp(floor=THIN_FLOOR, uniform_share=0.0, make_candidate=better_by(0.05)),
    "broken_log": _SetUp(corrupt_log=broken, make_candidate=better_by(0.05)),
    "same": _SetUp(
        catalogue=twin_catalogue, make_candidate=equal_to({v: k for k, v in TWINS.items()})
    ),
    "better_5": _SetUp(make_candidate=better_by(0.05)),
    "worse_5": _SetUp(make_candidate=better_by(-0.05)),
}
