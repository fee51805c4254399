"""The law by which customers answer: who visits and buys on a day, given what was done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from policies.actions import Action, Catalogue
from policies.deciding.coins import uniforms
from simulation.customers import TRAITS, Population

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Dates = Any  # (m,) datetime64[D], or one for all

SEASON = 0.05  # amplitude over a year
WEEKDAY = np.array([0.96, 0.98, 1.0, 1.02, 1.06, 1.04, 0.94])  # Monday first, mean 1
FATIGUE = 0.07  # each contact in the last 7 days takes about 7 % off what a contact adds
P_VISIT = (0.005, 0.9)  # a day's visit probability never leaves this range
P_PURCHASE = 0.15  # of a visit; e-mailed Hillstrom visitors buy at .06–.09, these are customers
AMOUNT = (3.7, 0.35)  # log mean and log sd of a purchase: median 40, mean 43, in currency
LOWEST_UPLIFT = -0.015  # of a segment: times the widest taste it keeps p_visit inside its range
LAG_SHARES = (0.6, 0.9, 1.0)  # cumulated: outcomes are received 0, 1 or 2 days late
DAY_OPENS, DAY_MINUTES = 8 * 60, 15 * 60 + 30  # visits begin from 08:00 to 23:30
MINUTE = np.timedelta64(1, "m")

EVENT_COLUMNS = ("event_id", "customer_id", "event_ts", "event_type", "amount")
OUTCOME_COLUMNS = (
    *("outcome_id", "decision_id", "customer_id", "outcome_type"),
    *("outcome_ts", "received_ts", "amount"),
)


@dataclass(frozen=True)
class Effect:
    """What an action adds to the day's visit probability, before fatigue and taste.

    The uplift of a segment is base + age_band + region + plan, each in the order of
    `customers.TRAITS`. Sized after e-mail tests on retail customers (Hillstrom 2008: +.045 and
    +.077 on .106); push, text and calls vary more from segment to segment.
    """

    base: float
    age_band: tuple[float, ...] = (0.0, 0.0, 0.0, 0.0)
    region: tuple[float, ...] = (0.0, 0.0, 0.0, 0.0)
    plan: tuple[float, ...] = (0.0, 0.0, 0.0)

    def of(self, traits: Mapping[str, Ints]) -> Floats:
        """(n,) uplift of each customer's segment."""
        total = np.full(len(traits["plan"]), self.base)
        for name in TRAITS:
            total += np.array(getattr(self, name))[traits[name]]
        return np.asarray(np.maximum(total, LOWEST_UPLIFT))

    @classmethod
    def seeded(cls, action: Action) -> Effect:
        """The effect of an action nobody described: drawn from its id and channel."""
        names = [f"{action.id}:{action.channel}:{j}" for j in range(12)]
        u = 2 * uniforms(np.array(names, dtype=object), None, "effect") - 1
        spread = np.repeat([0.04, 0.05, 0.01, 0.03], [1, 4, 4, 3]) * u
        base = 0.06 + float(spread[0])
        return cls(base, tuple(spread[1:5]), tuple(spread[5:9]), tuple(spread[9:]))


@dataclass(frozen=True, eq=False)
class Response:
    """How a population answers a catalogue of actions.

    A customer i visits at most once on day d, with probability
    ``clip(organic_i · season(d) · weekday(d) + uplift(i, a) · left(contacts_7d), .005, .9)``,
    and buys on a visit with probability .15. The past enters through contacts_7d alone, which
    contexts show, so every expected reward is exact. An action whose channel is "none" has no
    uplift. Every draw is a function of (salt, customer, date): neither order, chunks nor the other
    customers matter, and the action only moves the probability it is compared with.

    Args:
        population: who answers.
        catalogue: to which actions.
        effects: per action id; an id without one gets `Effect.seeded`.
        strength: factor on all uplifts; 0 = contacts do nothing.
        season: amplitude of organic visits over a year, a share of them.
        fatigue: share of an uplift that each contact of the last 7 days takes off, about.
        twins: action id -> the one whose tastes it shares.
        salt: seeds the draws.
    """

    population: Population
    catalogue: Catalogue
    effects: Mapping[str, Effect]
    strength: float = 1.0
    season: float = SEASON
    fatigue: float = FATIGUE
    twins: Mapping[str, str] = field(default_factory=dict)
    salt: str = "0"

    def segment_uplift(self, traits: Mapping[str, Ints]) -> Floats:
        """(n, k) E[uplift | traits] without fatigue; tastes have mean 1 and are independent."""
        columns = []
        for action in self.catalogue.actions:
            effect = self.effects.get(action.id) or Effect.seeded(action)
            columns.append(effect.of(traits) * (self.strength if action.channel != "none" else 0))
        return np.column_stack(columns)

    @cached_property
    def uplift(self) -> Floats:
        """(n, k) uplift of every action on every customer, taste included, without fatigue."""
        names = [self.twins.get(each, each) for each in self.catalogue.action_ids]
        tastes = self.population.tastes(names)
        return self.segment_uplift(self.population.traits) * tastes

    def p_visit(self, rows: Ints, dates: Dates, contacts_7d: Array) -> Floats:
        """(m, k) visit probability under every action.

        Args:
            rows: (m,) places in the population.
            dates: (m,) or one date.
            contacts_7d: (m,) contacts in the seven days before.
        """
        organic = self.population.organic[rows] * rhythm(dates, self.season)
        added = self.uplift[rows] * self.left(contacts_7d)[:, None]
        return np.asarray(np.clip(organic[:, None] + added, *P_VISIT))

    def left(self, contacts_7d: Array) -> Floats:
        """What is left of an uplift after so many contacts: exp(-fatigue · contacts)."""
        return np.asarray(np.exp(-self.fatigue * np.asarray(contacts_7d, dtype=np.float64)))

    def answer(
        self, rows: Ints, dates: Dates, action: Ints, contacts_7d: Array
    ) -> tuple[Bools, Ints]:
        """Who visits on these days and what they pay: (m,) bool and (m,) cents, 0 = no purchase.

        Args:
            rows: (m,) places in the population.
            dates: (m,) or one date.
            action: (m,) columns of the actions taken.
            contacts_7d: (m,) contacts in the seven days before.
        """
        dates = np.broadcast_to(dates, rows.shape)
        p = self.p_visit(rows, dates, contacts_7d)[np.arange(len(rows)), action]
        visit = self._coin(rows, dates, "visit") < p
        at = np.flatnonzero(visit)
        at = at[self._coin(rows[at], dates[at], "purchase") < P_PURCHASE]
        radius = np.sqrt(-2 * np.log1p(-self._coin(rows[at], dates[at], "radius")))
        normal = radius * np.cos(2 * np.pi * self._coin(rows[at], dates[at], "angle"))
        cents = np.zeros(len(rows), dtype=np.int64)
        cents[at] = np.rint(100 * np.exp(AMOUNT[0] + AMOUNT[1] * normal))
        return visit, cents

    def facts(
        self, rows: Ints, dates: Dates, visit: Bools, cents: Ints, decision_id: Array
    ) -> tuple[pd.DataFrame, pd.DataFrame]:
        """The tables `events` and `outcomes`, one row per visit and per purchase, by date and id.

        An outcome repeats its event, is received up to two days later, and names the decision it
        came in by: `decision_id` (m,), None where nothing was sent. A visit's amount is 0.
        """
        at = np.flatnonzero(visit)
        days, rows, cents = np.broadcast_to(dates, visit.shape)[at], rows[at], cents[at]
        minute = DAY_OPENS + (self._coin(rows, days, "minute") * DAY_MINUTES).astype(np.int64)
        late = np.searchsorted(LAG_SHARES, self._coin(rows, days, "lag"), side="right")
        bought = np.flatnonzero(cents > 0)
        kind = np.repeat(np.array(["visit", "purchase"], dtype=object), [len(at), len(bought)])
        both = np.concatenate([np.arange(len(at)), bought])
        ids = self.population.customer_id[rows[both]]
        keys = np.array([f"{i}:{d}:{j}" for i, d, j in zip(ids, days[both], kind)], dtype=str)
        ts = days[both].astype("datetime64[ns]") + minute[both] * MINUTE
        ts = ts + np.where(kind == "purchase", 20, 0) * MINUTE
        amount = np.where(kind == "purchase", cents[both] / 100, 0.0)
        received = ts + late[both].astype("timedelta64[D]")
        happened = (keys.astype(object), ids, ts, kind, amount)
        told = (keys.astype(object), decision_id[at[both]], ids, kind, ts, received, amount)
        order = np.lexsort((keys, days[both]))
        return (
            pd.DataFrame({name: each[order] for name, each in zip(EVENT_COLUMNS, happened)}),
            pd.DataFrame({name: each[order] for name, each in zip(OUTCOME_COLUMNS, told)}),
        )

    def _coin(self, rows: Ints, dates: Dates, what: str) -> Floats:
        return uniforms(self.population.hashes[rows], dates, f"world:{what}:{self.salt}")


def rhythm(dates: Dates, season: float = SEASON) -> Floats:
    """Season times weekday of each date, the factor on organic visits."""
    days = np.asarray(dates, dtype="datetime64[D]").astype(np.int64)
    swing = 1 + season * np.sin(2 * np.pi * days / 365.25)
    return np.asarray(swing * WEEKDAY[(days + 3) % 7])  # 1970-01-01 was a Thursday
