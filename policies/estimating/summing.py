"""One pass over the rows of a log: the sums of each estimator, and of the weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from policies.estimating.blocks import ROWS, map_blocks
from policies.estimating.estimators import Estimator
from policies.estimating.rows import EvaluationRows
from policies.estimating.sums import Customers, Sums, WeightSums, contributions
from policies.log import Bools, Floats


class Summed(NamedTuple):
    """What one pass over some rows collects.

    Attributes:
        estimates: each estimator's sums.
        weights: what the rows say of their weights and of the reward model.
    """

    estimates: dict[Estimator, Sums]
    weights: WeightSums


def sum_blocks(
    read: Callable[[slice], EvaluationRows],
    choice: Bools,
    size: int,
    estimators: Sequence[Estimator],
    *,
    alone: bool = False,
) -> Summed:
    """The sums of a log that is read block by block, so that no column is in memory whole.

    Args:
        read: gives the rows of a slice.
        choice: (n,) rows with at least two eligible actions; n > 0.
        size: rows of a block.
        estimators: with their parameters.
        alone: whether only one thread at a time may read.
    """

    def work(block: slice) -> tuple[WeightSums, list[Sums]]:
        rows = read(block)
        sums = [Sums.of(estimator.parts(rows)) for estimator in estimators]
        return WeightSums.of(rows, choice[block]), sums

    weights, sums = zip(*map_blocks(work, len(choice), size, alone=alone))
    merged = map(Sums.merged, zip(*sums))
    return Summed(dict(zip(estimators, merged)), WeightSums.merged(weights))


def sum_rows(
    rows: EvaluationRows,
    choice: Bools,
    estimators: Sequence[Estimator],
    customers: Customers | None = None,
) -> Summed:
    """The sums of rows in memory; with customers these are the units, not the rows."""
    if customers is None:
        return sum_blocks(rows.__getitem__, choice, ROWS, estimators)
    sums = {estimator: Sums.of(estimator.parts(rows), customers) for estimator in estimators}
    return Summed(sums, WeightSums.of(rows, choice))


def ratio_sums(estimator: Estimator, rows: EvaluationRows) -> Sums | None:
    """What a ratio's contributions are linearised around: its sums over all rows; else None."""
    if estimator.parts(rows[:1]).weight is None:
        return None
    n = max(len(rows), 1)  # of no rows there is one empty block
    return Sums.merged(map_blocks(lambda block: Sums.of(estimator.parts(rows[block])), n, ROWS))


def row_contributions(estimator: Estimator, rows: EvaluationRows) -> Floats:
    """(n,) an estimator's contributions on these rows; their mean is the estimate."""
    estimator = estimator.chosen(rows).given(len(rows))
    return contributions(estimator.parts(rows), ratio_sums(estimator, rows))
