"""Days in the world: what contexts show in the morning, what is decided, what customers do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from policies.deciding.decision import Decisions, decide
from policies.deciding.groups import GROUPS, Groups
from policies.errors import InvalidLogError
from policies.log import LoggedDecisions
from policies.policy import Policy
from simulation.customers import CHANNELS, TRAITS, Population
from simulation.response import COMPLAINS, UNSUBSCRIBES, Answers, Floats, Ints, Response

if TYPE_CHECKING:
    from simulation.world import World

Array = npt.NDArray[Any]

PAST_DAYS, RECENT_DAYS = 28, 7
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

WINDOW_DAYS = 1
LONG_AGO = np.int64(-(10**6))  # a day's number before any other


@dataclass(frozen=True, eq=False)
class Day:
    """One day: m customers, what was decided for them at 08:00, and all they did until midnight.

    Args:
        date: the decision date.
        rows: (m,) places of the customers in the population.
        contexts: m rows of customer_id, `FEATURES`, consent_<channel>.
        decisions: m decisions, in the order of contexts.
        answers: what the m customers did.
        response: the law they did it by.
    """

    date: np.datetime64
    rows: Ints
    contexts: pd.DataFrame
    decisions: Decisions
    answers: Answers
    response: Response = field(repr=False)

    @property
    def events(self) -> pd.DataFrame:
        """The rows of `events` for this date, see `Response.facts`."""
        return self._facts[0]

    @property
    def outcomes(self) -> pd.DataFrame:
        """The rows of `outcomes` for this date, see `Response.facts`."""
        return self._facts[1]

    @cached_property
    def _facts(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        action = self.decisions.action
        ids = decision_ids(self.contexts["customer_id"].to_numpy(), self.date)
        ids[self.response.channel_of[action] < 0] = None
        return self.response.facts(self.rows, self.date, action, self.answers, ids)


class Ring:
    """Sums over the last days, of one number a day and customer; memory does not grow."""

    def __init__(self, days: int, n: int, dtype: Any) -> None:
        self.days = np.zeros((days, n), dtype=dtype)
        self.sums = np.zeros(n, dtype=np.int64)

    def write(self, day: int, rows: Ints | slice, facts: Array) -> None:
        """Write a day over the oldest one."""
        place = self.days[day % len(self.days)]
        self.sums -= place
        place[:] = 0
        place[rows] = facts
        self.sums += place


class Past:
    """The last 28 days of every customer, and the consent they have left."""

    def __init__(self, customers: Population) -> None:
        n = len(customers)
        self.customers = customers
        self.contacts, self.visits = Ring(RECENT_DAYS, n, bool), Ring(RECENT_DAYS, n, bool)
        self.orders, self.cents = Ring(PAST_DAYS, n, bool), Ring(PAST_DAYS, n, np.int64)
        self.last_order = np.full(n, LONG_AGO)
        self.last_contact = {each: np.full(n, LONG_AGO) for each in CHANNELS}
        self.consent = {name: may.copy() for name, may in customers.consent.items()}
        shown = customers.frame()
        self.shown = {name: shown[name].to_numpy() for name in TRAITS}

    def contexts(self, rows: Ints | slice, date: np.datetime64) -> pd.DataFrame:
        """What is known of these customers on the morning of `date`."""
        columns: dict[str, Array] = {
            "customer_id": self.customers.customer_id[rows],
            **{name: column[rows] for name, column in self.shown.items()},
            "tenure_days": (date - self.customers.signup_date[rows]).astype(np.int64),
            "recency_days": _days_since(self.last_order[rows], date),
            "orders_28d": self.orders.sums[rows].copy(),
            "spend_28d": self.cents.sums[rows] / 100,
            "visits_7d": self.visits.sums[rows].copy(),
            "contacts_7d": self.contacts.sums[rows].copy(),
        }
        for channel, last in self.last_contact.items():
            columns[f"days_since_{channel}"] = _days_since(last[rows], date)
        for channel, may in self.consent.items():
            columns[f"consent_{channel}"] = may[rows].copy()
        return pd.DataFrame(columns, copy=False)

    def remember(
        self, rows: Ints | slice, date: np.datetime64, channel: Array, answers: Answers
    ) -> None:
        """Write a day: (m,) places in `CHANNELS` of the actions taken (-1 is none), the answers."""
        day, ordered = int(date.astype(np.int64)), answers.cents > 0
        self.contacts.write(day, rows, channel >= 0)
        self.visits.write(day, rows, answers.visit)
        self.orders.write(day, rows, ordered)
        self.cents.write(day, rows, answers.cents)
        places = np.arange(len(self.last_order))[rows]
        self.last_order[places[ordered]] = day
        quits = np.flatnonzero(answers.quits)
        for number, each in enumerate(CHANNELS):
            self.last_contact[each][places[channel == number]] = day
            leaves = (channel[quits] == number) & (answers.quits[quits] == UNSUBSCRIBES)
            leaves |= answers.quits[quits] == COMPLAINS
            self.consent[each][places[quits[leaves]]] = False


class Course:
    """A world from day to day, after 28 days without contacts; any day may have another policy.

    Args:
        response: the law.
        start: the first decision date.
    """

    def __init__(self, response: Response, start: np.datetime64) -> None:
        self.response, self.date = response, start
        self.past = Past(response.population)
        for rows, date, answers in organic_days(response, start):
            self.past.remember(rows, date, np.full(len(rows), -1), answers)

    def day(
        self, policy: Policy, *, floor: float, groups: Groups, previous: Policy | None = None
    ) -> Day:
        """The next day as `policies.deciding.decide` decides it, drawn with the world's own salt."""
        response, date = self.response, self.date
        places = response.population.present(date)
        everybody = len(places) == len(response.population)
        rows: Any = slice(None) if everybody else places
        contexts = self.past.contexts(rows, date)
        decisions = decide(
            policy,
            response.catalogue,
            contexts,
            date=date,
            floor=floor,
            groups=groups,
            previous=previous,
            salt=f"draw:{response.salt}",
            hashes=response.population.hashes[rows],
        )
        answers = response.answer(places, date, decisions.action, contexts)
        self.past.remember(rows, date, response.channel_of[decisions.action], answers)
        self.date = date + 1
        return Day(date, places, contexts, decisions, answers, response)


def organic_days(
    response: Response, start: np.datetime64
) -> Iterator[tuple[Ints, np.datetime64, Answers]]:
    """The 28 days before `start`, when nobody was contacted: (rows, date, answers) each."""
    nothing = response.catalogue.index(response.catalogue.no_contact)
    for date in np.arange(start - PAST_DAYS, start):
        rows = response.population.present(date)
        past = {"contacts_7d": np.zeros(len(rows), dtype=np.int64)}
        past.update({f"days_since_{each}": np.full(len(rows), np.nan) for each in CHANNELS})
        yield rows, date, response.answer(rows, date, np.full(len(rows), nothing), past)


def decision_ids(customer_id: Array, date: np.datetime64) -> Array:
    """(m,) ids of the day's only decision slot: customer:date:0."""
    return np.array([f"{each}:{date}:0" for each in customer_id], dtype=object)


def history(world: World, days: int, policy: Policy | None, start: str) -> LoggedDecisions:
    """The log that `World.history` describes, made part by part so that the work stays in cache."""
    first = np.datetime64(start, "D")
    dates = np.arange(first, first + days)
    counts = [len(world.customers.present(date)) for date in dates]
    ends = np.cumsum(counts, dtype=np.int64)
    if not counts or not ends[-1]:
        raise InvalidLogError(f"a history of {days} days has no decisions", hint="days >= 1")
    shares = (world.floor, world.uniform_share) if policy is None else (0.0, 0.0)
    groups = Groups(uniform=shares[1], holdout=0.0, salt=f"groups:{world.response.salt}")
    columns: dict[str, Array] = {}
    free = ends - counts  # the next free row of every day
    for part in world.parts():
        for number, day in enumerate(part.run(days, start, policy, floor=shares[0], groups=groups)):
            at = slice(free[number], free[number] + len(day.rows))
            for name, column in logged_columns(part, day).items():
                if name not in columns:
                    shape = (ends[-1], *column.shape[1:])
                    columns[name] = np.empty(shape, dtype=column.dtype)
                columns[name][at] = column
            free[number] = at.stop
    contexts = pd.DataFrame({name: columns.pop(name) for name in FEATURES}, copy=False)
    rest: dict[str, Any] = {**columns, "contexts": contexts, "reward_range": world.reward_range}
    return LoggedDecisions(action_ids=world.action_ids, **rest)


def logged_columns(world: World, day: Day) -> dict[str, Array]:
    """A day's columns of a log, one row per decision: the features and what was decided."""
    made, m = day.decisions, len(day.rows)
    matured_on = day.date + WINDOW_DAYS + world.response.lag_days + 1
    return {
        **{name: day.contexts[name].to_numpy() for name in FEATURES},
        "action": made.action,
        "action_probability": made.action_probability,
        "reward": rewards(world, day),
        "eligible": made.eligible,
        "distribution": made.distribution,
        "group": np.array(GROUPS, dtype=object)[made.group],
        "customer_id": day.contexts["customer_id"].to_numpy(),
        "decision_date": np.full(m, day.date),
        "matured_on": np.full(m, matured_on),
    }


def rewards(world: World, day: Day) -> Floats:
    """(m,) reward of the day's decisions: what was received in the window, less the cost."""
    earned: Any = day.answers.visit if world.reward == "visits" else day.answers.cents / 100
    cost = world.worth * np.asarray(world.catalogue.costs)[day.decisions.action]
    return np.asarray(earned * day.answers.received - cost)


def _days_since(last: Ints, date: np.datetime64) -> Floats:
    """(m,) days from a day's number to `date`; NaN where it lies more than 28 days back."""
    days = (date.astype(np.int64) - last).astype(np.float64)
    days[days > PAST_DAYS] = np.nan
    return days
