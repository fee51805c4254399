"""Days in the world: what contexts show in the morning, what is decided, what customers do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from policies.deciding.coins import GROUPS, Groups
from policies.deciding.decision import Decisions, decide
from policies.errors import InvalidLogError
from policies.logged import LoggedDecisions
from policies.policy import Policy
from simulation.customers import TRAITS, Population
from simulation.response import Bools, Floats, Ints, Response

if TYPE_CHECKING:
    from simulation.world import World

Array = npt.NDArray[Any]

PAST_DAYS, RECENT_DAYS = 28, 7
CHANNELS = ("email", "sms", "push", "phone")
FEATURES = (
    *("age_band", "region", "plan", "tenure_days", "recency_days", "orders_28d", "spend_28d"),
    *("visits_7d", "contacts_7d", *(f"days_since_{each}" for each in CHANNELS)),
)
"""The context columns of day D, in order; all from facts of dates strictly before D.

age_band, region, plan: the customer's. tenure_days: D - signup_date in days, int64.
recency_days: D - date of the last purchase event dated D-28 … D-1, float64, NaN if none.
orders_28d, spend_28d: number (int64) and summed amount (float64, cents exact) of the purchase
events dated D-28 … D-1. visits_7d: number of visit events dated D-7 … D-1, int64.
contacts_7d: decisions dated D-7 … D-1 whose action's channel is not "none", int64.
days_since_<channel>: D - date of the last decision on that channel dated D-28 … D-1, float64,
NaN if none. A date is that of event_ts, or decision_date.
"""

WINDOW_DAYS, LAG_DAYS = 1, 2
LONG_AGO = np.int64(-(10**6))  # a day's number before any other


@dataclass(frozen=True, eq=False)
class Day:
    """One day: m customers, what was decided for them at 08:00, and all they did until midnight.

    Args:
        date: the decision date.
        contexts: m rows of customer_id, `FEATURES`, consent_<channel>.
        decisions: m decisions, in the order of contexts.
        events, outcomes: the tables of these names for this date, see `Response.facts`.
    """

    date: np.datetime64
    contexts: pd.DataFrame
    decisions: Decisions
    events: pd.DataFrame
    outcomes: pd.DataFrame


class Past:
    """The last 28 days of every customer: rings of daily facts, so that memory does not grow."""

    def __init__(self, customers: Population) -> None:
        n = len(customers)
        self.customers = customers
        self.contact = np.zeros((RECENT_DAYS, n), dtype=bool)
        self.visit = np.zeros((RECENT_DAYS, n), dtype=bool)
        self.cents = np.zeros((PAST_DAYS, n), dtype=np.int64)
        self.last_order = np.full(n, LONG_AGO)
        self.last_contact = {each: np.full(n, LONG_AGO) for each in CHANNELS}
        self.shown = customers.frame().drop(columns="signup_date")

    def contexts(self, rows: Ints, date: np.datetime64) -> pd.DataFrame:
        """What is known of these customers on the morning of `date`."""
        orders = self.cents[:, rows] > 0
        columns: dict[str, Array] = {
            "customer_id": self.customers.customer_id[rows],
            **{name: self.shown[name].to_numpy()[rows] for name in TRAITS},
            "tenure_days": (date - self.customers.signup_date[rows]).astype(np.int64),
            "recency_days": _days_since(self.last_order[rows], date),
            "orders_28d": orders.sum(axis=0),
            "spend_28d": self.cents[:, rows].sum(axis=0) / 100,
            "visits_7d": self.visit[:, rows].sum(axis=0),
            "contacts_7d": self.contact[:, rows].sum(axis=0),
        }
        for channel, last in self.last_contact.items():
            columns[f"days_since_{channel}"] = _days_since(last[rows], date)
        for channel, may in self.customers.consent.items():
            columns[f"consent_{channel}"] = may[rows]
        return pd.DataFrame(columns)

    def remember(
        self, rows: Ints, date: np.datetime64, channel: Array, visit: Bools, cents: Ints
    ) -> None:
        """Write a day over the oldest one: (m,) channel of the action taken, visits, cents paid."""
        day = date.astype(np.int64)
        for ring, facts in ((self.contact, channel != "none"), (self.visit, visit)):
            ring[day % RECENT_DAYS] = False
            ring[day % RECENT_DAYS, rows] = facts
        self.cents[day % PAST_DAYS] = 0
        self.cents[day % PAST_DAYS, rows] = cents
        self.last_order[rows[cents > 0]] = day
        for each, last in self.last_contact.items():
            last[rows[channel == each]] = day


def organic_days(
    response: Response, start: np.datetime64
) -> Iterator[tuple[Ints, np.datetime64, Bools, Ints]]:
    """The 28 days before `start`, when nobody was contacted: (rows, date, visit, cents) each."""
    nothing = response.catalogue.index(response.catalogue.no_contact)
    for date in np.arange(start - PAST_DAYS, start):
        rows = response.population.present(date)
        none = np.zeros(len(rows), dtype=np.int64)
        yield (rows, date, *response.answer(rows, date, none + nothing, none))


def run(
    response: Response,
    days: int,
    start: np.datetime64,
    policy: Policy,
    *,
    floor: float,
    groups: Groups,
) -> Iterator[Day]:
    """Let a policy act for so many days, from a past without contacts; memory is that of a day.

    Decisions are those of `policies.deciding.decide`, drawn with the world's own salt.
    """
    past = Past(response.population)
    for rows, date, visit, cents in organic_days(response, start):
        past.remember(rows, date, np.full(len(rows), "none"), visit, cents)
    channels = np.array(response.catalogue.channels, dtype=object)
    for date in np.arange(start, start + days):
        rows = response.population.present(date)
        contexts = past.contexts(rows, date)
        decisions = decide(
            policy,
            response.catalogue,
            contexts,
            date=date,
            floor=floor,
            groups=groups,
            salt=f"draw:{response.salt}",
        )
        contacts_7d = contexts["contacts_7d"].to_numpy()
        visit, cents = response.answer(rows, date, decisions.action, contacts_7d)
        channel = channels[decisions.action]
        ids = decision_ids(contexts["customer_id"].to_numpy(), date)
        ids[channel == "none"] = None
        past.remember(rows, date, channel, visit, cents)
        yield Day(date, contexts, decisions, *response.facts(rows, date, visit, cents, ids))


def decision_ids(customer_id: Array, date: np.datetime64) -> Array:
    """(m,) ids of the day's only decision slot: customer:date:0."""
    return np.array([f"{each}:{date}:0" for each in customer_id], dtype=object)


def history(world: World, days: int, policy: Policy | None, start: str) -> LoggedDecisions:
    """The log that `World.history` describes."""
    shares = (world.floor, world.uniform_share) if policy is None else (0.0, 0.0)
    groups = Groups(uniform=shares[1], holdout=0.0, salt=f"groups:{world.response.salt}")
    parts: dict[str, list[Array]] = {}
    contexts = []
    for day in world.run(days, start, policy, floor=shares[0], groups=groups):
        made, m = day.decisions, len(day.contexts)
        columns = {
            "action": made.action,
            "action_probability": made.action_probability,
            "reward": rewards(world, day),
            "eligible": made.eligible,
            "distribution": made.distribution,
            "group": np.array(GROUPS, dtype=object)[made.group],
            "customer_id": day.contexts["customer_id"].to_numpy(),
            "decision_date": np.full(m, day.date),
            "matured_on": np.full(m, day.date + WINDOW_DAYS + LAG_DAYS + 1),
        }
        for name, column in columns.items():
            parts.setdefault(name, []).append(column)
        contexts.append(day.contexts[list(FEATURES)])
    if not contexts:
        raise InvalidLogError(f"a history of {days} days has no decisions", hint="days >= 1")
    kept: dict[str, Any] = {name: np.concatenate(column) for name, column in parts.items()}
    return LoggedDecisions(
        action_ids=world.action_ids,
        contexts=pd.concat(contexts, ignore_index=True),
        reward_range=world.reward_range,
        **kept,
    )


def rewards(world: World, day: Day) -> Floats:
    """(m,) reward of the day's decisions: 1 for a visit in the window, less the action's cost."""
    visits = day.outcomes.loc[day.outcomes["outcome_type"] == "visit", "customer_id"]
    visited = day.contexts["customer_id"].isin(visits).to_numpy()
    return np.asarray(visited - np.asarray(world.catalogue.costs)[day.decisions.action])


def _days_since(last: Ints, date: np.datetime64) -> Floats:
    """(m,) days from a day's number to `date`; NaN where it lies more than 28 days back."""
    days = (date.astype(np.int64) - last).astype(np.float64)
    return np.where(days <= PAST_DAYS, days, np.nan)
