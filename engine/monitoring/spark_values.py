"""Values of policies as one mergeable aggregation in Spark, for logs that no single machine holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Optional

import numpy as np
import pandas as pd
import pyarrow as pa
from pyspark.sql import functions as F

from engine.config import Config
from engine.data.rewards import COLUMNS, logged_from_arrow
from policies import Estimator, LoggedDecisions, Policy
from policies.errors import EvaluationError
from policies.estimating.intervals import normal
from policies.estimating.registry import as_estimators
from policies.estimating.rows import EvaluationRows, evaluation_rows
from policies.estimating.sums import Sums, WeightSums, reward_reach, table_row, unit_totals

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

KEYS = ["policy", "estimator", "segment"]
TOTALS = ["rows", "direct", "weighted", "weight"]  # of a customer: see `policies.estimating.sums`
WEIGHTS = ["n_choice", "sum_weight", "sum_weight_square", "max_weight", "unsupported"]
PER_CUSTOMER = ", ".join(
    [
        *(f"{name} STRING" for name in [*KEYS, "customer_id"]),
        *(f"{name} DOUBLE" for name in [*TOTALS, *WEIGHTS]),
    ]
)
PARTIAL = ", ".join(
    [*(f"{name} STRING" for name in KEYS), "customers LONG"]
    + [f"{name} ARRAY<DOUBLE>" for name in ("totals", "products", "weights")]
)


def spark_values(
    rows: DataFrame,
    policies: Mapping[str, Policy],
    config: Config,
    features: Mapping[str, str],
    *,
    estimators: Sequence[str | Estimator] = ("ips", "snips"),
    expected_reward: Optional[Callable[[LoggedDecisions], np.ndarray]] = None,
    segment: Optional[str] = None,
    confidence: float = 0.95,
) -> pd.DataFrame:
    """What `policies.evaluate` says of each policy, to 1e-9, without bringing the log together.

    Arrow batches become totals per customer, which Spark adds up; each partition of customers
    becomes `Sums`, and only these are collected: a row a policy, estimator, segment and partition.

    Args:
        rows: of `rewarded_decisions`.
        policies: name -> policy; each travels in the closure.
        config, features: as for `engine.data.rewards.read_log`.
        estimators: with their parameters given; `auto` and data-sized defaults need the whole log.
        expected_reward: a log's (n, k) predictions by a model that never saw it, for dm, dr and kin.
        segment: a column of the rows, "decision_date" say; None = all rows are one.
        confidence: of normal intervals, by customer; widened as in `policies.evaluate_by`.

    Returns:
        policy, estimator, segment, and the columns of `policies.evaluate`.

    Raises:
        EvaluationError: an estimator whose parameter is not given.
    """
    chosen = as_estimators(estimators)
    for estimator in chosen:
        if None in vars(estimator).values():
            raise EvaluationError(
                f"{estimator!r} would set its parameter by the rows of each part",
                hint="give the parameter",
            )
    columns = list(dict.fromkeys([*COLUMNS, *features, *([segment] if segment else [])]))

    def totals(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            if not batch.num_rows:
                continue
            table = pa.Table.from_batches([batch])
            log = logged_from_arrow(table, config, features)
            model = None if expected_reward is None else expected_reward(log)
            cells = _cells(table, segment)
            for name, policy in policies.items():
                part = evaluation_rows(log, policy, model)
                for estimator in chosen:
                    frame = _customer_totals(part, log.choice, estimator, cells)
                    frame = frame.assign(policy=name, estimator=estimator.name)
                    yield pa.RecordBatch.from_pandas(frame, _schema(), preserve_index=False)

    added = dict.fromkeys([*TOTALS, *WEIGHTS], "sum") | {"max_weight": "max"}
    customers = (
        rows.select(*columns)
        .mapInArrow(totals, PER_CUSTOMER)
        .groupBy(*KEYS, "customer_id")
        .agg(*(F.expr(f"{how}({name}) AS {name}") for name, how in added.items()))
    )
    partials = customers.mapInArrow(_partition_sums, PARTIAL).toPandas()
    return _table(partials, confidence, reward_reach(*config.engine.reward.range))


def _schema() -> pa.Schema:
    texts = [(name, pa.string()) for name in [*KEYS, "customer_id"]]
    return pa.schema(texts + [(name, pa.float64()) for name in [*TOTALS, *WEIGHTS]])


def _cells(table: pa.Table, segment: Optional[str]) -> tuple[np.ndarray, pd.DataFrame]:
    """(n,) number of each row's segment and customer, and these by number."""
    names = pd.DataFrame({"customer_id": table["customer_id"].to_pandas().astype(str)})
    names["segment"] = table[segment].to_pandas().astype(str) if segment else "all"
    codes = names.groupby(["segment", "customer_id"]).ngroup().to_numpy()
    return codes, names.groupby(codes).first()


def _customer_totals(
    rows: EvaluationRows,
    choice: np.ndarray,
    estimator: Estimator,
    cells: tuple[np.ndarray, pd.DataFrame],
) -> pd.DataFrame:
    """TOTALS and WEIGHTS of each segment and customer."""
    codes, names = cells
    weight = np.where(choice, rows.weight, 0.0)
    outside = np.zeros(len(rows)) if rows.unsupported is None else rows.unsupported
    columns = {
        "n_choice": choice,
        "sum_weight": weight,
        "sum_weight_square": weight**2,
        "unsupported": outside,
    }
    summed = {name: np.bincount(codes, values) for name, values in columns.items()}
    totals = unit_totals(estimator.parts(rows), (codes, len(names)))
    most = pd.Series(weight).groupby(codes).max()
    return names.assign(**dict(zip(TOTALS, totals)), **summed, max_weight=most)


def _partition_sums(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The sums over the customers of a partition: a row a policy, estimator and segment."""
    found: dict[Any, tuple[Sums, WeightSums]] = {}
    for batch in batches:
        for key, part in batch.to_pandas().groupby(KEYS):
            sums, weights = Sums.of_units(part[TOTALS].to_numpy().T), _weights(part)
            if key in found:
                sums, weights = sums + found[key][0], WeightSums.merged([weights, found[key][1]])
            found[key] = sums, weights
    for key, (sums, weights) in found.items():
        yield pa.RecordBatch.from_pylist(
            [
                {
                    **dict(zip(KEYS, key)),
                    "customers": sums.units,
                    "totals": sums.totals.tolist(),
                    "products": sums.products.ravel().tolist(),
                    "weights": [float(number) for number in weights],
                }
            ]
        )


def _weights(customers: pd.DataFrame) -> WeightSums:
    total = customers.sum(numeric_only=True)
    return WeightSums(
        total["rows"],
        total["n_choice"],
        total["sum_weight"],
        total["sum_weight_square"],
        customers["max_weight"].max(),
        total["unsupported"],
    )


def _table(partials: pd.DataFrame, confidence: float, reach: float) -> pd.DataFrame:
    """Merge the partitions' sums of each policy, estimator and segment into a row of the table."""
    made = []
    for key, part in partials.groupby(KEYS):
        sums = Sums.merged(
            [
                Sums(row.customers, np.array(row.totals), np.reshape(row.products, (4, 4)))
                for row in part.itertuples()
            ]
        )
        weights = WeightSums.merged([WeightSums(*row) for row in part["weights"]])
        interval = normal(sums.value, sums.std_error, confidence)
        hidden = weights.unsupported_share * reach
        row = table_row(sums.value, sums.std_error, interval, weights, hidden, strict=True)
        made.append({**dict(zip(KEYS, key)), **row})
    return pd.DataFrame(made)
