"""The response model: who visits, buys and unsubscribes on a day, given the actions taken."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Union

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import special

from policies.catalogue import Catalogue
from policies.deciding.groups import uniforms
from simulation.customers import CHANNELS, Array, Bools, Floats, Ints, Population
from simulation.effects import Effect

Dates = Any  # (m,) datetime64[D], or one for all
Past = Union[pd.DataFrame, Mapping[str, Array]]  # contacts_7d, days_since_<channel>

SEASON = 0.05  # amplitude over a year
WEEKDAY = np.array([0.96, 0.98, 1.0, 1.02, 1.06, 1.04, 0.94])  # Monday first, mean 1
FATIGUE = 0.07  # each contact in the last 7 days takes about 7 % off the next contact's uplift
RECOVERY_DAYS = 7  # after so many days without a channel its saturation is gone
P_VISIT = (0.005, 0.9)  # range of a day's visit probability
P_PURCHASE = 0.15  # of a visit; e-mailed Hillstrom visitors buy at .06–.09, these are customers
AMOUNT = (3.7, 0.35)  # log mean and log sd of a purchase: median 40, mean 43, in currency
AMOUNT_CAP = 150.0  # largest purchase, in currency; 8 in 100,000 would exceed it
LAG_SHARES = (0.6, 0.9, 1.0)  # cumulated: outcomes are received 0, 1 or 2 days late
DAY_OPENS, DAY_MINUTES = 8 * 60, 15 * 60 + 30  # visits begin from 08:00 to 23:30
PURCHASE_MINUTES = 20  # from the begin of the visit
STAYS, UNSUBSCRIBES, COMPLAINS = range(3)  # codes of `Answers.quits`


@dataclass(frozen=True, eq=False)
class Answers:
    """What m customers did after the actions taken.

    Args:
        rows, dates, action: the arguments of `Response.answer`.
        visit: (m,) bool.
        cents: (m,) paid, 0 = no purchase.
        received: (m,) bool, whether visit and purchase are ever reported as outcomes.
        quits: (m,) int8, `STAYS`, `UNSUBSCRIBES` from the channel of the contact, or `COMPLAINS`
            and unsubscribes from all channels.
    """

    rows: Ints
    dates: Dates
    action: Ints
    visit: Bools
    cents: Ints
    received: Bools
    quits: npt.NDArray[np.int8]


@dataclass(frozen=True, eq=False)
class Response:
    """How a population answers the actions of a catalogue.

    Customer i visits at most once on day d, with probability
    ``clip(organic_i · season(d) · weekday(d) + uplift(i, a, d) · remaining_effect(past, a), .005, .9)``,
    and buys on a visit with probability .15. The past enters only through contacts_7d and the days
    since each channel was used, which contexts show; so every expected reward is exact. An action
    whose channel is "none" has no uplift. Every draw is a function of (salt, customer, date): it
    depends neither on row order, chunks and other customers nor on the action taken.

    Args:
        population: the customers.
        catalogue: the k actions.
        effects: action id -> effect; an id without one gets `Effect.seeded`.
        strength: factor on all uplifts; 0 = contacts have no effect.
        season: amplitude of organic visits over a year, as a share.
        fatigue: share of an uplift that each contact of the last 7 days takes off, about.
        saturation: share of an uplift that is lost the day after a contact on the same channel; it
            recovers evenly over `RECOVERY_DAYS`.
        unsubscribes: share of contacts after which a customer leaves the channel for good, times
            1 + contacts_7d. Published e-mail rates are .001 to .003.
        complaints: share of contacts after which a customer leaves all channels for good.
        lags: cumulated shares of outcomes that are received 0, 1, … days late.
        lost: share of visits and purchases that are never reported.
        shift: (first day, action id -> effect) of changed preferences; None = no change.
        twins: action id -> the action whose tastes it shares.
        salt: seeds the draws.
    """

    population: Population
    catalogue: Catalogue
    effects: Mapping[str, Effect]
    strength: float = 1.0
    season: float = SEASON
    fatigue: float = FATIGUE
    saturation: float = 0.0
    unsubscribes: float = 0.0
    complaints: float = 0.0
    lags: tuple[float, ...] = LAG_SHARES
    lost: float = 0.0
    shift: tuple[np.datetime64, Mapping[str, Effect]] | None = None
    twins: Mapping[str, str] = field(default_factory=dict)
    salt: str = "0"

    @cached_property
    def channel_of(self) -> npt.NDArray[np.int8]:
        """(k,) place of every action's channel in `CHANNELS`; -1 for the channel "none"."""
        names = self.catalogue.channels
        return np.array([CHANNELS.index(name) if name != "none" else -1 for name in names])

    def segment_uplift(self, traits: Mapping[str, Ints], late: float = 0.0) -> Floats:
        """(n, k) E[uplift | traits] without past contacts; tastes have mean 1 and are independent.

        Args:
            traits: name -> (n,) codes.
            late: share of rows after the shift of preferences: 0 = all before it, 1 = all after it.
        """
        columns = []
        for action in self.catalogue.actions:
            before = self.effects.get(action.id) or Effect.seeded(action)
            after = before if self.shift is None else self.shift[1].get(action.id, before)
            uplift = (1 - late) * before.of(traits) + late * after.of(traits)
            columns.append(uplift * (self.strength if action.channel != "none" else 0))
        return np.column_stack(columns)

    @cached_property
    def _uplifts(self) -> Floats:
        """(1 or 2, n, k) uplift of every action on every customer: before and after the shift."""
        names = [self.twins.get(action_id, action_id) for action_id in self.catalogue.action_ids]
        shares = (0.0,) if self.shift is None else (0.0, 1.0)
        uplifts = [self.segment_uplift(self.population.traits, late) for late in shares]
        return np.stack(uplifts) * self.population.tastes(names)

    def uplift(self, rows: Ints, dates: Dates, action: Ints | None = None) -> Floats:
        """Uplift of every action, (m, k), or of the actions taken, (m,), without past contacts."""
        late = 0 if self.shift is None else np.asarray(dates >= self.shift[0], dtype=np.int64)
        at = (late, rows) if action is None else (late, rows, action)
        return np.asarray(self._uplifts[at])

    def remaining_effect(self, past: Past, action: Ints | None = None) -> Floats:
        """The share of an uplift that past contacts leave.

        Returns:
            (m, k) for every action; (m,) for the actions taken.
        """
        left = np.exp(-self.fatigue * np.asarray(past["contacts_7d"], dtype=np.float64))
        channel_of = self.channel_of if action is None else self.channel_of[action]
        if action is None:
            left = np.repeat(left[:, None], len(channel_of), axis=1)
        if self.saturation:
            for place in np.unique(channel_of[channel_of >= 0]):
                at = np.flatnonzero(channel_of == place)
                since = np.asarray(past[f"days_since_{CHANNELS[place]}"])  # NaN = long ago
                since = since[:, None] if action is None else since[at]
                lost = np.where(since <= RECOVERY_DAYS, 1 - (since - 1) / RECOVERY_DAYS, 0.0)
                left[..., at] *= 1 - self.saturation * lost
        return np.asarray(left)

    def p_visit(self, rows: Ints, dates: Dates, past: Past, action: Ints | None = None) -> Floats:
        """Visit probability; 0 for customers who have not signed up or have left.

        Args:
            rows: (m,) places in the population.
            dates: (m,) or one date.
            past: columns contacts_7d and, with saturation, days_since_<channel>.
            action: (m,) columns of the actions taken; None = every action.

        Returns:
            (m, k) for every action; (m,) for the actions taken.
        """
        organic = self.population.organic[rows] * rhythm(dates, self.season)
        here = self.population.here(rows, dates)
        if action is None:
            organic, here = organic[:, None], here[:, None]
        added = self.uplift(rows, dates, action) * self.remaining_effect(past, action)
        return np.asarray(np.clip(organic + added, *P_VISIT) * here)

    def answer(self, rows: Ints, dates: Dates, action: Ints, past: Past) -> Answers:
        """What these customers do on these days after the actions taken; arguments as `p_visit`."""
        visit = self._uniform("visit", rows, dates) < self.p_visit(rows, dates, past, action)
        received, cents = np.ones(len(rows), dtype=bool), np.zeros(len(rows), dtype=np.int64)
        quits = np.zeros(len(rows), dtype=np.int8)
        at = np.flatnonzero(visit)
        if self.lost:
            received[at] = self._uniform("lost", rows, dates, at) >= self.lost
        at = at[self._uniform("purchase", rows, dates, at) < P_PURCHASE]
        radius = np.sqrt(-2 * np.log1p(-self._uniform("radius", rows, dates, at)))
        normal = radius * np.cos(2 * np.pi * self._uniform("angle", rows, dates, at))
        cents[at] = np.rint(100 * np.minimum(np.exp(AMOUNT[0] + AMOUNT[1] * normal), AMOUNT_CAP))
        if self.unsubscribes or self.complaints:
            at = np.flatnonzero(self.channel_of[action] >= 0)
            draw = self._uniform("quit", rows, dates, at)
            often = self.unsubscribes * (1 + np.asarray(past["contacts_7d"])[at])
            quits[at] = np.where(draw < self.complaints + often, UNSUBSCRIBES, STAYS)
            quits[at[draw < self.complaints]] = COMPLAINS
        return Answers(rows, dates, action, visit, cents, received, quits)

    def facts(
        self, answers: Answers, decision_id: Array | None = None
    ) -> tuple[pd.DataFrame, pd.DataFrame]:
        """The rows of `events` and `outcomes` that these answers make, by date and id.

        Types are visit, purchase, unsubscribe_<channel> and complaint; only purchases have an
        amount. An outcome repeats its event, is received some days late or never, and names the
        decision of the day (`decision_id`, (m,)) if that was a contact. Without contacts there need
        be no decision ids.
        """
        parts = [np.flatnonzero(did) for did in (answers.visit, answers.cents, answers.quits)]
        at, (visitors, buyers, quitters) = np.concatenate(parts), parts
        rows, channel_of = answers.rows, self.channel_of[answers.action]
        left = [f"unsubscribe_{CHANNELS[place]}" for place in channel_of[quitters]]
        kind = np.array(["visit"] * len(visitors) + ["purchase"] * len(buyers) + left, dtype=object)
        kind[len(kind) - len(quitters) :][answers.quits[quitters] == COMPLAINS] = "complaint"
        days = np.broadcast_to(answers.dates, len(rows))[at]
        names = self.population.customer_id[rows[at]]
        ids = np.array([f"{name}:{day}:{what}" for name, day, what in zip(names, days, kind)], str)
        order = np.lexsort((ids, days))
        at, days, names, kind = at[order], days[order], names[order], kind[order]
        ids, bought = ids[order].astype(object), kind == "purchase"
        lag = np.searchsorted(self.lags, self._uniform("lag", rows[at], days), side="right")
        minute = (self._uniform("minute", rows[at], days) * DAY_MINUTES).astype(np.int64)
        minute += np.where(bought, DAY_OPENS + PURCHASE_MINUTES, DAY_OPENS)
        ts = days.astype("datetime64[ns]") + minute.astype("timedelta64[m]")
        amount = np.where(bought, answers.cents[at] / 100, 0.0)
        decisions = np.full(len(at), None) if decision_id is None else decision_id[at]
        decisions[channel_of[at] < 0] = None
        event = {"event_id": ids, "customer_id": names, "event_ts": ts, "event_type": kind}
        outcome = {"outcome_id": ids, "decision_id": decisions, "customer_id": names}
        times = {"outcome_ts": ts, "received_ts": ts + lag.astype("timedelta64[D]")}
        outcomes = pd.DataFrame({**outcome, "outcome_type": kind, **times, "amount": amount})
        received = outcomes[answers.received[at]].reset_index(drop=True)
        return pd.DataFrame({**event, "amount": amount}), received

    def _uniform(self, kind: str, rows: Ints, dates: Dates, at: Any = slice(None)) -> Floats:
        """Uniform numbers in [0, 1) for one kind of draw, at some of the (m,) rows."""
        days = dates[at] if np.ndim(dates) else dates
        return uniforms(self.population.hashes[rows[at]], days, f"world:{kind}:{self.salt}")


def visit_worth() -> float:
    """E[amount paid on a visit], in currency: purchases are lognormal, capped at `AMOUNT_CAP`."""
    mean, sd = AMOUNT
    z = (math.log(AMOUNT_CAP) - mean) / sd
    below = math.exp(mean + sd**2 / 2) * special.ndtr(z - sd)
    return P_PURCHASE * float(below + AMOUNT_CAP * special.ndtr(-z))


def rhythm(dates: Dates, season: float = SEASON) -> Floats:
    """The factor on organic visits of each date: season times weekday."""
    days = np.asarray(dates, dtype="datetime64[D]").astype(np.int64)
    swing = 1 + season * np.sin(2 * np.pi * days / 365.25)
    return np.asarray(swing * WEEKDAY[(days + 3) % 7])  # 1970-01-01 was a Thursday
