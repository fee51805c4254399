"""The simulated source: a world that answers the decisions that were really taken."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any, Optional

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
from pyspark.sql import functions as F

from engine.config import Config, Parameters
from engine.data.decisions import Author, day_of, decision_rows
from engine.data.sources import EVENTS, OUTCOMES, Facts
from engine.errors import SourceError
from policies.deciding.groups import Groups
from simulation import World
from simulation.customers import CHANNELS

if TYPE_CHECKING:
    from engine.data.tables import Tables

MEMORY_DAYS = 7  # of contacts that a customer's answer depends on


class Simulated:
    """A world as a source of facts.

    The first day brings a past in which the business rules decided, with exploration. From then
    on the world answers what stands in `decisions`; a customer without a decision was left alone.

    Args:
        world: who answers.
        config: the groups and the floor with which the past was decided.
        history_days: how many days of past the first day brings.
    """

    name = "simulation"
    attributes = None
    last_day = None

    def __init__(self, world: World, config: Config, history_days: int) -> None:
        self.world, self.config, self.history_days = world, config, history_days

    def fetch(self, parameters: Parameters, tables: Tables) -> Facts:
        """Everything known by `parameters.as_of` 00:00 UTC that may not be in the tables yet.

        Raises:
            SourceError: the day lies before the history that the tables hold.
        """
        if not tables.exists("events") or tables.read("decisions").isEmpty():
            return self._past(parameters.as_of)
        return self._answers(parameters.as_of, tables)

    def _past(self, as_of: dt.date) -> Facts:
        start = as_of - dt.timedelta(days=self.history_days)
        shares = self.config.engine.groups
        groups = Groups(uniform=shares.uniform, holdout=shares.holdout)
        author = Author("baseline:business_rules", "", "", "history")
        events, outcomes, decisions = [self.world.burn_in(str(start))], [], []
        floor = self.config.engine.exploration.floor
        for day in self.world.run(self.history_days, str(start), floor=floor, groups=groups):
            customer = day.contexts["customer_id"].to_numpy()
            dates = day_of(day.date.astype(object), len(customer))
            made = decision_rows(customer, dates, day.decisions, self.world.catalogue, author)
            decisions.append(made)
            events.append(day.events)
            outcomes.append(day.outcomes)
        facts = pd.concat(events), _received(pd.concat(outcomes), as_of)
        taken = pa.concat_tables(decisions)
        note = (
            f"the world {self.world.name!r} with {self.history_days} days of past, "
            "decided by the business rules with exploration"
        )
        return self._facts(*facts, taken, note, as_of)

    def _answers(self, as_of: dt.date, tables: Tables) -> Facts:
        last = tables.read("events").agg(F.to_date(F.max("event_ts"))).first()[0]
        start = tables.read("decisions").agg(F.min("decision_date")).first()[0]
        if as_of <= start:
            raise SourceError(
                f"The history in these tables begins on {start}, and as_of is {as_of}.",
                where=f"{tables.catalog}.{tables.schema}",
                hint="choose a later day, or another schema",
            )
        late = dt.timedelta(days=self.config.engine.reward.matured_after_days)
        first = max(min(last, as_of) - late, start)
        decisions = tables.read("decisions").where(
            (F.col("decision_date") >= F.lit(first - dt.timedelta(days=MEMORY_DAYS)))
            & (F.col("decision_date") < F.lit(as_of))
        )
        names = ("customer_id", "decision_date", "decision_id", "action_id", "channel")
        taken = decisions.select(*names).toArrow().to_pandas()
        asked = self.asked(taken, np.arange(np.datetime64(first), np.datetime64(as_of)))
        events, outcomes = self.world.answer(asked)
        days = f"{first} to {as_of - dt.timedelta(days=1)}"
        note = f"the world {self.world.name!r} answered the decisions of {days}"
        quits = tables.read("events").where("event_type NOT IN ('visit', 'purchase')")
        known = quits.select("customer_id", "event_type").toArrow().to_pandas()
        return self._facts(events, _received(outcomes, as_of), None, note, as_of, known)

    def asked(self, taken: pd.DataFrame, days: npt.NDArray[np.datetime64]) -> pd.DataFrame:
        """What every customer was given on each of these days, no contact where nothing is said.

        Args:
            taken: decisions of these days and of the MEMORY_DAYS before them.
            days: (d,) consecutive days.
        """
        people = self.world.customers
        start = days[0] - MEMORY_DAYS
        width, n = MEMORY_DAYS + len(days), len(people)
        row = self.world.rows(taken["customer_id"].to_numpy())
        column = (
            pd.to_datetime(taken["decision_date"]).to_numpy().astype("datetime64[D]") - start
        ).astype(np.int64)
        channel = np.full((n, width), "none", dtype=object)
        channel[row, column] = taken["channel"]
        contact = (channel != "none").astype(np.int64)
        last = {each: _last_day(channel == each) for each in CHANNELS}
        before = np.cumsum(np.pad(contact, ((0, 0), (1, 0))), axis=1)
        action = np.full((n, width), self.world.catalogue.no_contact, dtype=object)
        decision = np.full((n, width), None, dtype=object)
        action[row, column] = taken["action_id"]
        decision[row, column] = taken["decision_id"]
        parts = []
        for number, day in enumerate(days, start=MEMORY_DAYS):
            here = people.present(day)
            columns: dict[str, Any] = {
                "customer_id": people.customer_id[here],
                "decision_date": np.full(len(here), day.astype("datetime64[ns]")),
                "decision_id": decision[here, number],
                "action_id": action[here, number],
                "contacts_7d": before[here, number] - before[here, number - MEMORY_DAYS],
            }
            for each, days_ago in last.items():
                columns[f"days_since_{each}"] = days_ago[here, number]
            parts.append(pd.DataFrame(columns))
        return pd.concat(parts, ignore_index=True)

    def _facts(
        self,
        events: pd.DataFrame,
        outcomes: pd.DataFrame,
        decisions: Any,
        note: str,
        as_of: dt.date,
        known: Optional[pd.DataFrame] = None,
    ) -> Facts:
        """Facts as Arrow tables; `known` are events of before that changed somebody's consent."""
        told = pd.concat([known, events[["customer_id", "event_type"]]])
        customers = self.world.population(str(as_of), told)
        customers["signup_date"] = customers["signup_date"].dt.date
        return Facts(
            customers=pa.Table.from_pandas(customers, preserve_index=False),
            events=_arrow(events, EVENTS),
            outcomes=_arrow(outcomes, OUTCOMES),
            decisions=decisions,
            note=note,
        )


def _last_day(used: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """(n, d) days since the last day before each one on which it was used; NaN where none was."""
    day = np.arange(used.shape[1])
    last = np.maximum.accumulate(np.where(used, day, -np.inf), axis=1)
    ago = day - np.pad(last[:, :-1], ((0, 0), (1, 0)), constant_values=-np.inf)
    return np.where(np.isfinite(ago), ago, np.nan)


def _received(outcomes: pd.DataFrame, as_of: dt.date) -> pd.DataFrame:
    """Only what had been reported by 00:00 of the day."""
    return outcomes[outcomes["received_ts"] < pd.Timestamp(as_of)]


def _arrow(frame: pd.DataFrame, schema: pa.Schema) -> pa.Table:
    utc = frame.assign(
        **{
            name: frame[name].dt.tz_localize("UTC")
            for name in frame.columns
            if pd.api.types.is_datetime64_dtype(frame[name])
        }
    )
    return pa.Table.from_pandas(utc[schema.names], schema=schema, preserve_index=False, safe=False)
