"""The simulated source: its customers answer the decisions that were really made."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Optional

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
from pyspark.sql import functions as F

from engine.config import Config, Known
from engine.data.decisions import Author, day_of, decision_rows
from engine.data.sources.facts import EVENTS, FIRST_DAY_PROPERTY, OUTCOMES, Facts
from engine.errors import SourceError
from engine.parameters import Parameters
from engine.refs import PolicyRef
from engine.source_definitions import SimulatedSource
from policies import LoggedDecisions, Policy
from policies.deciding.groups import Groups
from simulation import SCENARIOS, World, scenario
from simulation.customers import CHANNELS, TRAITS

if TYPE_CHECKING:
    from engine.data.tables import Tables

QUITS = ("complaint", *(f"unsubscribe_{channel}" for channel in CHANNELS))
OUTCOME_TYPES = ("visit", "purchase", *QUITS)
KNOWN = Known((*TRAITS, "signup_date"), OUTCOME_TYPES, CHANNELS, OUTCOME_TYPES, SCENARIOS)
LONGEST_GAP = 400  # days without a run that the company catches up on
MEMORY_DAYS = 7  # of contacts that a customer's answer depends on


class Simulated:
    """A simulated company as a source of facts, and the only one whose true values are known.

    The first day brings a history in which the business rules decided, with exploration. From then
    on customers answer the rows of `decisions`; a customer without a decision is not contacted.

    Args:
        world: the company.
        config: the groups and the floor with which the history was decided.
        history_days: length of the history.
    """

    name = "simulation"
    last_day = None

    def __init__(self, world: World, config: Config, history_days: int) -> None:
        self.world, self.config, self.history_days = world, config, history_days

    @classmethod
    def from_config(cls, config: Config) -> Optional[Simulated]:
        """The configured company; None where the source is a real log."""
        described = config.source
        if not isinstance(described, SimulatedSource):
            return None
        world = scenario(
            described.scenario,
            described.customers,
            described.seed,
            catalogue=config.catalogue,
            rules=config.rules,
        )
        return cls(world, config, described.history_days)

    def true_value(self, policy: Policy, log: LoggedDecisions) -> float:
        """A policy's true value on these rows, in reward units per decision."""
        return self.world.true_value(policy, log)

    def expected_reward(self, log: LoggedDecisions) -> npt.NDArray[np.float64]:
        """(n, k) true expected reward of every action for each row."""
        return self.world.expected_reward(log)

    def fetch(self, parameters: Parameters, tables: Tables) -> Iterator[Facts]:
        """The history before the first day, while its decisions are missing; then the answers.

        Raises:
            SourceError: the day lies before the history that the tables hold, or far after it.
        """
        as_of, noted = parameters.as_of, tables.properties("customers").get(FIRST_DAY_PROPERTY)
        first = dt.date.fromisoformat(noted) if noted else as_of
        complete = tables.exists("decisions") and not tables.read("decisions").isEmpty()
        if not complete:
            yield self._history(first)
        if complete or as_of > first:
            yield self._answers(as_of, tables)

    def _history(self, as_of: dt.date) -> Facts:
        start = as_of - dt.timedelta(days=self.history_days)
        shares = self.config.engine.groups
        groups = Groups(uniform=shares.uniform, holdout=shares.holdout)
        author = Author(str(PolicyRef.baseline("business_rules")), "", "", "history")
        events, outcomes, decisions = [self.world.burn_in(str(start))], [], []
        floor = self.config.engine.exploration.floor
        for day in self.world.run(self.history_days, str(start), floor=floor, groups=groups):
            customer = day.contexts["customer_id"].to_numpy()
            dates = day_of(day.date.astype(object), len(customer))
            rows = decision_rows(customer, dates, day.decisions, self.world.catalogue, author)
            decisions.append(rows)
            events.append(day.events)
            outcomes.append(day.outcomes)
        note = (
            f"the world {self.world.name!r} with {self.history_days} days of past, "
            "decided by the business rules with exploration"
        )
        return Facts(
            customers=self._customers(as_of, events),
            outcomes=_arrow(_received(pd.concat(outcomes), as_of), OUTCOMES),
            events=_arrow(pd.concat(events), EVENTS),
            decisions=pa.concat_tables(decisions),
            note=note,
        )

    def _answers(self, as_of: dt.date, tables: Tables) -> Facts:
        last = tables.read("events").agg(F.to_date(F.max("event_ts"))).first()[0]
        start = tables.read("decisions").agg(F.min("decision_date")).first()[0]
        if as_of <= start:
            raise SourceError(
                f"The history in these tables begins on {start}, and as_of is {as_of}.",
                where=f"{tables.catalog}.{tables.schema}",
                hint="choose a later day, or another schema",
            )
        if (as_of - last).days > LONGEST_GAP:
            raise SourceError(
                f"as_of is {as_of}, and the last day in these tables is {last}.",
                where=f"{tables.catalog}.{tables.schema}",
                hint=f"check as_of; at most {LONGEST_GAP} days are simulated at once",
            )
        late = dt.timedelta(days=self.config.engine.reward.matured_after_days)
        first = max(min(last, as_of) - late, start)
        decisions = tables.read("decisions").where(
            (F.col("decision_date") >= F.lit(first - dt.timedelta(days=MEMORY_DAYS)))
            & (F.col("decision_date") < F.lit(as_of))
        )
        names = ("customer_id", "decision_date", "decision_id", "action_id", "channel")
        recent = decisions.select(*names).toArrow().to_pandas()
        days = np.arange(np.datetime64(first), np.datetime64(as_of))
        events, outcomes = self.world.answer(self.all_decisions(recent, days))
        quits = tables.read("events").where("event_type NOT IN ('visit', 'purchase')")
        before = quits.select("customer_id", "event_type").toArrow().to_pandas()
        return Facts(
            customers=self._customers(as_of, [before, events]),
            outcomes=_arrow(_received(outcomes, as_of), OUTCOMES),
            events=_arrow(events, EVENTS),
            decisions=None,
            note=f"the world {self.world.name!r} answered the decisions of "
            f"{first} to {as_of - dt.timedelta(days=1)}",
        )

    def all_decisions(self, recent: pd.DataFrame, days: npt.NDArray[np.datetime64]) -> pd.DataFrame:
        """Every customer's decision on each of these days: no contact where there is no row.

        Args:
            recent: decisions of these days and of the MEMORY_DAYS before them.
            days: (d,) consecutive days.
        """
        people, start = self.world.customers, days[0] - MEMORY_DAYS
        shape = (len(people), MEMORY_DAYS + len(days))
        row = self.world.rows(recent["customer_id"].to_numpy())
        dates = pd.to_datetime(recent["decision_date"]).to_numpy().astype("datetime64[D]")
        column = (dates - start).astype(np.int64)

        def filled(name: str, default: Any) -> npt.NDArray[np.object_]:
            values = np.full(shape, default, dtype=object)
            values[row, column] = recent[name]
            return values

        action = filled("action_id", self.world.catalogue.no_contact)
        decision, channel = filled("decision_id", None), filled("channel", "none")
        days_since = {name: _days_since(channel == name) for name in CHANNELS}
        contacts = np.cumsum(np.pad(channel != "none", ((0, 0), (1, 0))), axis=1, dtype=np.int64)
        parts = []
        for number, day in enumerate(days, start=MEMORY_DAYS):
            here = people.present(day)
            columns: dict[str, Any] = {
                "customer_id": people.customer_id[here],
                "decision_date": np.full(len(here), day.astype("datetime64[ns]")),
                "decision_id": decision[here, number],
                "action_id": action[here, number],
                "contacts_7d": contacts[here, number] - contacts[here, number - MEMORY_DAYS],
            }
            for name, since in days_since.items():
                columns[f"days_since_{name}"] = since[here, number]
            parts.append(pd.DataFrame(columns))
        return pd.concat(parts, ignore_index=True)

    def _customers(self, as_of: dt.date, events: list[pd.DataFrame]) -> pa.Table:
        """The table `customers`, with the consents that these events have left."""
        known = pd.concat([frame[["customer_id", "event_type"]] for frame in events])
        customers = self.world.population(str(as_of), known)
        customers["signup_date"] = customers["signup_date"].dt.date
        return pa.Table.from_pandas(customers, preserve_index=False)


def _days_since(used: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """(n, d) days from the last earlier day on which it was used; NaN where there is none."""
    day = np.arange(used.shape[1])
    last = np.maximum.accumulate(np.where(used, day, -np.inf), axis=1)
    ago = day - np.pad(last[:, :-1], ((0, 0), (1, 0)), constant_values=-np.inf)
    return np.where(np.isfinite(ago), ago, np.nan)


def _received(outcomes: pd.DataFrame, as_of: dt.date) -> pd.DataFrame:
    """The outcomes reported by 00:00 of the day."""
    return outcomes[outcomes["received_ts"] < pd.Timestamp(as_of)]


def _arrow(frame: pd.DataFrame, schema: pa.Schema) -> pa.Table:
    times = frame.select_dtypes("datetime")
    utc = frame.assign(**{str(name): times[name].dt.tz_localize("UTC") for name in times})
    return pa.Table.from_pandas(utc[schema.names], schema=schema, preserve_index=False, safe=False)
