"""The parts of an estimate, and the mergeable sums that give its value and its error."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Optional

import numpy as np

from policies.estimating.rows import EvaluationRows
from policies.log import Array, Bools, Floats

Customers = tuple[Array, int]  # (n,) index of each row's customer, and how many there are


class Parts(NamedTuple):
    """An estimate row by row: mean(direct), and for a ratio + Σ weighted / Σ weight.

    Attributes:
        direct: (n,) contributions, or the part of them that is no ratio; None = 0 in every row.
        weighted, weight: (n,) of a ratio; None where there is none.
    """

    direct: Any = None
    weighted: Optional[Floats] = None
    weight: Optional[Floats] = None


@dataclass(frozen=True, eq=False)
class Sums:
    """An estimate's parts, summed over units: rows, or all rows of a customer. Sums add up.

    N, D, U and V are a unit's number of rows and its sums of direct, weighted and weight;
    a = ΣD / ΣN and ρ = ΣU / ΣV. Without a ratio U is 0 and V is N.
    Products are of numbers whose sum over units is 0, so nothing cancels, however far rewards lie
    from 0. Two sums merge by moving both to the common a and ρ (Chan, Golub & LeVeque 1983).

    Attributes:
        units: how many.
        totals: (4,) ΣN, ΣD, ΣU, ΣV.
        products: (4, 4) Σ over units of the products of (N, D − a·N, U − ρ·V, V).
    """

    units: int
    totals: Any
    products: Any

    @classmethod
    def of(cls, parts: Parts, customers: Customers | None = None) -> Sums:
        """The sums of these rows, each a unit, or of their customers."""
        if customers is not None:
            return cls.of_units(unit_totals(parts, customers))
        direct, weighted, weight = parts
        n: Any = len(direct if weight is None else weight)
        v = vv = n
        d = u = dd = de = dv = ee = ev = 0.0
        if direct is not None:
            d = np.add.reduce(direct)
            off = direct - d / max(n, 1)
            dd = _dot(off, off)
        if weight is not None and weighted is not None:
            u, v = np.add.reduce(weighted), np.add.reduce(weight)
            away = weight * (-u / v if v > 0 else 0.0)
            away += weighted
            ee, ev, vv = _dot(away, away), _dot(away, weight), _dot(weight, weight)
            if direct is not None:
                de, dv = _dot(off, away), _dot(off, weight)
        products = ((n, 0.0, 0.0, v), (0.0, dd, de, dv), (0.0, de, ee, ev), (v, dv, ev, vv))
        return cls(n, (n, d, u, v), products)

    @classmethod
    def of_units(cls, totals: Floats) -> Sums:
        """The sums over g units, from each one's N, D, U and V: (4, g)."""
        rows, direct, weighted, weight = totals
        whole = totals.sum(axis=1)
        mean, ratio = _centres(whole)
        columns = np.stack([rows, direct - mean * rows, weighted - ratio * weight, weight])
        return cls(len(rows), whole, np.einsum("ig,jg->ij", columns, columns))

    @classmethod
    def merged(cls, parts: Sequence[Sums]) -> Sums:
        """The sums over all units of several; no unit may be in two of them."""
        totals = np.array([part.totals for part in parts])
        products = np.array([part.products for part in parts])
        whole = totals.sum(axis=0)
        (means, ratios), (mean, ratio) = _centres(totals), _centres(whole)
        move = np.zeros((len(parts), 4, 4)) + np.eye(4)
        move[:, 1, 0], move[:, 2, 3] = means - mean, ratios - ratio
        moved = move @ products @ move.transpose(0, 2, 1)
        return cls(sum(part.units for part in parts), whole, moved.sum(axis=0))

    def __add__(self, other: Sums) -> Sums:
        """The sums over both; no unit may be in both."""
        return Sums.merged([self, other])

    @property
    def mean(self) -> float:
        """a, the mean of the direct parts."""
        return float(_centres(self.totals)[0])

    @property
    def ratio(self) -> float:
        """ρ = Σ weighted / Σ weight; NaN without weight."""
        return float(_centres(self.totals)[1]) if self.totals[3] > 0 else math.nan

    @property
    def value(self) -> float:
        """The estimate."""
        return self.mean + self.ratio

    @property
    def square(self) -> float:
        """Σ over units of the squared sum of its contributions less the value."""
        scale = self.totals[0] / self.totals[3] if self.totals[3] > 0 else math.nan
        _, (_, dd, de, _), (_, _, ee, _), _ = self.products
        return max(float(dd + 2 * scale * de + scale**2 * ee), 0.0)

    @property
    def std_error(self) -> float:
        """Standard error of the value, units being independent; NaN with a single one.

        sqrt(Σ_g (Σ_{i in g} (x_i − mean))² · G / (G − 1)) / n over G units (Liang & Zeger 1986).
        """
        if self.units < 2:
            return math.nan
        return math.sqrt(self.square * self.units / (self.units - 1)) / float(self.totals[0])


def _dot(one: Floats, other: Floats) -> float:
    return np.einsum("n,n->", one, other)  # type: ignore[no-any-return]


def _centres(totals: Any) -> tuple[Floats, Floats]:
    """a and ρ of totals (4,) or (m, 4); 0 where there is nothing."""
    rows, direct, weighted, weight = np.asarray(totals).T
    return direct / np.maximum(rows, 1), weighted / np.where(weight > 0, weight, 1.0)


def unit_totals(parts: Parts, customers: Customers) -> Floats:
    """(4, g) N, D, U and V of each customer; see `Sums`."""
    codes, count = customers
    totals = np.zeros((4, count))
    totals[0] = totals[3] = np.bincount(codes, minlength=count)
    for total, column in zip(totals[1:], parts):
        if column is not None:
            total[:] = np.bincount(codes, column, minlength=count)
    return totals


def contributions(parts: Parts, sums: Sums | None = None) -> Floats:
    """(n,) contributions of some rows, linearised around the sums of all: their mean is the value.

    direct + ρ + (weighted − ρ·weight)·n / Σ weight, whose spread is the large-sample error.

    Args:
        parts: of these rows.
        sums: over all rows; needed where there are weights.
    """
    if parts.weight is None or parts.weighted is None or sums is None:
        return parts.direct  # type: ignore[no-any-return]
    terms = parts.weighted - sums.ratio * parts.weight
    terms *= sums.totals[0] / sums.totals[3] if sums.totals[3] > 0 else math.nan
    terms += sums.ratio if parts.direct is None else parts.direct + sums.ratio
    return terms


class WeightSums(NamedTuple):
    """What rows say of their weights and of the reward model, summed; see `merged`.

    Attributes:
        n, n_choice: rows, and those with a choice; all but `unsupported` is of the latter.
        weight, weight_square, max_weight: Σ w, Σ w² and the largest w.
        unsupported: Σ of the target's share on actions that the logger never draws there.
        residual_square: Σ (r − q(A))²; NaN without a reward model.
        reward, reward_square: Σ r and Σ (r − mean r)²; 0 without a reward model.
    """

    n: float
    n_choice: float
    weight: float
    weight_square: float
    max_weight: float
    unsupported: float = 0.0
    residual_square: float = math.nan
    reward: float = 0.0
    reward_square: float = 0.0

    @classmethod
    def of(cls, rows: EvaluationRows, choice: Bools) -> WeightSums:
        """The sums of some rows; choice (n,): which of them had one."""
        weight, residual, reward = rows.weight, rows.residual, rows.reward
        if not choice.all():
            weight, reward = weight[choice], reward[choice]
            residual = None if residual is None else residual[choice]
        outside = 0.0 if rows.unsupported is None else np.add.reduce(rows.unsupported)
        total, square = np.add.reduce(weight), _dot(weight, weight)
        sums = (len(rows), len(weight), total, square, weight.max(initial=0.0), outside)
        if residual is None:
            return cls(*sums)
        earned = np.add.reduce(reward)
        away = reward - earned / max(len(reward), 1)
        return cls(*sums, _dot(residual, residual), earned, _dot(away, away))

    @classmethod
    def merged(cls, parts: Sequence[WeightSums]) -> WeightSums:
        """The sums over the rows of several."""
        table = np.array(parts)
        whole = cls(*table.sum(axis=0).tolist())
        of_parts = cls(*table.T)
        means = of_parts.reward / np.maximum(of_parts.n_choice, 1)
        away = means - whole.reward / max(whole.n_choice, 1)
        return whole._replace(
            max_weight=float(table[:, 4].max()),
            reward_square=whole.reward_square + float((of_parts.n_choice * away**2).sum()),
        )

    @property
    def unsupported_share(self) -> float:
        """Mean share of the target on actions that the logger never draws there."""
        return self.unsupported / max(self.n, 1)

    @property
    def model_skill(self) -> float:
        """How much better than a constant the reward model predicts choice rows' rewards.

        1 − Σ (r − q(A))² / Σ (r − mean r)²: 1 is perfect, 0 no better than the mean reward, below 0
        worse. Honest only if q never saw the row. NaN without a model, or where rewards do not
        vary. DM is as good as this; DR only gets wider as it falls.
        """
        return 1 - self.residual_square / self.reward_square if self.reward_square else math.nan


def kish(total: float, square: float) -> float:
    """How many equally weighted rows say as much: (Σ w)² / Σ w² (Kish 1965); 0 without weight."""
    return float(total**2 / square) if square else 0.0


def effective_size(weight: Floats) -> float:
    """`kish` of weights (n,)."""
    return kish(float(weight.sum()), float(_dot(weight, weight)))


def reward_reach(low: float, high: float) -> float:
    """How far rewards in [low, high] may lie from the 0 that an action never drawn is valued at."""
    return max(high, 0.0) - min(low, 0.0)


def table_row(
    value: float,
    std_error: float,
    interval: tuple[float, float],
    weights: WeightSums,
    hidden: float = 0.0,
    *,
    strict: bool = False,
) -> dict[str, float]:
    """A row of the table of values: the columns of `evaluate`.

    Args:
        value, std_error, interval: of an estimate.
        weights: of the same rows.
        hidden: how far actions that the logger never draws may move the value; widens the interval.
        strict: whether rows none of which has any weight say nothing: then there is no error, and
            no interval unless that is what `hidden` says.
    """
    low, high = interval
    if strict and weights.n_choice and not weights.weight:
        std_error = math.nan
        low, high = (low, high) if hidden else (math.nan, math.nan)
    return {
        "value": value,
        "std_error": std_error,
        "low": low - hidden,
        "high": high + hidden,
        "n": int(weights.n),
        "n_choice": int(weights.n_choice),
        "effective_n": kish(weights.weight, weights.weight_square),
        "max_weight": float(weights.max_weight) if weights.n_choice else math.nan,
        "mean_weight": weights.weight / weights.n_choice if weights.n_choice else math.nan,
    }
