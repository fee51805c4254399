"""LoggedDecisions: what was decided, with which probability, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from policies.columns import (
    Column,
    action_indices,
    action_lists,
    as_array,
    by_action,
    distribution_matrix,
    eligible_matrix,
    known_column,
    probability_maps,
    require,
    taker,
)
from policies.errors import InvalidLogError, did_you_mean

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]

PROBABILITIES = ("logged", "estimated", "unknown")
ROUNDING = 1e-6  # what float32 tables and sums over actions may be off by


@dataclass(frozen=True, eq=False)
class LoggedDecisions:
    """A log of n decisions among k actions; immutable, and checked row by row when it is made.

    Args:
        action_ids: k unique action ids; their order is the order of all (n, k) columns.
        action: (n,) integer index of the action taken.
        action_probability: (n,) in (0, 1], the probability the action was drawn with; None where
            nobody knows it, and then only `estimate_probabilities` can use the log.
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

    Arrays are held as read-only views, not copied.

    Raises:
        InvalidLogError: naming the broken rule, how many rows break it, and the first of them.
    """

    action_ids: tuple[str, ...]
    action: Ints
    action_probability: Floats  # None only on the way in
    reward: Floats
    eligible: Bools = None  # type: ignore[assignment]  # likewise
    contexts: pd.DataFrame | None = None
    decision_date: npt.NDArray[np.datetime64] | None = None
    customer_id: Array | None = None
    distribution: Floats | None = None
    group: Array | None = None
    reward_range: tuple[float, float] | None = None
    matured_on: npt.NDArray[np.datetime64] | None = None
    probabilities: str = "logged"

    def __post_init__(self) -> None:
        """Bring every field to its type, then check what they say together."""
        ids = tuple(str(each) for each in self.action_ids)
        for name in ("action", "reward"):
            _given(name, getattr(self, name))
        n, k = len(self.action), len(ids)
        if not k or len(set(ids)) < k:
            raise InvalidLogError(f"action_ids must be unique and not empty: {ids}")
        if not np.issubdtype(np.asarray(self.action).dtype, np.integer) and n:
            raise InvalidLogError(
                "action must be an integer index into action_ids",
                hint="LoggedDecisions.from_frame takes a column of action ids",
            )
        eligible = np.ones((n, k), dtype=bool) if self.eligible is None else self.eligible
        if self.action_probability is None:  # a stand-in: "unknown" keeps it from being used
            object.__setattr__(self, "probabilities", "unknown")
            object.__setattr__(
                self, "action_probability", 1 / np.maximum(np.sum(eligible, axis=1), 1)
            )
        if self.probabilities not in PROBABILITIES:
            raise InvalidLogError(
                f"probabilities must be one of {', '.join(PROBABILITIES)}: {self.probabilities!r}"
            )
        eligible, distribution = (by_action(each, ids) for each in (eligible, self.distribution))
        typed: dict[str, Any] = {
            "action": as_array("action", self.action, np.int64, (n,)),
            "action_probability": as_array(
                "action_probability", self.action_probability, np.float64, (n,)
            ),
            "reward": as_array("reward", self.reward, np.float64, (n,)),
            "eligible": as_array("eligible", eligible, np.bool_, (n, k)),
            "decision_date": as_array("decision_date", self.decision_date, "datetime64[D]", (n,)),
            "matured_on": as_array("matured_on", self.matured_on, "datetime64[D]", (n,)),
            "customer_id": as_array("customer_id", self.customer_id, None, (n,)),
            "distribution": as_array("distribution", distribution, np.float64, (n, k)),
            "group": as_array("group", self.group, None, (n,)),
        }
        typed["action_ids"] = ids
        if isinstance(self.contexts, pa.Table):
            object.__setattr__(self, "contexts", self.contexts.to_pandas())
        if self.contexts is not None:
            if not isinstance(self.contexts, pd.DataFrame):
                raise InvalidLogError(
                    f"contexts must be a DataFrame, not a {type(self.contexts).__name__}",
                    hint="pd.DataFrame(array, columns=[…]) names what was known",
                )
            if len(self.contexts) != n:
                raise InvalidLogError(f"contexts has {len(self.contexts)} rows, the log has {n}")
            typed["contexts"] = self.contexts.copy(deep=False)
            typed["contexts"].index = pd.RangeIndex(n)
        if self.reward_range is not None:
            try:
                low, high = (float(each) for each in self.reward_range)
            except (TypeError, ValueError) as error:
                raise InvalidLogError(
                    f"reward_range must be (low, high), not {self.reward_range!r}"
                ) from error
            if not (np.isfinite([low, high]).all() and low < high):
                raise InvalidLogError(
                    f"reward_range must be (low, high), low < high: {(low, high)}"
                )
            typed["reward_range"] = (low, high)
        for name, value in typed.items():
            object.__setattr__(self, name, value)
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
            value = getattr(self, name)
            if value is not None:
                require(~pd.isna(value), f"{name} must not be missing")
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

        With a distribution those of probability 0, without one those that no choice row took.
        """
        if self.distribution is not None:
            never = self.eligible & (self.distribution == 0)
        else:
            taken = np.bincount(self.action[self.choice], minlength=self.n_actions) > 0
            if taken.all() or not self.choice.any():
                return None
            never = self.eligible & ~taken & self.choice[:, None]
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

    def __getitem__(self, rows: Array | Sequence[int] | slice) -> LoggedDecisions:
        """The log of these rows only: a boolean mask, an array of row numbers, or a slice.

        Raises:
            InvalidLogError: a mask of another length, or rows that are not there.
        """
        try:
            index = np.arange(len(self))[rows if isinstance(rows, slice) else np.asarray(rows)]
        except IndexError as error:
            raise _no_rows(len(self), str(error)) from error
        if index.ndim != 1:
            raise _no_rows(len(self), f"{rows!r} is no list")
        kept: dict[str, Any] = {}
        for name in (each.name for each in fields(self)):
            value = getattr(self, name)
            if isinstance(value, np.ndarray):
                value = value[index]
            elif isinstance(value, pd.DataFrame):
                value = value.iloc[index]
            kept[name] = value
        return LoggedDecisions(**kept)

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
    def known_on(self) -> npt.NDArray[np.datetime64]:
        """(n,) dates, the first on which a row's reward is known.

        `matured_on`; without it the day after the decision.

        Raises:
            InvalidLogError: the log has neither.
        """
        return self._dates() + 1 if self.matured_on is None else self.matured_on

    def _dates(self) -> npt.NDArray[np.datetime64]:
        if self.decision_date is None:
            raise InvalidLogError(
                "this log has no dates", hint="give decision_date when the log is made"
            )
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
    ) -> LoggedDecisions:
        """A log from a table, one row per decision.

        Args:
            frame: the table, of pandas or of Arrow.
            action_ids: all actions; None = those seen in the action, eligible and distribution
                columns, sorted.
            action: column of action ids.
            action_probability, reward, decision_date, customer_id, group, matured_on: column names;
                action_probability=None where the table does not say.
            features: the columns that become contexts; None = all that are not named otherwise.
            eligible: column of lists of action ids, or an (n, k) bool array; None = all eligible.
            distribution: column of maps from action id to probability or of arrays in the order of
                action_ids, or an (n, k) array.
            reward_range: declared (low, high).

        Wherever a column's name is taken, an array of n values is too, in the frame's order; a
        pandas object must have the frame's index, or rows numbered from 0.

        Raises:
            InvalidLogError: a column that is not there, an unknown action, or a broken invariant.
        """
        if isinstance(frame, pa.Table):
            frame = frame.to_pandas()
        if not isinstance(frame, pd.DataFrame):
            raise InvalidLogError(
                f"from_frame takes a pandas DataFrame or an Arrow table, not a {type(frame).__name__}",
                hint="pd.read_csv(path), or frame.toPandas()",
            )
        if action_ids is not None and (
            isinstance(action_ids, str) or len(set(action_ids)) < len(list(action_ids))
        ):
            raise InvalidLogError(f"action_ids must be a list of different ids: {action_ids!r}")
        if isinstance(action_probability, str) and action_probability not in frame.columns:
            raise InvalidLogError(
                f"no column {action_probability!r} in the frame",
                hint=did_you_mean(action_probability, frame.columns)
                or "name the column, or pass None where nobody knows the probabilities",
            )
        taken = taker(frame)
        for name, column in (("action", action), ("reward", reward)):
            _given(name, column)
        chosen = pd.Series(taken(action)).astype(object)
        lists = action_lists(taken(eligible))
        maps = probability_maps(taken(distribution))
        if action_ids is None:
            seen = set(chosen.dropna().astype(str).unique())
            seen |= set() if isinstance(lists, np.ndarray) or lists is None else set(lists[1])
            seen |= set(maps) if isinstance(maps, Mapping) else set()
            action_ids = sorted(seen)
        ids = tuple(str(each) for each in action_ids)
        scores = (action, action_probability, reward, distribution, eligible)
        keys = (decision_date, customer_id, group, matured_on)
        named = {each for each in (*scores, *keys) if isinstance(each, str)}
        columns = [each for each in frame.columns if each not in named]
        columns = columns if features is None else [known_column(frame, each) for each in features]
        return cls(
            action_ids=ids,
            action=action_indices(chosen, ids),
            action_probability=taken(action_probability),
            reward=taken(reward),
            eligible=eligible_matrix(lists, ids, len(frame)),
            contexts=frame[columns],
            decision_date=taken(decision_date),
            customer_id=taken(customer_id),
            distribution=distribution_matrix(maps, ids),
            group=taken(group),
            reward_range=reward_range,
            matured_on=taken(matured_on),
        )


def _given(name: str, value: Any) -> None:
    """Raise InvalidLogError where something that every log has is None."""
    if value is None:
        raise InvalidLogError(
            f"{name} must be given", hint="a log says what was done, and what came of it"
        )


def _no_rows(n: int, why: str) -> InvalidLogError:
    return InvalidLogError(
        f"these are no rows of a log of {n}: {why}",
        hint=f"a boolean mask of {n}, a list of whole row numbers below {n}, or a slice",
    )


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
