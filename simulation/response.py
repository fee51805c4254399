"""The law by which customers answer: who visits and buys on a day, given what was done."""

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
from simulation.customers import CHANNELS, Population
from simulation.effects import Effect

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Dates = Any  # (m,) datetime64[D], or one for all
Past = Union[pd.DataFrame, Mapping[str, Array]]

SEASON = 0.05  # amplitude over a year
WEEKDAY = np.array([0.96, 0.98, 1.0, 1.02, 1.06, 1.04, 0.94])  # Monday first, mean 1
FATIGUE = 0.07  # each contact in the last 7 days takes about 7 % off what a contact adds
RECOVERY_DAYS = 7  # after so many days without a channel its saturation is gone
P_VISIT = (0.005, 0.9)  # a day's visit probability never leaves this range
P_PURCHASE = 0.15  # of a visit; e-mailed Hillstrom visitors buy at .06–.09, these are customers
AMOUNT = (3.7, 0.35)  # log mean and log sd of a purchase: median 40, mean 43, in currency
AMOUNT_CAP = 150.0  # no purchase is larger, in currency; 8 in 100,000 would be
LAG_SHARES = (0.6, 0.9, 1.0)  # cumulated: outcomes are received 0, 1 or 2 days late
DAY_OPENS, DAY_MINUTES = 8 * 60, 15 * 60 + 30  # visits begin from 08:00 to 23:30
MINUTE = np.timedelta64(1, "m")
STAYS, UNSUBSCRIBES, COMPLAINS = range(3)  # what a contact makes of a customer's consent

EVENT_COLUMNS = ("event_id", "customer_id", "event_ts", "event_type", "amount")
OUTCOME_COLUMNS = (
    *("outcome_id", "decision_id", "customer_id", "outcome_type"),
    *("outcome_ts", "received_ts", "amount"),
)


@dataclass(frozen=True, eq=False)
class Answers:
    """What m customers did on a day.

    Args:
        visit: (m,) bool.
        cents: (m,) paid, 0 = no purchase.
        received: (m,) bool, whether what they did is ever reported as an outcome.
        quits: (m,) int8, `STAYS`, `UNSUBSCRIBES` from the channel they were contacted on, or
            `COMPLAINS` and unsubscribes from all.
    """

    visit: Bools
    cents: Ints
    received: Bools
    quits: npt.NDArray[np.int8]


@dataclass(frozen=True, eq=False)
class Response:
    """How a population answers a catalogue of actions.

    A customer i visits at most once on day d, with probability
    ``clip(organic_i · season(d) · weekday(d) + uplift(i, a, d) · remaining_effect(past, a), .005, .9)``,
    and buys on a visit with probability .15. The past enters through contacts_7d and the days since
    each channel was used, which contexts show, so every expected reward is exact. An action whose
    channel is "none" has no uplift. Every draw is a function of (salt, customer, date): neither
    order, chunks nor the other customers matter, and the action only moves the probability it is
    compared with.

    Args:
        population: who answers.
        catalogue: to which actions.
        effects: per action id; an id without one gets `Effect.seeded`.
        strength: factor on all uplifts; 0 = contacts do nothing.
        season: amplitude of organic visits over a year, a share of them.
        fatigue: share of an uplift that each contact of the last 7 days takes off, about.
        saturation: share of an uplift that is gone the day after a contact on the same channel; it
            comes back evenly over `RECOVERY_DAYS`.
        unsubscribes: share of contacts after which a customer leaves the channel for good, times
            1 + contacts_7d. Published e-mail rates are .001 to .003.
        complaints: share of contacts after which a customer leaves all channels for good.
        lags: cumulated shares of outcomes that are received 0, 1, … days late.
        lost: share of visits and purchases that are never reported.
        shift: (the first day, effects per action id) of other preferences; None = they last.
        twins: action id -> the one whose tastes it shares.
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

    @property
    def lag_days(self) -> int:
        """How late an outcome may be received, in days."""
        return len(self.lags) - 1

    @cached_property
    def channels(self) -> Array:
        """(k,) channel of every action."""
        return np.array(self.catalogue.channels, dtype=object)

    @cached_property
    def channel_of(self) -> npt.NDArray[np.int8]:
        """(k,) place of every action's channel in `CHANNELS`, -1 where nobody is contacted."""
        return np.array([CHANNELS.index(each) if each != "none" else -1 for each in self.channels])

    def segment_uplift(self, traits: Mapping[str, Ints], late: float = 0.0) -> Floats:
        """(n, k) E[uplift | traits], unworn; tastes have mean 1 and are independent.

        Args:
            traits: per name, (n,) codes.
            late: 0 is before a shift of preferences, 1 after it; shares lie between.
        """
        columns = []
        for action in self.catalogue.actions:
            then = self.effects.get(action.id) or Effect.seeded(action)
            now = then if self.shift is None else self.shift[1].get(action.id, then)
            uplift = (1 - late) * then.of(traits) + late * now.of(traits)
            columns.append(uplift * (self.strength if action.channel != "none" else 0))
        return np.column_stack(columns)

    @cached_property
    def _tastes(self) -> Floats:
        names = [self.twins.get(each, each) for each in self.catalogue.action_ids]
        return self.population.tastes(names)

    @cached_property
    def _uplifts(self) -> tuple[Floats, ...]:
        """(n, k) uplift of every action on every customer, unworn: before and after the shift."""
        sides = (0.0,) if self.shift is None else (0.0, 1.0)
        traits = self.population.traits
        return tuple(self.segment_uplift(traits, late) * self._tastes for late in sides)

    def uplift(self, rows: Ints, dates: Dates, action: Ints | None = None) -> Floats:
        """Uplift of every action, (m, k), or of the one taken, (m,), before fatigue."""
        at: Any = rows if action is None else (rows, action)
        before, *after = (each[at] for each in self._uplifts)
        if self.shift is None:
            return np.asarray(before)
        late = np.asarray(dates >= self.shift[0])
        late = late[:, None] if action is None and late.ndim else late
        return np.asarray(np.where(late, after[0], before))

    def p_visit(self, rows: Ints, dates: Dates, past: Past) -> Floats:
        """(m, k) visit probability under every action; 0 for customers who are not there.

        Args:
            rows: (m,) places in the population.
            dates: (m,) or one date.
            past: columns contacts_7d and, where channels saturate, days_since_<channel>.
        """
        added = self.uplift(rows, dates) * self.remaining_effect(past)
        p = np.clip(self._organic(rows, dates)[:, None] + added, *P_VISIT)
        return np.asarray(p * self.population.here(rows, dates)[:, None])

    def _organic(self, rows: Ints, dates: Dates) -> Floats:
        return np.asarray(self.population.organic[rows] * rhythm(dates, self.season))

    def remaining_effect(self, past: Past) -> Floats:
        """What the past leaves of each action's uplift: (m, 1) or, with saturation, (m, k)."""
        tired = np.exp(-self.fatigue * np.asarray(past["contacts_7d"], dtype=np.float64))[:, None]
        if not self.saturation:
            return np.asarray(tired)
        fresh = {"none": np.ones(len(tired))}
        for each in set(self.channels) - {"none"}:
            fresh[each] = self._fresh(np.asarray(past[f"days_since_{each}"]))
        return np.asarray(tired * np.column_stack([fresh[each] for each in self.channels]))

    def _fresh(self, days_since: Floats) -> Floats:
        """(m,) what saturation leaves so many days after the channel's last contact; NaN = long."""
        gone = np.where(days_since <= RECOVERY_DAYS, 1 - (days_since - 1) / RECOVERY_DAYS, 0.0)
        return np.asarray(1 - self.saturation * gone)

    def answer(self, rows: Ints, dates: Dates, action: Ints, past: Past) -> Answers:
        """What these customers do on these days, given the action each was taken for.

        Args:
            rows: (m,) places in the population.
            dates: (m,) or one date.
            action: (m,) columns of the actions taken.
            past: as for `p_visit`.
        """
        left = np.exp(-self.fatigue * np.asarray(past["contacts_7d"], dtype=np.float64))
        if self.saturation:
            of = self.channel_of[action]
            for number, channel in enumerate(CHANNELS):
                at = np.flatnonzero(of == number)
                left[at] *= self._fresh(np.asarray(past[f"days_since_{channel}"])[at])
        p = self._organic(rows, dates) + self.uplift(rows, dates, action) * left
        visit = self._coin(rows, dates, "visit") < np.clip(p, *P_VISIT)
        visit &= self.population.here(rows, dates)
        return self._followed(rows, dates, visit, self._quits(rows, dates, action, past))

    def _followed(self, rows: Ints, dates: Dates, visit: Bools, quits: Any) -> Answers:
        """What comes of the visits: purchases, and whether anybody hears of them."""
        at = np.flatnonzero(visit)
        received = np.ones(len(rows), dtype=bool)
        if self.lost:
            received[at] = self._coin(rows[at], _at(dates, at), "lost") >= self.lost
        at = at[self._coin(rows[at], _at(dates, at), "purchase") < P_PURCHASE]
        days = _at(dates, at)
        radius = np.sqrt(-2 * np.log1p(-self._coin(rows[at], days, "radius")))
        normal = radius * np.cos(2 * np.pi * self._coin(rows[at], days, "angle"))
        cents = np.zeros(len(rows), dtype=np.int64)
        paid = np.minimum(np.exp(AMOUNT[0] + AMOUNT[1] * normal), AMOUNT_CAP)
        cents[at] = np.rint(100 * paid)
        return Answers(visit, cents, received, quits)

    def _quits(self, rows: Ints, dates: Dates, action: Ints, past: Past) -> npt.NDArray[np.int8]:
        quits = np.zeros(len(rows), dtype=np.int8)
        if self.unsubscribes or self.complaints:
            at = np.flatnonzero(self.channel_of[action] >= 0)
            coin = self._coin(rows[at], _at(dates, at), "quit")
            often = self.unsubscribes * (1 + np.asarray(past["contacts_7d"])[at])
            quits[at] = np.where(coin < self.complaints + often, UNSUBSCRIBES, STAYS)
            quits[at[coin < self.complaints]] = COMPLAINS
        return quits

    def facts(
        self, rows: Ints, dates: Dates, action: Ints, answers: Answers, decision_id: Array
    ) -> tuple[pd.DataFrame, pd.DataFrame]:
        """The tables `events` and `outcomes`, one row per thing that happened, by date and id.

        Types are visit, purchase, unsubscribe_<channel> and complaint; only purchases have an
        amount. An outcome repeats its event, is received some days late or never, and names the
        decision it came in by: `decision_id` (m,), None where nothing was sent.
        """
        quitters = np.flatnonzero(answers.quits)
        told_off = answers.quits[quitters] == COMPLAINS
        left = np.array([f"unsubscribe_{each}" for each in self.channels[action[quitters]]], object)
        at = np.concatenate(
            [np.flatnonzero(answers.visit), np.flatnonzero(answers.cents), quitters]
        )
        kind = np.full(len(at), "visit", dtype=object)
        kind[np.count_nonzero(answers.visit) :] = "purchase"
        kind[len(at) - len(quitters) :] = np.where(told_off, "complaint", left)
        days, rows, bought = _at(dates, at, whole=True), rows[at], kind == "purchase"
        minute = DAY_OPENS + (self._coin(rows, days, "minute") * DAY_MINUTES).astype(np.int64)
        late = np.searchsorted(self.lags, self._coin(rows, days, "lag"), side="right")
        ids = self.population.customer_id[rows]
        keys = np.array([f"{i}:{d}:{j}" for i, d, j in zip(ids, days, kind)], dtype=str)
        ts = days.astype("datetime64[ns]") + (minute + np.where(bought, 20, 0)) * MINUTE
        amount = np.where(bought, answers.cents[at] / 100, 0.0)
        received_ts = ts + late.astype("timedelta64[D]")
        happened = (keys.astype(object), ids, ts, kind, amount)
        told = (keys.astype(object), decision_id[at], ids, kind, ts, received_ts, amount)
        order = np.lexsort((keys, days))
        heard = order[answers.received[at][order]]
        return (
            pd.DataFrame({name: each[order] for name, each in zip(EVENT_COLUMNS, happened)}),
            pd.DataFrame({name: each[heard] for name, each in zip(OUTCOME_COLUMNS, told)}),
        )

    def _coin(self, rows: Ints, dates: Dates, what: str) -> Floats:
        return uniforms(self.population.hashes[rows], dates, f"world:{what}:{self.salt}")


def visit_worth() -> float:
    """E[what a visit pays], in currency: purchases are lognormal, cut at `AMOUNT_CAP`."""
    mean, sd = AMOUNT
    z = (math.log(AMOUNT_CAP) - mean) / sd
    below = math.exp(mean + sd**2 / 2) * special.ndtr(z - sd)
    return P_PURCHASE * float(below + AMOUNT_CAP * special.ndtr(-z))


def rhythm(dates: Dates, season: float = SEASON) -> Floats:
    """Season times weekday of each date, the factor on organic visits."""
    days = np.asarray(dates, dtype="datetime64[D]").astype(np.int64)
    swing = 1 + season * np.sin(2 * np.pi * days / 365.25)
    return np.asarray(swing * WEEKDAY[(days + 3) % 7])  # 1970-01-01 was a Thursday


def _at(dates: Dates, rows: Ints, *, whole: bool = False) -> Dates:
    """The dates of these rows; one date stays one unless the `whole` column is wanted."""
    if np.ndim(dates):
        return dates[rows]
    return np.full(len(rows), dates) if whole else dates
