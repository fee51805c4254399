"""Simulated customers: the table `customers`, and latent parts for the simulator only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from policies.deciding.groups import hashed_ids, uniforms

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

TRAITS = {
    "age_band": {"18-29": 0.25, "30-44": 0.3, "45-59": 0.25, "60+": 0.2},
    "region": {"north": 0.3, "south": 0.25, "east": 0.25, "west": 0.2},
    "plan": {"basic": 0.5, "plus": 0.3, "premium": 0.2},
}
"""Shares of each value; every trait is drawn independently of the others."""

CONSENT = {"email": 0.85, "sms": 0.6, "push": 0.7, "phone": 0.5}
"""Share of customers who may be contacted on each channel."""

CHANNELS = tuple(CONSENT)

LAST_SIGNUP = np.datetime64("2025-12-31")  # of the customers of the first day
SIGNUP_DAYS = 1500  # days before it over which they signed up, evenly
YEAR = 365  # days over which new customers sign up, evenly
NEVER = np.datetime64("2262-01-01")

ORGANIC = (0.04, 0.12)  # lowest and highest daily visit probability without any contact
PLAN_PART = 0.4  # share of the spread of ORGANIC that the plan explains; the rest is latent
TASTE = 0.8  # a customer's taste for an action lies within 1 ± TASTE, mean 1


@dataclass(frozen=True, eq=False)
class Population:
    """n customers of one seed; customer i does not depend on who else is in the population.

    Args:
        seed: seed of the attributes and of the latent tastes.
        turnover: share of the customers who leave in a year.
        customer_id: (n,) ids.
        signup_date: (n,) datetime64[D].
        left_on: (n,) datetime64[D], the first day without the customer; `NEVER` for those who stay.
        traits: name of `TRAITS` -> (n,) codes in the order of its values.
        consent: channel of `CONSENT` -> (n,) bool.
        organic: (n,) latent daily visit probability without contact, before season and weekday.
        hashes: (n,) hashes of the ids; they seed all draws.
    """

    seed: int
    turnover: float
    customer_id: Array
    signup_date: npt.NDArray[np.datetime64]
    left_on: npt.NDArray[np.datetime64]
    traits: dict[str, Ints]
    consent: dict[str, Bools]
    organic: Floats
    hashes: npt.NDArray[np.uint64]

    @classmethod
    def of(cls, seed: int, n: int, turnover: float = 0.0, first: int = 0) -> Population:
        """The customers numbered first … n - 1 of a seed.

        Args:
            seed: any.
            n: one more than the last number.
            turnover: share of the customers who leave in a year, at a constant rate; as many join.
            first: the first number.
        """
        ids = np.array([f"C{number:07d}" for number in range(first, n)], dtype=object)
        hashes = hashed_ids(ids)

        def uniform(salt: str) -> Floats:
            return uniforms(hashes, None, f"customers:{salt}:{seed}")

        traits = {}
        for name, shares in TRAITS.items():
            edges = np.cumsum(list(shares.values()))[:-1]
            traits[name] = np.searchsorted(edges, uniform(name), side="right").astype(np.int64)
        level = PLAN_PART * traits["plan"] / (len(TRAITS["plan"]) - 1)
        organic = level + (1 - PLAN_PART) * uniform("organic")
        signup = LAST_SIGNUP - np.floor(uniform("signup") * SIGNUP_DAYS).astype(np.int64)
        left = np.full(len(ids), NEVER)
        if turnover:
            new = np.flatnonzero(uniform("new") < turnover / (1 + turnover))
            signup[new] = LAST_SIGNUP + np.ceil(uniform("signup")[new] * YEAR).astype(np.int64)
            stays = -np.log1p(-uniform("stay")) / turnover * YEAR
            left = np.maximum(signup, LAST_SIGNUP) + np.ceil(stays).astype(np.int64) + 1
        return cls(
            seed=seed,
            turnover=turnover,
            customer_id=ids,
            signup_date=signup,
            left_on=left,
            traits=traits,
            consent={name: uniform(f"consent:{name}") < share for name, share in CONSENT.items()},
            organic=ORGANIC[0] + (ORGANIC[1] - ORGANIC[0]) * organic,
            hashes=hashes,
        )

    def __len__(self) -> int:
        """The number of customers, n."""
        return len(self.customer_id)

    def here(self, rows: Ints, dates: Any) -> Bools:
        """(m,) bool: whether these customers had signed up before the date and not left.

        Args:
            rows: (m,) places in the population.
            dates: (m,) datetime64[D], or one date for all.
        """
        return np.asarray((self.signup_date[rows] < dates) & (dates < self.left_on[rows]))

    def present(self, date: np.datetime64) -> Ints:
        """(m,) places of the customers who are there on `date`."""
        return np.flatnonzero((self.signup_date < date) & (date < self.left_on))

    def part(self, first: int, last: int) -> Population:
        """The customers at places first … last - 1, as a population of their own."""

        def rows_of(value: Any) -> Any:
            if isinstance(value, dict):
                return {name: rows_of(column) for name, column in value.items()}
            return value[first:last] if isinstance(value, np.ndarray) else value

        return Population(**{name: rows_of(value) for name, value in vars(self).items()})

    def tastes(self, action_ids: Sequence[str]) -> Floats:
        """(n, k) latent factors on the uplift of each action: independent, of mean 1."""
        draws = [
            uniforms(self.hashes, None, f"customers:taste:{action_id}:{self.seed}")
            for action_id in action_ids
        ]
        return 1 + TASTE * (2 * np.column_stack(draws) - 1)

    def frame(self) -> pd.DataFrame:
        """The table `customers`: nothing latent; signup_date is datetime64[ns] at midnight."""
        columns: dict[str, Any] = {
            "customer_id": self.customer_id,
            "signup_date": self.signup_date.astype("datetime64[ns]"),
        }
        for name, codes in self.traits.items():
            columns[name] = np.array(list(TRAITS[name]), dtype=object)[codes]
        columns.update({f"consent_{name}": given for name, given in self.consent.items()})
        return pd.DataFrame(columns)
