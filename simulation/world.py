"""World: a population, a catalogue and the law that joins them, with the truth attached."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Union

import numpy as np
import numpy.typing as npt
import pandas as pd

from policies.catalogue import Catalogue
from policies.deciding.deployed import AsDeployed
from policies.deciding.groups import Groups
from policies.errors import CatalogueError, InvalidLogError, did_you_mean
from policies.learning.baselines import BusinessRules
from policies.log import LoggedDecisions
from policies.policy import Policy
from simulation import history, truth
from simulation.customers import Population
from simulation.history import Course, Day
from simulation.response import AMOUNT_CAP, Floats, Ints, Response, visit_worth

Array = npt.NDArray[Any]

START = "2026-01-01"
REWARDS = ("visits", "money")
PART = 16_384  # customers that are simulated at a time, so that their days stay in cache


@dataclass(frozen=True, eq=False)
class World:
    """A company's customers as they would answer, decision by decision.

    Args:
        name: the scenario it was made for.
        response: who answers what, and how.
        rules: the business rules in order, (predicate, action id).
        floor, uniform_share: how the scenario's logging policy explores.
        make_candidate: what makes the policy to try against the incumbent, where the scenario has one.
        corrupt_log: what happens to the log before anybody reads it, where the scenario breaks it.
        reward: "visits": a visit earns 1; "money": a purchase earns what it pays, and costs, which
            are in visits' worth, count by `worth`.
    """

    name: str
    response: Response
    rules: Sequence[tuple[str, str]]
    floor: float = 0.02
    uniform_share: float = 0.2
    make_candidate: Callable[[World], Policy] | None = None
    corrupt_log: Callable[[LoggedDecisions], LoggedDecisions] | None = None
    reward: str = "visits"

    def __post_init__(self) -> None:
        """Refuse rewards that nobody pays."""
        if self.reward not in REWARDS:
            raise CatalogueError(
                f"no world earns {self.reward!r}", hint=did_you_mean(self.reward, REWARDS)
            )

    @cached_property
    def candidate(self) -> Policy | None:
        """A policy to try against the incumbent; None where the scenario has none."""
        return None if self.make_candidate is None else self.make_candidate(self)

    @property
    def catalogue(self) -> Catalogue:
        """The actions there are."""
        return self.response.catalogue

    @property
    def customers(self) -> Population:
        """Who lives here, latent parts included."""
        return self.response.population

    @property
    def action_ids(self) -> tuple[str, ...]:
        """k ids in the order of all (n, k) arrays."""
        return self.catalogue.action_ids

    @property
    def reward_range(self) -> tuple[float, float]:
        """(low, high) by definition, less the cost: a visit earns 1, a purchase `AMOUNT_CAP`."""
        high = 1.0 if self.reward == "visits" else AMOUNT_CAP
        return -self.worth * float(np.max(self.catalogue.costs)), high

    @property
    def worth(self) -> float:
        """What a visit earns on average, in units of the reward."""
        return 1.0 if self.reward == "visits" else visit_worth()

    @cached_property
    def incumbent(self) -> Policy:
        """The business rules."""
        return BusinessRules(self.action_ids, self.rules, fallback=self.catalogue.no_contact)

    @cached_property
    def logging_policy(self) -> Policy:
        """The business rules as they act: with the floor, mixed with the uniform share."""
        return AsDeployed(self.incumbent, self.floor, self.uniform_share)

    def history(
        self, days: int = 60, policy: Policy | None = None, start: str = START
    ) -> LoggedDecisions:
        """The log of a policy that acted for so many days, with matured rewards.

        Contexts hold `history.FEATURES`, nothing latent. A reward is what is received for the
        customer's visit between decision (08:00) and the same hour of the next day (1 for a visit;
        in money, what it pays), less the action's cost. It starts from 28 days without contacts. action_probability is `policy.distribution(contexts, eligible)`
        at the action. There is no holdout and no previous champion in it. The same call gives the
        same bytes.

        Args:
            days: how many days, at least 1.
            policy: who decides; None = `logging_policy`.
            start: the first decision date.
        """
        log = history.history(self, days, policy, start)
        return log if self.corrupt_log is None else self.corrupt_log(log)

    def expected_reward(self, log: LoggedDecisions) -> Floats:
        """(n, k) exact E[reward] of every action for each row, given the row's past.

        Closed form: the share of p_visit that is received, less cost, times `worth`. The past enters
        p_visit through what contexts show, and the logger's next decision comes after the window.
        """
        return truth.expected_reward(self, log)

    def true_value(self, policy: Union[Policy, Array], log: LoggedDecisions) -> float:
        """The mean over rows of distribution times expected_reward: what estimates estimate.

        Args:
            policy: a policy, or its (n, k) distribution on the log's rows.
            log: decisions of customers of this world.
        """
        return truth.true_value(self, policy, log)

    def rule_effects(self, log: LoggedDecisions) -> pd.DataFrame:
        """What each business rule truly adds, one step ahead, to the others on these rows.

        Returns:
            One row a rule, in order: rule, action, share (of the rows that it decides) and effect:
            the true value of all rules less that of all others, in reward units per decision.
        """
        return truth.rule_effects(self, log)

    def live_value(self, policy: Policy, days: int = 60, seed: int = 1) -> tuple[float, float]:
        """(value, std_error) per decision when the policy acts alone from `START`, fatigue and all.

        The same customers draw their luck anew by `seed`. Each row counts with its expected reward,
        so only the course of contacts is left to chance; std_error is by customer, as if these were
        a sample, and so generous for comparisons within one world.
        """
        fresh = replace(self.response, salt=f"{self.response.salt}:live:{seed}")
        return truth.live_value(replace(self, response=fresh), policy, days, START)

    def best_policy(self, log: LoggedDecisions) -> Policy:
        """The best that can be done, one step ahead, from the observed contexts.

        It takes the eligible action of highest E[uplift | traits] · remaining_effect(past) less its cost. This
        is closed form: tastes are independent factors of mean 1 on a segment's uplift, organic
        visits are the same under every action, and p_visit stays inside its clip. What past visits
        hint about a customer's own tastes is not used. Contexts do not show the day, so where
        preferences shift, both kinds count by their share of the log's rows.

        Args:
            log: gives the order of the actions, and the days.
        """
        shift, dates = self.response.shift, log.decision_date
        late = 0.0 if shift is None or dates is None else float((dates >= shift[0]).mean())
        return truth.BestFromContexts(self.response, log.action_ids, late)

    def parts(self, size: int = PART) -> Iterator[World]:
        """The same world for some customers at a time; what happens to them does not change.

        So a history larger than memory is made part by part, in any order or on any machine.
        """
        for first in range(0, len(self.customers), size):
            yield self._with(self.customers.part(first, first + size))

    def people(self, first: int, last: int) -> World:
        """The same world for the customers of numbers first … last - 1 of its seed.

        They need not be among its own: a worker makes its part of a large world from a small one.
        """
        old = self.customers
        return self._with(Population.of(old.seed, last, old.turnover, first))

    def _with(self, people: Population) -> World:
        return replace(self, response=replace(self.response, population=people))

    def population(self, date: str, events: pd.DataFrame | None = None) -> pd.DataFrame:
        """The table `customers` on a day, with the consent that they have left.

        Args:
            date: who has signed up before it and not left is listed.
            events: customer_id and event_type of the events so far; None = there were no contacts.
        """
        frame = self.customers.frame()
        if events is not None:
            for name in self.customers.consent:
                kinds = [f"unsubscribe_{name}", "complaint"]
                gone = events.loc[events["event_type"].isin(kinds), "customer_id"]
                frame.loc[frame["customer_id"].isin(gone), f"consent_{name}"] = False
        return frame.iloc[self.customers.present(_day(date))].reset_index(drop=True)

    def burn_in(self, start: str) -> pd.DataFrame:
        """The table `events` of the 28 days before `start`: visits without any contact."""
        frames, nothing = [], self.catalogue.index(self.catalogue.no_contact)
        for rows, date, answers in history.organic_days(self.response, _day(start)):
            ids = np.full(len(rows), None, dtype=object)
            action = np.full(len(rows), nothing)
            frames.append(self.response.facts(rows, date, action, answers, ids)[0])
        return pd.concat(frames, ignore_index=True)

    def course(self, start: str = START) -> Course:
        """This world from day to day, to be decided by whoever is asked each day."""
        return Course(self.response, _day(start))

    def run(
        self, days: int, start: str, policy: Policy | None = None, *, floor: float, groups: Groups
    ) -> Iterator[Day]:
        """Let a policy (None = the business rules) act for so many days after the burn-in.

        Args:
            days: how many days.
            start: the first decision date.
            policy: before exploration: floor and groups.uniform are added by `decide`.
            floor: the least probability of an eligible action on a choice row.
            groups: shares of uniform, holdout and previous, and their salt.
        """
        acting = self.incumbent if policy is None else policy
        course = self.course(start)
        for _ in range(days):
            yield course.day(acting, floor=floor, groups=groups)

    def answer(self, frame: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
        """What customers do on the days of these decisions: (events, outcomes), as in `run`.

        Args:
            frame: customer_id, decision_date, decision_id, action_id, contacts_7d, and
                days_since_<channel> where channels saturate; one row per customer and date. Order
                and chunks do not matter.

        Raises:
            InvalidLogError: a customer who does not live here.
            CatalogueError: an action that is not in the catalogue.
        """
        dates = pd.to_datetime(frame["decision_date"]).to_numpy().astype("datetime64[D]")
        rows = self.rows(frame["customer_id"].to_numpy())
        codes, names = pd.factorize(frame["action_id"])
        places = np.array([self.catalogue.index(str(each)) for each in names], dtype=np.int64)
        action = places[codes]
        ids = frame["decision_id"].to_numpy(dtype=object, copy=True)
        ids[self.response.channel_of[action] < 0] = None
        answers = self.response.answer(rows, dates, action, frame)
        return self.response.facts(rows, dates, action, answers, ids)

    def rows(self, customer_id: Array) -> Ints:
        """(n,) places of these customers in the population.

        Raises:
            InvalidLogError: naming the first who does not live here.
        """
        places = self._places.get_indexer(pd.Index(customer_id))
        if (places < 0).any():
            stranger = customer_id[int(np.argmax(places < 0))]
            raise InvalidLogError(
                f"customer {stranger!r} does not live in this world of {len(self.customers)}",
                hint="use the world (customers, seed) that the decisions were made in",
            )
        return np.asarray(places, dtype=np.int64)

    @cached_property
    def _places(self) -> pd.Index[Any]:
        return pd.Index(self.customers.customer_id)


def _day(date: str) -> np.datetime64:
    return np.datetime64(date, "D")
