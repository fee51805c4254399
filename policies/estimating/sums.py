"""Partial sums of an estimate: what parts of a log add up to, so that the whole need not meet."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import special

from policies.estimating.estimators import Estimator
from policies.estimating.rows import EvaluationRows
from policies.log import Array, Bools, Floats

COLUMNS = ("n", "direct", "gain", "scale")  # per customer: rows, Σ d, Σ u, Σ v (Estimator.parts)
WEIGHTS = ("n_choice", "weight", "weight_square", "max_weight")  # of choice rows


@dataclass(frozen=True, eq=False)
class CustomerSums:
    """Sums per customer; those of the same customer in different parts add up.

    Attributes:
        key: (g,) the customer of each row; equal keys may stand in several parts.
        columns: (g, 4) sums of COLUMNS.
        weights: (g, 4) WEIGHTS: sums, and the maximum in the last.
    """

    key: Array
    columns: Floats
    weights: Floats

    @classmethod
    def of(
        cls, batch: EvaluationRows, choice: Bools, key: Array, estimator: Estimator
    ) -> CustomerSums:
        """The sums of a batch's rows by `key` (n,).

        The estimator's parameters must be given: what it would choose by n differs between parts.
        """
        order = np.argsort(key, kind="stable")
        keys, starts = np.unique(key[order], return_index=True)
        direct, gain, scale = estimator.parts(batch)
        weight = np.where(choice, batch.weight, 0.0)
        rows = np.column_stack(
            [np.ones(len(key)), direct, gain, scale, choice, weight, weight * weight]
        )[order]
        summed = np.add.reduceat(rows, starts) if len(keys) else np.zeros((0, 7))
        most = np.maximum.reduceat(weight[order], starts) if len(keys) else np.zeros(0)
        return cls(keys, summed[:, :4], np.column_stack([summed[:, 4:], most]))

    def __add__(self, other: CustomerSums) -> CustomerSums:
        """The sums of both parts."""
        keys, place = np.unique(np.concatenate([self.key, other.key]), return_inverse=True)
        columns = np.zeros((len(keys), 4))
        np.add.at(columns, place, np.vstack([self.columns, other.columns]))
        both, weights = np.vstack([self.weights, other.weights]), np.zeros((len(keys), 4))
        np.add.at(weights[:, :3], place, both[:, :3])
        np.maximum.at(weights[:, 3], place, both[:, 3])
        return CustomerSums(keys, columns, weights)

    def sums(self) -> Sums:
        """What all customers add up to."""
        return Sums(
            customers=len(self.key),
            total=self.columns.sum(axis=0),
            square=self.columns.T @ self.columns,
            weights=np.append(
                self.weights[:, :3].sum(axis=0), self.weights[:, 3].max(initial=-np.inf)
            ),
        )


@dataclass(frozen=True, eq=False)
class Sums:
    """One estimator's sums over customers; those over different customers add up.

    Rewards of 10⁷ times their spread lose the error in rounding; take a constant off them first.

    Attributes:
        customers: how many.
        total: (4,) Σ of COLUMNS over customers.
        square: (4, 4) Σ over customers of the outer products of COLUMNS.
        weights: (4,) WEIGHTS over all rows.
    """

    customers: int
    total: Floats
    square: Floats
    weights: Floats

    def __add__(self, other: Sums) -> Sums:
        """The sums over both; no customer may be in both."""
        return Sums(
            self.customers + other.customers,
            self.total + other.total,
            self.square + other.square,
            np.append(self.weights[:3] + other.weights[:3], max(self.weights[3], other.weights[3])),
        )

    def row(self, confidence: float = 0.95) -> dict[str, float]:
        """value, std_error (by customer), a normal interval and diagnostics, as in `evaluate`."""
        n, direct, gain, scale = self.total
        ratio = gain / scale if scale > 0 else math.nan
        value = direct / n + ratio
        # A customer's contributions less the value, as a combination of its COLUMNS.
        by_column = np.array([-direct / n, 1.0, n / scale, -ratio * n / scale])
        spread = max(float(by_column @ self.square @ by_column), 0.0)
        error, n_choice, weight = math.nan, self.weights[0], self.weights[1]
        if self.customers > 1 and (weight or not n_choice):
            error = math.sqrt(spread * self.customers / (self.customers - 1)) / n
        half = float(special.ndtri((1 + confidence) / 2)) * error
        square, most = self.weights[2:]
        return {
            "value": float(value),
            "std_error": error,
            "low": float(value - half),
            "high": float(value + half),
            "n": int(n),
            "n_choice": int(n_choice),
            "effective_n": float(weight**2 / square) if square else 0.0,
            "max_weight": float(most) if n_choice else math.nan,
            "mean_weight": float(weight / n_choice) if n_choice else math.nan,
        }


def segment_sums(
    batch: EvaluationRows, choice: Bools, customers: Array, segments: Array, estimator: Estimator
) -> Iterator[tuple[int, Sums]]:
    """Each segment's number and sums; `segments` (n,) and `customers` (n,) are integer codes."""
    count = int(customers.max(initial=0)) + 1
    cells = CustomerSums.of(batch, choice, segments * count + customers, estimator)
    for segment in np.unique(cells.key // count):
        rows = cells.key // count == segment
        part = CustomerSums(cells.key[rows], cells.columns[rows], cells.weights[rows])
        yield int(segment), part.sums()
