"""Days in the simulation: the morning's contexts, the decisions, the customers' answers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from policies.deciding.decision import Decisions, decide, decision_ids
from policies.deciding.groups import Groups
from policies.policy import Policy
from simulation.customers import CHANNELS, TRAITS, Array, Floats, Ints
from simulation.response import COMPLAINS, UNSUBSCRIBES, Answers, Response

PAST_DAYS, RECENT_DAYS = 28, 7
OBSERVED = ("tenure_days", "recency_days", "orders_28d", "spend_28d", "visits_7d", "contacts_7d")
FEATURES = (*TRAITS, *OBSERVED, *(f"days_since_{channel}" for channel in CHANNELS))
"""The context columns of day D, in order; all from facts dated before D.

age_band, region, plan: the customer's. tenure_days: D - signup_date in days, int64.
recency_days: D - date of the last purchase event dated D-28 … D-1, float64, NaN if none.
orders_28d, spend_28d: number (int64) and summed amount (float64, cents exact) of the purchase
events dated D-28 … D-1. visits_7d: number of visit events dated D-7 … D-1, int64.
contacts_7d: decisions dated D-7 … D-1 whose action's channel is not "none", int64.
days_since_<channel>: D - date of the last decision on that channel dated D-28 … D-1, float64,
NaN if none. The date of an event is that of event_ts, the date of a decision its decision_date.
"""

LONG_AGO = np.int64(-(10**6))  # a day's number before any other


@dataclass(frozen=True, eq=False)
class Day:
    """One day: the decisions for m customers at 08:00, and what they did until midnight.

    Args:
        date: the decision date.
        rows: (m,) places of the customers in the population.
        contexts: m rows of customer_id, `FEATURES`, consent_<channel>.
        decisions: m decisions, in the order of contexts.
        answers: what the m customers did.
        response: the response model that gave the answers.
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
        ids = decision_ids(self.contexts["customer_id"].to_numpy(), self.date)
        return self.response.facts(self.answers, ids.to_numpy(zero_copy_only=False))


class Window:
    """(n,) sums over a moving window of days, of one number per day and customer."""

    def __init__(self, days: int, n: int, dtype: Any) -> None:
        self.days = np.zeros((days, n), dtype=dtype)
        self.sums = np.zeros(n, dtype=np.int64)

    def write(self, day: int, rows: Ints | slice, values: Array) -> None:
        """Write a day's values over those of the oldest day."""
        oldest = self.days[day % len(self.days)]
        self.sums -= oldest
        oldest[:] = 0
        oldest[rows] = values
        self.sums += oldest


class Course:
    """A world from day to day, after 28 days without contacts; each day may have another policy.

    It keeps the last 28 days of every customer, and the channels they still consent to.

    Args:
        response: the response model.
        start: the first decision date.
    """

    def __init__(self, response: Response, start: np.datetime64) -> None:
        self.response, self.date, customers = response, start, response.population
        n, table = len(customers), customers.frame()
        self.traits = {name: table[name].to_numpy() for name in TRAITS}
        self.contacts, self.visits = Window(RECENT_DAYS, n, bool), Window(RECENT_DAYS, n, bool)
        self.orders, self.cents = Window(PAST_DAYS, n, bool), Window(PAST_DAYS, n, np.int64)
        self.last_order = np.full(n, LONG_AGO)
        self.last_contact = {channel: np.full(n, LONG_AGO) for channel in CHANNELS}
        self.consent = {channel: given.copy() for channel, given in customers.consent.items()}
        for answers in organic_days(response, start):
            self._remember(answers.rows, answers)

    def _contexts(self, rows: Ints | slice) -> pd.DataFrame:
        """What is known of these customers this morning."""
        customers, date = self.response.population, self.date
        columns: dict[str, Array] = {
            "customer_id": customers.customer_id[rows],
            **{name: column[rows] for name, column in self.traits.items()},
            "tenure_days": (date - customers.signup_date[rows]).astype(np.int64),
            "recency_days": _days_since(self.last_order[rows], date),
            "orders_28d": self.orders.sums[rows].copy(),
            "spend_28d": self.cents.sums[rows] / 100,
            "visits_7d": self.visits.sums[rows].copy(),
            "contacts_7d": self.contacts.sums[rows].copy(),
        }
        for channel, last in self.last_contact.items():
            columns[f"days_since_{channel}"] = _days_since(last[rows], date)
        for channel, given in self.consent.items():
            columns[f"consent_{channel}"] = given[rows].copy()
        return pd.DataFrame(columns, copy=False)

    def _remember(self, rows: Ints | slice, answers: Answers) -> None:
        """Add the answers of a day; `rows` are theirs, perhaps as a slice."""
        day, ordered = int(answers.dates.astype(np.int64)), answers.cents > 0
        channel = self.response.channel_of[answers.action]
        self.contacts.write(day, rows, channel >= 0)
        self.visits.write(day, rows, answers.visit)
        self.orders.write(day, rows, ordered)
        self.cents.write(day, rows, answers.cents)
        self.last_order[answers.rows[ordered]] = day
        quitters = np.flatnonzero(answers.quits)
        for number, name in enumerate(CHANNELS):
            self.last_contact[name][answers.rows[channel == number]] = day
            leaves = (channel[quitters] == number) & (answers.quits[quitters] == UNSUBSCRIBES)
            leaves |= answers.quits[quitters] == COMPLAINS
            self.consent[name][answers.rows[quitters[leaves]]] = False

    def day(self, policy: Policy, *, floor: float, groups: Groups) -> Day:
        """The next day, decided by `policies.deciding.decide` with a salt of the world's own."""
        response, date = self.response, self.date
        places = response.population.present(date)
        rows: Any = slice(None) if len(places) == len(response.population) else places
        contexts = self._contexts(rows)
        decisions = decide(
            policy,
            response.catalogue,
            contexts,
            date=date,
            floor=floor,
            groups=groups,
            salt=f"draw:{response.salt}",
            hashes=response.population.hashes[rows],
        )
        answers = response.answer(places, date, decisions.action, contexts)
        self._remember(rows, answers)
        self.date = date + 1
        return Day(date, places, contexts, decisions, answers, response)


def organic_days(response: Response, start: np.datetime64) -> Iterator[Answers]:
    """The answers on the 28 days before `start`, when nobody is contacted."""
    no_contact = response.catalogue.index(response.catalogue.no_contact)
    for date in np.arange(start - PAST_DAYS, start):
        rows = response.population.present(date)
        past = {"contacts_7d": np.zeros(len(rows), dtype=np.int64)}  # no channel is asked for
        yield response.answer(rows, date, np.full(len(rows), no_contact), past)


def _days_since(last: Ints, date: np.datetime64) -> Floats:
    """(m,) days from a day's number to `date`; NaN where it lies more than 28 days back."""
    days = (date.astype(np.int64) - last).astype(np.float64)
    days[days > PAST_DAYS] = np.nan
    return days
