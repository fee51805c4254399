"""Worlds by scenario name, and the demo's catalogue, business rules and effects."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from policies.catalogue import PREDICATE_KEYS, Action, Catalogue
from policies.errors import CatalogueError, require_known
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
"""Scenario -> one sentence: what it is for, and what the engine should do in it."""

TWINS = {"email_news_b": "email_news", "email_offer_b": "email_offer", "app_push_b": "app_push"}
"""Actions of `same` that are another action by a second name."""

NEW_DAY, SHIFT_DAY = 30, 50  # days after START: an action becomes possible, preferences change
SEASONAL = 0.4  # amplitude of visits over the year; retail e-mail peaks that much before holidays
TURNOVER = 0.3  # share of customers who leave in a year; as many join
TIRING, SPENDING = 0.21, 0.6  # fatigue: three times the usual, and so much that nothing is left
SATURATED = 0.3  # share of an uplift that is lost the day after a contact on the same channel
UNSUBSCRIBES, COMPLAINTS = 0.002, 0.0002  # of contacts: published e-mail rates are .001 to .003
LATE = (0.5, 0.65, 0.76, 0.84, 0.9, 0.94, 0.97, 1.0)  # cumulated shares received 0 … 7 days late
UNREPORTED = 0.08  # share of visits that no system ever reports
THIN_FLOOR = 0.002  # the least probability of an action where overlap is thin
DOUBLED, LOST = 0.02, 0.3  # in a broken log: share of rows repeated, of one action's rows lost

EFFECTS = {  # base, by age_band, by region, by plan
    "email_news": Effect(0.11, (-0.1, -0.01, 0.03, 0.02), (0.01, -0.01, 0, 0), (-0.02, 0, 0.05)),
    "email_offer": Effect(0.124, (-0.1, 0.03, 0.05, 0), (-0.01, 0.01, 0, 0), (0.05, 0, -0.08)),
    "sms_offer": Effect(
        0.122, (0.05, 0.06, -0.08, -0.14), (0, 0.02, -0.02, 0), (0.02, 0.01, -0.03)
    ),
    "app_push": Effect(0.115, (0.1, 0.04, -0.07, -0.14), (0, 0, 0.01, -0.01), (-0.01, 0.02, 0.02)),
    "advisor_call": Effect(0.183, (-0.2, -0.05, 0.06, 0.16), (0.01, 0, 0, -0.01), (-0.05, 0, 0.08)),
    "video_call": Effect(0.3, (-0.1, 0, 0.03, 0.06), (0, 0, 0, 0), (-0.03, 0.02, 0.05)),
}
"""Uplift of the day's visit probability by the demo's actions, and by that of `new_action`."""
EFFECTS.update({twin: EFFECTS[action] for twin, action in TWINS.items()})

REVERSED = {
    action_id: replace(effect, age_band=effect.age_band[::-1], plan=effect.plan[::-1])
    for action_id, effect in EFFECTS.items()
}
"""The same with the order of age bands and of plans reversed."""


def demo_catalogue() -> Catalogue:
    """The demo's six actions; costs are in units of a visit's worth."""

    def rested(channel: str, days: int) -> str:
        return f"days_since_{channel} IS NULL OR days_since_{channel} >= {days}"

    seldom, often, known = "contacts_7d < 4", "contacts_7d < 6", "tenure_days >= 90"
    email, sms, phone = rested("email", 2), rested("sms", 3), rested("phone", 7)
    rows: list[tuple[Any, ...]] = [  # id, name, group, channel, cost, then `PREDICATE_KEYS`
        ("no_contact", "No contact", "none", "none", 0.0),
        ("email_news", "Newsletter", "content", "email", 0.002, often),
        ("email_offer", "Offer by e-mail", "offer", "email", 0.005, seldom, email),
        ("sms_offer", "Offer by SMS", "offer", "sms", 0.01, seldom, sms),
        ("app_push", "Push message in the app", "content", "push", 0.001, often),
        ("advisor_call", "Call by an advisor", "service", "phone", 0.06, phone, None, known),
    ]
    actions = (
        Action(action_id, name, group, channel, cost=cost, **dict(zip(PREDICATE_KEYS, predicates)))
        for action_id, name, group, channel, cost, *predicates in rows
    )
    return Catalogue("EUR", tuple(actions))


def demo_rules() -> tuple[tuple[str, str], ...]:
    """The demo's business rules in order, (predicate, action); otherwise no_contact."""
    return (
        ("plan = 'premium'", "advisor_call"),
        ("visits_7d >= 1", "app_push"),
        ("recency_days IS NULL OR recency_days > 14", "email_offer"),
        ("TRUE", "email_news"),
    )


def twin_catalogue() -> Catalogue:
    """The demo's catalogue, with a second name for three of its actions."""
    demo = demo_catalogue()
    twins = [replace(demo.actions[demo.index(old)], id=new) for new, old in TWINS.items()]
    return replace(demo, actions=(*demo.actions, *twins))


def growing_catalogue() -> Catalogue:
    """The demo's catalogue, with an action that becomes possible on a later day."""
    demo, day = demo_catalogue(), (np.datetime64(START) + NEW_DAY).astype(object)
    video = Action("video_call", "Video call", "service", "phone", valid_from=day, cost=0.03)
    return replace(demo, actions=(*demo.actions, replace(video, eligible_when="contacts_7d < 6")))


def corrupted(log: LoggedDecisions) -> LoggedDecisions:
    """The log as a faulty pipeline stores it, see `broken_log` in `SCENARIOS`."""
    email, push = (log.action_ids.index(action_id) for action_id in ("email_offer", "app_push"))
    rng = np.random.default_rng(len(log))
    kept = ~((log.action == push) & (rng.random(len(log)) < LOST))
    repeated = np.flatnonzero(kept & (rng.random(len(log)) < DOUBLED))
    rows = np.sort(np.concatenate([np.flatnonzero(kept), repeated]))
    log = log[rows]
    halved = np.where(log.action == email, log.action_probability / 2, log.action_probability)
    # The distribution would contradict these probabilities.
    return replace(log, action_probability=halved, distribution=None)


def eager(world: World) -> Policy:
    """A candidate that contacts everybody on every day on which it may."""
    rules = (("TRUE", "email_offer"), ("TRUE", "email_news"), ("TRUE", "app_push"))
    return BusinessRules(world.action_ids, rules, fallback=world.catalogue.no_contact)


@dataclass(frozen=True)
class Changes:
    """What a scenario changes in `stable`.

    Args:
        catalogue: makes the actions.
        rules: the business rules.
        turnover: share of customers who leave in a year.
        response: arguments of `Response`.
        world: arguments of `World`.
    """

    catalogue: Callable[[], Catalogue] = demo_catalogue
    rules: Sequence[tuple[str, str]] = demo_rules()
    turnover: float = 0.0
    response: Mapping[str, Any] = field(default_factory=dict)
    world: Mapping[str, Any] = field(default_factory=dict)


_QUITS = {"unsubscribes": UNSUBSCRIBES, "complaints": COMPLAINTS}
_SHIFT = (np.datetime64(START) + SHIFT_DAY, REVERSED)
_BETTER = {"make_candidate": partial(better_by, 0.05)}
_WORSE = {"make_candidate": partial(better_by, -0.05)}
_SAME = {"make_candidate": partial(equal_to, {old: new for new, old in TWINS.items()})}
_EAGER = {"make_candidate": eager}
_SPARING = (("contacts_7d = 0", "email_offer"),)  # leaves customers alone most of the time
_CHANGES = {
    "stable": Changes(),
    "no_effect": Changes(response={"strength": 0.0}),
    "preference_shift": Changes(response={"shift": _SHIFT}),
    "new_action": Changes(catalogue=growing_catalogue),
    "fatigue": Changes(response={"fatigue": TIRING, "saturation": SATURATED, **_QUITS}),
    "spam": Changes(response={"fatigue": SPENDING, **_QUITS}, rules=_SPARING, world=_EAGER),
    "season": Changes(response={"season": SEASONAL}, turnover=TURNOVER),
    "delayed_rewards": Changes(response={"lags": LATE, "lost": UNREPORTED}),
    "thin_overlap": Changes(world={"floor": THIN_FLOOR, "uniform_share": 0.0, **_BETTER}),
    "broken_log": Changes(world={"corrupt_log": corrupted, **_BETTER}),
    "same": Changes(catalogue=twin_catalogue, world=_SAME),
    "better_5": Changes(world=_BETTER),
    "worse_5": Changes(world=_WORSE),
}


def scenario(
    name: str,
    customers: int = 5_000,
    seed: int = 0,
    *,
    catalogue: Catalogue | None = None,
    rules: Sequence[tuple[str, str]] | None = None,
    reward: str = "visits",
) -> World:
    """The world of a scenario.

    Args:
        name: one of `SCENARIOS`.
        customers: how many; the customers of a smaller world are the first ones of a larger.
        seed: of the population and of all draws.
        catalogue: the actions; None = the scenario's. Actions that the demo does not have get an
            effect drawn from their id and channel.
        rules: the incumbent's business rules; None = the scenario's.
        reward: "visits" or "money", see `World`.

    Raises:
        CatalogueError: there is no such scenario or reward, or no action that the rules name.
    """
    require_known(name, SCENARIOS, CatalogueError, f"no scenario {name!r}")
    changes = _CHANGES[name]
    response = Response(
        population=Population.of(seed, customers, changes.turnover),
        catalogue=changes.catalogue() if catalogue is None else catalogue,
        effects=EFFECTS,
        twins=TWINS,
        salt=str(seed),
        **changes.response,
    )
    incumbent = changes.rules if rules is None else tuple(rules)
    return World(name, response, incumbent, reward=reward, **changes.world)
