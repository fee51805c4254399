"""LoggedDecisions: what was decided, with which probability, and the reward that followed."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from functools import cached_property
from itertools import chain
from textwrap import shorten
from typing import Any, Union

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from policies import columns as table
from policies.columns import Column, Entries, as_array, by_action, low_high, require
from policies.errors import InvalidLogError

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]
Dates = npt.NDArray[np.datetime64]

PROBABILITIES = ("logged", "estimated", "unknown")
ROUNDING = 1e-6  # what float32 tables and sums over actions may be off by


@dataclass(frozen=True, eq=False, init=False)
class LoggedDecisions:
    """A log of n decisions among k actions; immutable, and checked row by row when it is made.

    Args:
        action_ids: k unique action ids; their order is the order of all (n, k) columns.
        action: (n,) integer index of the action taken.
        action_probability: (n,) in (0, 1], the probability the action was drawn with; None if
            unknown (then only `estimate_probabilities` accepts the log).
        reward: (n,) finite, in reward units.
        eligible: (n, k) bool, the actions that could have been drawn; None = all of them.
        contexts: a DataFrame of n rows (or an Arrow table, which becomes one), what was known before the decision.
        decision_date: (n,) dates; evaluation then looks once per day. A time with a zone counts on
            the date it has there: midnight in Madrid is that day, not the day before.
        customer_id: (n,) ids; intervals are then by customer.
        distribution: (n, k), what was drawn from, when known.
        group: (n,) labels of the experiment group of each row.
        reward_range: (low, high), declared by whoever defines the reward, not read from the data.
        matured_on: (n,) dates, the first day on which the whole reward is known.
        probabilities: where action_probability comes from: "logged", "estimated" or "unknown".

    Arrays are held as read-only views, not copied. The attributes have these names and types;
    `eligible` and `action_probability` are arrays, whatever was given.

    Raises:
        InvalidLogError: naming the broken rule, how many rows break it, and the first of them.
    """

    action_ids: tuple[str, ...]
    action: Ints
    action_probability: Floats
    reward: Floats
    eligible: Bools
    contexts: pd.DataFrame | None
    decision_date: Dates | None
    customer_id: Array | None
    distribution: Floats | None
    group: Array | None
    reward_range: tuple[float, float] | None
    matured_on: Dates | None
    probabilities: str

    def __init__(
        self,
        action_ids: Sequence[str],
        action: npt.ArrayLike,
        action_probability: npt.ArrayLike | None,
        reward: npt.ArrayLike,
        eligible: npt.ArrayLike | pd.DataFrame | None = None,
        contexts: pd.DataFrame | pa.Table | None = None,
        decision_date: Any = None,
        customer_id: Any = None,
        distribution: npt.ArrayLike | pd.DataFrame | None = None,
        group: Any = None,
        reward_range: tuple[float, float] | None = None,
        matured_on: Any = None,
        probabilities: str = "logged",
    ) -> None:
        ids = _action_ids(action_ids)
        _require_given(action=action, reward=reward)
        n, k = len(np.asarray(action)), len(ids)
        if eligible is None:
            eligible = np.ones((n, k), dtype=bool)
        if action_probability is None:  # a placeholder, which "unknown" keeps from being used
            probabilities = "unknown"
            action_probability = 1 / np.maximum(np.sum(eligible, axis=1), 1)
        if probabilities not in PROBABILITIES:
            known = ", ".join(PROBABILITIES)
            raise InvalidLogError(f"probabilities must be one of {known}: {probabilities!r}")
        vars(self).update(
            action_ids=ids,
            action=as_array("action", _whole(action), np.int64, (n,)),
            action_probability=as_array("action_probability", action_probability, float, (n,)),
            reward=as_array("reward", reward, float, (n,)),
            eligible=as_array("eligible", by_action(eligible, ids), bool, (n, k)),
            contexts=_of_length(contexts, n),
            decision_date=as_array("decision_date", decision_date, "datetime64[D]", (n,)),
            customer_id=as_array("customer_id", customer_id, None, (n,)),
            distribution=as_array("distribution", by_action(distribution, ids), float, (n, k)),
            group=as_array("group", group, None, (n,)),
            reward_range=None if reward_range is None else low_high("reward_range", reward_range),
            matured_on=as_array("matured_on", matured_on, "datetime64[D]", (n,)),
            probabilities=probabilities,
        )
        self._check_rows()

    def _check_rows(self) -> None:
        """Raise InvalidLogError for the first invariant that some row breaks."""
        action, probability, reward = self.action, self.action_probability, self.reward
        require((action >= 0) & (action < self.n_actions), "action must index action_ids")
        require(
            (probability > 0) & (probability <= 1 + ROUNDING),
            "action_probability must lie in (0, 1]",
            hint="divide percents by 100; a decision that could not have been drawn, or of unknown"
            " probability, cannot be evaluated",
        )
        require(
            np.isfinite(reward),
            "reward must be a finite number",
            hint="leave out decisions whose reward is not known yet",
        )
        rows = np.arange(len(self))
        require(self.eligible[rows, action], "the action taken must be eligible")
        if self.reward_range is not None:
            low, high = self.reward_range
            slack = ROUNDING * (high - low)
            require(
                (reward >= low - slack) & (reward <= high + slack),
                f"reward must lie in the declared reward_range [{low:g}, {high:g}]",
                hint="declare the range that the reward's definition implies",
            )
        if self.distribution is not None:
            self._check_distribution(self.distribution, rows)
        for name in ("decision_date", "matured_on", "customer_id"):
            if getattr(self, name) is not None:
                require(~pd.isna(getattr(self, name)), f"{name} must not be missing")
        if self.matured_on is not None and self.decision_date is not None:
            require(self.matured_on >= self.decision_date, "matured_on must not precede the date")

    def _check_distribution(self, distribution: Floats, rows: Ints) -> None:
        with np.errstate(invalid="ignore"):
            proper = (distribution >= 0).all(axis=1)
            proper &= np.abs(distribution.sum(axis=1) - 1) <= ROUNDING * self.n_actions
            require(proper, "distribution must be non-negative and sum to 1")
        outside = (distribution > 0) & ~self.eligible
        require(~outside.any(axis=1), "distribution must be 0 where an action is not eligible")
        drawn = distribution[rows, self.action]
        require(
            np.abs(drawn - self.action_probability) <= ROUNDING,
            "distribution at the action must equal action_probability",
            hint="both must be what the action was really drawn from",
        )

    @property
    def n_actions(self) -> int:
        """How many actions the log knows: k."""
        return len(self.action_ids)

    @cached_property
    def choice(self) -> Bools:
        """(n,) bool: rows with at least two eligible actions."""
        if self.eligible.all():  # many times faster than counting them row by row
            return np.full(len(self), self.n_actions >= 2)
        return np.asarray(np.count_nonzero(self.eligible, axis=1) >= 2)

    @cached_property
    def never_drawn(self) -> Bools | None:
        """(n, k) bool: eligible actions that could not be drawn, as far as the log tells; or None.

        With a distribution those of probability 0. Without one those that no choice row has, and
        all others of a row whose action had probability 1.
        """
        if self.distribution is not None:
            never = self.eligible & (self.distribution == 0)
        else:
            drawn = np.bincount(self.action[self.choice], minlength=self.n_actions) > 0
            certain = self.choice & (self.action_probability >= 1 - ROUNDING)
            if (drawn.all() and not certain.any()) or not self.choice.any():
                return None
            never = self.eligible & ~drawn & self.choice[:, None]
            never[certain] = self.eligible[certain]
            never[certain, self.action[certain]] = False
        return never if never.any() else None

    @cached_property
    def customers(self) -> tuple[Array, int]:
        """(n,) index of each row's customer and their number; each row its own without ids."""
        if self.customer_id is None:
            return np.arange(len(self)), len(self)
        codes, seen = pd.factorize(self.customer_id)
        return codes, len(seen)

    def __len__(self) -> int:
        """How many decisions: n."""
        return len(self.action)

    def __str__(self) -> str:
        """What the log holds, in at most ten lines."""
        known = {
            "dates": None if self.decision_date is None else _span(self.decision_date),
            "customers": None if self.customer_id is None else f"{self.customers[1]:,}",
            "contexts": None if self.contexts is None else ", ".join(map(str, self.contexts)),
            "distribution": None if self.distribution is None else "known",
            "reward range": self.reward_range and f"{self.reward_range}, declared",
        }
        drawn = np.bincount(self.action, minlength=self.n_actions)
        counts = ", ".join(f"{name} {n:,}" for name, n in zip(self.action_ids, drawn))
        some = len(self) > 0
        lines = [
            f"{len(self):,} decisions, {int(self.choice.sum()):,} with a choice among"
            f" {self.n_actions} actions",
            f"actions: {shorten(counts, 200, placeholder=' …')}",
            f"reward: mean {self.reward.mean():.6g}" if some else "reward: none",
            f"probabilities: {self.probabilities}"
            + (f", smallest {self.action_probability.min():.3g}" if some else ""),
            *(
                f"{name}: {shorten(said, 200, placeholder=' …')}"
                for name, said in known.items()
                if said
            ),
        ]
        return "\n".join(lines)

    __repr__ = __str__

    def __getitem__(self, rows: Array | Sequence[int] | slice) -> LoggedDecisions:
        """The log of these rows only: a boolean mask, an array of row numbers, or a slice.

        Raises:
            InvalidLogError: a mask of another length, or rows that are not there.
        """
        n = len(self)
        try:
            index = np.arange(n)[rows if isinstance(rows, slice) else np.asarray(rows)]
            if index.ndim != 1:
                raise IndexError(f"{rows!r} is no list")
        except IndexError as error:
            raise InvalidLogError(
                f"these are no rows of a log of {n}: {error}",
                hint=f"a boolean mask of {n}, a list of whole row numbers below {n}, or a slice",
            ) from error
        return self.part(index)

    def part(self, rows: Array | slice) -> LoggedDecisions:
        """The log of these rows, which are not checked again; a slice copies nothing.

        Args:
            rows: numbers of rows that are there, or a slice.
        """
        part = object.__new__(LoggedDecisions)
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, np.ndarray):
                value = value[rows]
                value.flags.writeable = False
            elif isinstance(value, pd.DataFrame):
                value = value.iloc[rows]
                value.index = pd.RangeIndex(len(value))
            vars(part)[field.name] = value
        return part

    def split_by_date(self, date: Any) -> tuple[LoggedDecisions, LoggedDecisions]:
        """The decisions before `date`, and those from then on.

        Raises:
            InvalidLogError: when the log has no decision_date, or this is no date.
        """
        early = self._dates() < to_day(date)
        return self[early], self[~early]

    def matured_before(self, date: Any) -> Bools:
        """(n,) bool: rows whose whole reward is known at `date` 00:00 (matured_on <= date).

        Without matured_on a reward counts as known from the day after its decision.
        """
        return np.asarray(self.known_on <= to_day(date))

    @property
    def known_on(self) -> Dates:
        """(n,) dates, the first on which a row's reward is known.

        `matured_on`; without it the day after the decision.

        Raises:
            InvalidLogError: the log has neither.
        """
        return self._dates() + 1 if self.matured_on is None else self.matured_on

    def _dates(self) -> Dates:
        if self.decision_date is None:
            hint = "give decision_date when the log is made"
            raise InvalidLogError("this log has no dates", hint=hint)
        return self.decision_date

    @classmethod
    def from_frame(
        cls,
        frame: pd.DataFrame | pa.Table,
        action_ids: Sequence[str] | None = None,
        action: Column = "action_id",
        action_probability: Column = "action_probability",
        reward: Column = "reward",
        features: Sequence[str] | None = None,
        decision_date: Column = None,
        customer_id: Column = None,
        eligible: Column = None,
        distribution: Column = None,
        group: Column = None,
        matured_on: Column = None,
        reward_range: tuple[float, float] | None = None,
        decision_id: Column = None,
        repeats: str = "refuse",
        now: Any = None,
        reward_window: int | None = None,
    ) -> LoggedDecisions:
        """A log from a table, one row per decision.

        Args:
            frame: the table, of pandas or of Arrow.
            action_ids: all actions; None = those seen in the action, eligible and distribution
                columns, sorted.
            action: column of action ids.
            action_probability, reward, decision_date, customer_id, group, matured_on: column names;
                action_probability=None where the table does not say.
            features: the columns that become contexts; None = none, and a warning names those that
                are left.
            eligible: column of lists of action ids, or an (n, k) bool array; None = all eligible.
            distribution: column of maps from action id to probability or of arrays in the order of
                action_ids, or an (n, k) array.
            reward_range: declared (low, high).
            decision_id: column of ids; says which rows are one decision.
            repeats: what to do with several rows of one decision: "refuse" them, or "sum" their
                rewards, where all that is named otherwise must be equal.
            now, reward_window: a day's rewards are known `reward_window` days after its end; days
                younger than that by `now` are left out as a whole. Both need decision_date.

        Instead of a column's name an array of n values may be given, in the frame's order; a pandas
        object must have the frame's index, or rows numbered from 0.

        Raises:
            InvalidLogError: a column that is not there, an unknown action, or a broken invariant.
        """
        if not isinstance(frame, (pd.DataFrame, pa.Table)):
            kind = type(frame).__name__
            what = f"from_frame takes a pandas DataFrame or an Arrow table, not a {kind}"
            raise InvalidLogError(what, hint="pd.read_csv(path), or frame.toPandas()")
        _require_given(action=action, reward=reward)
        plain = {
            "action_probability": action_probability,
            "reward": reward,
            "decision_date": decision_date,
            "customer_id": customer_id,
            "group": group,
            "matured_on": matured_on,
        }
        if features is None:
            given = [action, eligible, distribution, decision_id, *plain.values()]
            if left := _others(frame, given):
                what = f"no column is a context, since features is not given: left out are {left}"
                warnings.warn(what, UserWarning, stacklevel=2)
        if decision_id is not None:
            frame = _one_row_a_decision(frame, decision_id, reward, repeats)
        actions = table.read_actions("action", table.take_column(frame, action))
        lists = table.read_lists("eligible", table.take_column(frame, eligible))
        maps = table.read_maps("distribution", table.take_column(frame, distribution))
        ids = _listed(action_ids, (actions, lists, maps))
        made = cls(
            action_ids=ids,
            action=actions.indices(ids),
            eligible=lists.matrix(ids) if isinstance(lists, Entries) else lists,
            contexts=None if features is None else table.take_columns(frame, features),
            distribution=maps.matrix(ids) if isinstance(maps, Entries) else maps,
            reward_range=reward_range,
            **{name: table.take_column(frame, column) for name, column in plain.items()},
        )
        if (now is None) != (reward_window is None):
            raise InvalidLogError("now and reward_window are given together, or neither is")
        return made if reward_window is None else made[made._old_enough(now, reward_window)]

    def _old_enough(self, now: Any, reward_window: int) -> Bools:
        """(n,) bool: rows of days whose rewards are all known."""
        if isinstance(reward_window, bool) or not isinstance(reward_window, (int, np.integer)):
            raise InvalidLogError(
                f"reward_window must be a whole number of days: {reward_window!r}"
            )
        if reward_window < 0:
            raise InvalidLogError(f"reward_window must not be negative: {reward_window}")
        return np.asarray(self._dates() + 1 + reward_window <= to_day(now))


Logs = Union[LoggedDecisions, Iterable[LoggedDecisions]]
"""What a policy learns from: a log, or its parts in order, of which one at a time is in memory."""


def _require_given(**values: Any) -> None:
    """Raise InvalidLogError where something that every log has is None."""
    for name, value in values.items():
        if value is None:
            hint = "a log says what was done, and what came of it"
            raise InvalidLogError(f"{name} must be given", hint=hint)


def _action_ids(action_ids: Sequence[str]) -> tuple[str, ...]:
    ids = tuple(str(action_id) for action_id in action_ids)
    if not ids or len(set(ids)) < len(ids):
        raise InvalidLogError(f"action_ids must be a list of different ids: {action_ids!r}")
    return ids


def _listed(action_ids: Any, columns: Iterable[Any]) -> tuple[str, ...]:
    """The actions that were given, or else all that some column names, sorted."""
    if isinstance(action_ids, str):
        raise InvalidLogError(f"action_ids must be a list of different ids: {action_ids!r}")
    if action_ids is None:
        named = [column.ids for column in columns if isinstance(column, Entries)]
        action_ids = sorted(set(chain.from_iterable(named)), key=_numeric_order)
    return _action_ids(action_ids)


def _one_row_a_decision(
    frame: pd.DataFrame | pa.Table, decision_id: Column, reward: Column, repeats: str
) -> pd.DataFrame | pa.Table:
    """The frame with one row for each decision, whose rewards are summed where that is asked."""
    if repeats not in ("refuse", "sum"):
        raise InvalidLogError(f'repeats must be "refuse" or "sum": {repeats!r}')
    ids = pd.Series(np.asarray(table.take_column(frame, decision_id)))
    require(~ids.isna(), "decision_id must not be missing")
    again = ids.duplicated()
    if not again.any():
        return frame
    if repeats == "refuse":
        hint = 'leave the further rows out, or add up their rewards: repeats="sum"'
        require(~again, "decision_id must be there once", hint=hint)
    if not isinstance(frame, pd.DataFrame) or not isinstance(reward, str):
        what = 'repeats="sum" needs a pandas frame, and reward as the name of a column'
        raise InvalidLogError(what, hint="frame.to_pandas()")
    others = frame.drop(columns=reward).astype(str)
    differs = pd.concat([ids.set_axis(frame.index), others], axis=1).drop_duplicates()
    twice = differs.iloc[:, 0].duplicated()
    if twice.any():
        raise InvalidLogError(
            f"rows of the decision {differs.iloc[:, 0][twice].iloc[0]!r} differ in more than reward",
            hint="rows of one decision have one action, one probability and one context",
        )
    groups = frame[reward].groupby(ids.to_numpy())
    total = groups.sum().where(groups.count() == groups.size())  # one unknown: all unknown
    first = frame[~again.to_numpy()]
    return first.assign(**{reward: total.loc[ids[~again]].to_numpy()})


def _numeric_order(action_id: Any) -> tuple[float, str]:
    """Whole numbers in their order, before names in theirs."""
    text = str(action_id)
    return (float(text) if re.fullmatch(r"-?\d{1,15}", text) else math.inf, text)


def _others(frame: pd.DataFrame | pa.Table, columns: Iterable[Any]) -> list[str]:
    """The names of all columns but these."""
    named = {column for column in columns if isinstance(column, str)}
    return [name for name in table.column_names(frame) if name not in named]


def _span(dates: Dates) -> str:
    return f"{dates.min()} to {dates.max()}, {len(np.unique(dates)):,} days" if len(dates) else ""


def _whole(action: Any) -> Any:
    """The actions, when they are whole numbers."""
    if len(action) and not np.issubdtype(np.asarray(action).dtype, np.integer):
        raise InvalidLogError(
            "action must be an integer index into action_ids",
            hint="LoggedDecisions.from_frame takes a column of action ids",
        )
    return action


def _of_length(contexts: Any, n: int) -> pd.DataFrame | None:
    """The contexts as a frame of n rows, numbered from 0."""
    if contexts is None:
        return None
    frame = table.as_frame(contexts, InvalidLogError)
    if len(frame) != n:
        raise InvalidLogError(f"contexts has {len(frame)} rows, the log has {n}")
    return frame.set_axis(pd.RangeIndex(n))


def to_day(date: Any) -> np.datetime64:
    """One date as datetime64[D].

    Raises:
        InvalidLogError: it cannot be read as a date.
    """
    with suppress(InvalidLogError):
        day: np.datetime64 = as_array("the date", [date], "datetime64[D]", (1,))[0]
        if not np.isnat(day):
            return day
    raise InvalidLogError(f"{date!r} is no date", hint='"2026-01-31", or a datetime.date')
