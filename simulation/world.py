"""World: customers, actions and response model, with the exact value of every policy."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Union

import numpy as np
import pandas as pd

from policies.catalogue import Catalogue
from policies.deciding.deployed import AsDeployed, Exploration
from policies.deciding.groups import GROUPS, Groups
from policies.errors import CatalogueError, InvalidLogError, require_known
from policies.learning.baselines import BusinessRules
from policies.log import LoggedDecisions, to_day
from policies.policy import Policy
from simulation.best_policy import BestFromContexts
from simulation.customers import Array, Floats, Ints, Population
from simulation.days import FEATURES, Course, Day, organic_days
from simulation.response import AMOUNT_CAP, Dates, Response, visit_worth

START = "2026-01-01"
REWARDS = {"visits": (1.0, 1.0), "money": (visit_worth(), AMOUNT_CAP)}  # a visit's mean, the most
WINDOW_DAYS = 1  # a reward counts what happens until the same hour of the next day
PART = 16_384  # customers simulated at a time, so that their days stay in the processor's cache


@dataclass(frozen=True, eq=False)
class World:
    """A company's customers and how they answer every decision.

    Args:
        name: the scenario it was made for.
        response: the customers, the actions and the response model.
        rules: the business rules in order, (predicate, action id).
        floor, uniform_share: how the scenario's logging policy explores.
        make_candidate: makes the scenario's candidate; None = the scenario has none.
        corrupt_log: how the scenario breaks its log; None = it does not.
        reward: "visits": a visit earns 1; "money": a purchase earns its amount. Costs are in
            units of a visit's mean reward, `worth`.

    Raises:
        CatalogueError: there is no such reward.
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
        """Check the reward's name."""
        require_known(self.reward, REWARDS, CatalogueError, f"no world earns {self.reward!r}")

    @cached_property
    def candidate(self) -> Policy | None:
        """The policy to compare with the incumbent; None where the scenario has none."""
        return None if self.make_candidate is None else self.make_candidate(self)

    @property
    def catalogue(self) -> Catalogue:
        """The actions."""
        return self.response.catalogue

    @property
    def customers(self) -> Population:
        """The customers, latent parts included."""
        return self.response.population

    @property
    def action_ids(self) -> tuple[str, ...]:
        """k ids in the order of all (n, k) arrays."""
        return self.catalogue.action_ids

    @property
    def reward_range(self) -> tuple[float, float]:
        """(low, high) by definition: the highest cost, and 1 a visit or `AMOUNT_CAP` a purchase."""
        worth, high = REWARDS[self.reward]
        return -worth * float(np.max(self.catalogue.costs)), high

    @property
    def worth(self) -> float:
        """The mean reward of a visit, in reward units."""
        return REWARDS[self.reward][0]

    @property
    def exploration(self) -> Exploration:
        """What deployment adds to every policy of this company."""
        return Exploration(self.floor, self.uniform_share)

    @property
    def groups(self) -> Groups:
        """The groups of the scenario's log: policy and uniform."""
        return Groups(self.uniform_share, 0.0, salt=f"groups:{self.response.salt}")

    @cached_property
    def incumbent(self) -> Policy:
        """The business rules."""
        return BusinessRules(self.action_ids, self.rules, fallback=self.catalogue.no_contact)

    @cached_property
    def logging_policy(self) -> Policy:
        """The business rules as deployed: with the floor, mixed with the uniform share."""
        return self.deployed(self.incumbent)

    def deployed(self, policy: Policy) -> AsDeployed:
        """A policy as this company would deploy it."""
        return AsDeployed(policy, self.exploration)

    def history(
        self, days: int = 60, policy: Policy | None = None, start: str = START
    ) -> LoggedDecisions:
        """The log of a policy that acted for so many days, with matured rewards.

        Contexts hold `FEATURES`, nothing latent. A reward is what is received for the customer's
        visit between the decision (08:00) and the same hour of the next day (1 for a visit; in
        money, what it pays), less the action's cost. The 28 days before are without contacts.
        action_probability is `policy.distribution(contexts, eligible)` at the action. The groups
        holdout and previous are empty. The same call gives the same bytes.

        Args:
            days: how many days, at least 1.
            policy: decides; None = `logging_policy`.
            start: the first decision date.

        Raises:
            InvalidLogError: there are no decisions in these days, or `start` is no date.
        """
        floor, groups = (self.floor, self.groups) if policy is None else (0.0, Groups(0.0, 0.0))
        runs = (part.run(days, start, policy, floor=floor, groups=groups) for part in self.parts())
        logged = [self.logged_columns(day) for same_date in zip(*runs) for day in same_date]
        if not any(len(columns["action"]) for columns in logged):
            raise InvalidLogError(f"a history of {days} days has no decisions", hint="days >= 1")
        return self.log(logged)

    def log(self, days: list[dict[str, Array]]) -> LoggedDecisions:
        """The log of days' `logged_columns`, with matured rewards; it empties the columns."""
        columns = {name: np.concatenate([day.pop(name) for day in days]) for name in list(days[0])}
        contexts = pd.DataFrame({name: columns.pop(name) for name in FEATURES}, copy=False)
        rest: dict[str, Any] = {**columns, "contexts": contexts, "reward_range": self.reward_range}
        log = LoggedDecisions(action_ids=self.action_ids, **rest)
        return log if self.corrupt_log is None else self.corrupt_log(log)

    def logged_columns(self, day: Day) -> dict[str, Array]:
        """A day's columns of a log, one row per decision: the features and what was decided."""
        decisions, m = day.decisions, len(day.rows)
        earned: Any = day.answers.visit if self.reward == "visits" else day.answers.cents / 100
        cost = self.worth * self.catalogue.costs[decisions.action]
        matured_on = day.date + WINDOW_DAYS + len(self.response.lags)
        return {
            **{name: day.contexts[name].to_numpy() for name in FEATURES},
            "action": decisions.action,
            "action_probability": decisions.action_probability,
            "reward": earned * day.answers.received - cost,
            "eligible": np.ascontiguousarray(decisions.eligible),
            "distribution": np.ascontiguousarray(
                decisions.distribution
            ),  # by row, as logs are read
            "group": np.array(GROUPS, dtype=object)[decisions.group],
            "customer_id": day.contexts["customer_id"].to_numpy(),
            "decision_date": np.full(m, day.date),
            "matured_on": np.full(m, matured_on),
        }

    def expected_reward(self, log: LoggedDecisions) -> Floats:
        """(n, k) exact E[reward] of every action for each row, given the row's past.

        Closed form: the share of p_visit that is received, less cost, times `worth`. The past
        enters p_visit only through what contexts show, and the logger's next decision comes after
        the window: so this holds for any logger.

        Raises:
            InvalidLogError: the log lacks customer_id, decision_date or contexts, or a customer
                does not live here.
        """
        if log.customer_id is None or log.decision_date is None or log.contexts is None:
            raise InvalidLogError(
                "the truth of a row needs its customer_id, decision_date and contexts",
                hint="pass a log made by World.history, or rows of one",
            )
        columns = [self.catalogue.index(action_id) for action_id in log.action_ids]
        rows = self.rows(log.customer_id)
        return self._expected(rows, log.decision_date, log.contexts)[:, columns]

    def _expected(self, rows: Ints, dates: Dates, contexts: pd.DataFrame) -> Floats:
        """(m, k) E[reward] of every action for these customers on these dates (or one date)."""
        p = self.response.p_visit(rows, dates, contexts) * (1 - self.response.lost)
        return np.asarray(self.worth * (p - self.catalogue.costs))

    def true_value(self, policy: Union[Policy, Array], log: LoggedDecisions) -> float:
        """The mean over rows of distribution times expected_reward: what estimates estimate.

        Args:
            policy: a policy, or its (n, k) distribution on the log's rows.
            log: decisions for customers of this world.

        Raises:
            InvalidLogError: the distribution has another shape; or as in `expected_reward`.
        """
        if isinstance(policy, Policy):
            policy = policy.distribution(log.contexts, log.eligible)
        distribution = np.asarray(policy, dtype=np.float64)
        if distribution.shape != log.eligible.shape:
            raise InvalidLogError(
                f"the target has shape {distribution.shape}, the log {log.eligible.shape}"
            )
        return float((distribution * self.expected_reward(log)).sum(axis=1).mean())

    def rule_effects(self, log: LoggedDecisions) -> pd.DataFrame:
        """What each business rule truly adds to the others on these rows, one step ahead.

        Returns:
            One row a rule, in order: rule, action, share (of the rows that it decides) and effect:
            the true value of all rules less that of all others, in reward units per decision.
        """
        expected, rules, rows = self.expected_reward(log), list(self.rules), []

        def distribution(some: list[tuple[str, str]]) -> Floats:
            policy = BusinessRules(log.action_ids, some, fallback=self.catalogue.no_contact)
            return policy.distribution(log.contexts, log.eligible)

        whole = distribution(rules)
        for number, (text, action) in enumerate(rules):
            others = distribution(rules[:number] + rules[number + 1 :])
            changed = distribution(rules[: number + 1]) != distribution(rules[:number])
            effect = ((whole - others) * expected).sum(axis=1).mean()
            rows.append((text, action, float(changed.any(axis=1).mean()), float(effect)))
        return pd.DataFrame(rows, columns=["rule", "action", "share", "effect"])

    def live_value(self, policy: Policy, days: int = 60, seed: int = 1) -> tuple[float, float]:
        """(value, std_error) per decision when the policy acts alone from `START`, fatigue and all.

        The same customers get other draws by `seed`. Each row counts with its expected reward, so
        only the course of contacts is random; std_error is by customer, as if these were a sample,
        and so generous for comparisons within one world.
        """
        fresh = replace(self.response, salt=f"{self.response.salt}:live:{seed}")
        world = replace(self, response=fresh)
        total, count = np.zeros((2, len(self.customers)))
        for day in world.run(days, START, policy, floor=0.0, groups=Groups(0.0, 0.0)):
            expected = world._expected(day.rows, day.date, day.contexts)
            total[day.rows] += (day.decisions.distribution * expected).sum(axis=1)
            count[day.rows] += 1
        value = total.sum() / count.sum()
        square = ((total - value * count) ** 2).sum()
        std_error = np.sqrt(square / max(len(total) - 1, 1) * len(total)) / count.sum()
        return float(value), float(std_error)

    def best_policy(self, log: LoggedDecisions) -> Policy:
        """The best that can be done, one step ahead, from the observed contexts.

        It takes the eligible action of highest E[uplift | traits] · remaining_effect(past) less its
        cost. This is closed form: tastes are independent factors of mean 1 on a segment's uplift,
        organic visits are the same under every action, and p_visit stays inside its clip. It does
        not use what past visits say about a customer's own tastes. Contexts do not show the day:
        where preferences shift, the uplift is the mean over the log's days before and after.

        Args:
            log: gives the order of the actions, and the days.
        """
        shift, dates = self.response.shift, log.decision_date
        late = 0.0 if shift is None or dates is None else float((dates >= shift[0]).mean())
        return BestFromContexts(self.response, log.action_ids, late)

    def parts(self, size: int = PART) -> Iterator[World]:
        """The same world for some customers at a time; what happens to them does not change.

        So a history larger than memory is made part by part, in any order or on any machine.
        """
        for first in range(0, len(self.customers), size):
            yield self._with(self.customers.part(first, first + size))

    def people(self, first: int, last: int) -> World:
        """The same world for the customers numbered first … last - 1 of its seed.

        They need not be among its own: a worker makes its part of a large world from a small one.
        """
        customers = self.customers
        return self._with(Population.of(customers.seed, last, customers.turnover, first))

    def _with(self, customers: Population) -> World:
        return replace(self, response=replace(self.response, population=customers))

    def population(self, date: str, events: pd.DataFrame | None = None) -> pd.DataFrame:
        """The table `customers` on a day, with the consent that remains.

        Args:
            date: the table lists those who signed up before it and have not left.
            events: customer_id and event_type of the events so far; None = there were no contacts.

        Raises:
            InvalidLogError: `date` is no date.
        """
        frame = self.customers.frame()
        if events is not None:
            for channel in self.customers.consent:
                quits = events["event_type"].isin([f"unsubscribe_{channel}", "complaint"])
                gone = frame["customer_id"].isin(events.loc[quits, "customer_id"])
                frame.loc[gone, f"consent_{channel}"] = False
        return frame.iloc[self.customers.present(to_day(date))].reset_index(drop=True)

    def burn_in(self, start: str) -> pd.DataFrame:
        """The table `events` of the 28 days before `start`: visits without any contact."""
        days = organic_days(self.response, to_day(start))
        return pd.concat([self.response.facts(answers)[0] for answers in days], ignore_index=True)

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
        course = Course(self.response, to_day(start))
        for _ in range(days):
            yield course.day(acting, floor=floor, groups=groups)

    def answer(self, frame: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
        """What customers do on the days of these decisions: (events, outcomes), as in `run`.

        Args:
            frame: customer_id, decision_date, decision_id, action_id, contacts_7d, and
                days_since_<channel> where channels saturate; one row per customer and date. Row
                order and chunks do not matter.

        Raises:
            InvalidLogError: a customer does not live here.
            CatalogueError: an action is not in the catalogue.
        """
        dates = pd.to_datetime(frame["decision_date"]).to_numpy().astype("datetime64[D]")
        rows = self.rows(frame["customer_id"].to_numpy())
        codes, names = pd.factorize(frame["action_id"])
        places = np.array([self.catalogue.index(str(name)) for name in names], dtype=np.int64)
        answers = self.response.answer(rows, dates, places[codes], frame)
        return self.response.facts(answers, frame["decision_id"].to_numpy(dtype=object))

    def rows(self, customer_id: Array) -> Ints:
        """(n,) places of these customers in the population.

        Raises:
            InvalidLogError: naming the first customer who does not live here.
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
