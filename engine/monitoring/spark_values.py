"""Values of policies as one mergeable aggregation in Spark, for logs that no single machine holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Optional

import numpy as np
import pandas as pd
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from engine.config import Config
from engine.data.rewards import COLUMNS, logged_from_arrow
from policies import Estimator, LoggedDecisions, Policy
from policies.errors import EvaluationError
from policies.estimating.estimators import as_estimators
from policies.estimating.intervals import normal
from policies.estimating.rows import EvaluationRows, evaluation_rows
from policies.estimating.sums import Sums, WeightSums, reward_reach, table_row, unit_totals

KEYS = ["policy", "estimator", "segment"]
TOTALS = ["rows", "direct", "weighted", "weight"]  # of a customer: see `policies.estimating.sums`
WEIGHTS = ["n_choice", "sum_weight", "sum_weight_square", "max_weight", "unsupported"]
BY_CUSTOMER = [*KEYS, "customer_id", *TOTALS, *WEIGHTS]
PER_CUSTOMER = " STRING, ".join([*KEYS, "customer_id"]) + " STRING, "
PER_CUSTOMER += ", ".join(f"{name} DOUBLE" for name in [*TOTALS, *WEIGHTS])
PARTIAL = " STRING, ".join(KEYS) + " STRING, customers LONG, totals ARRAY<DOUBLE>, "
PARTIAL += "products ARRAY<DOUBLE>, weights ARRAY<DOUBLE>"


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
            labels = pd.DataFrame({"customer_id": table["customer_id"].to_pandas().astype(str)})
            labels["segment"] = table[segment].to_pandas().astype(str) if segment else "all"
            for name, policy in policies.items():
                part = evaluation_rows(log, policy, model)
                for estimator in chosen:
                    frame = _by_customer(part, log.choice, estimator, labels)
                    frame = frame.assign(policy=name, estimator=estimator.name)
                    yield pa.RecordBatch.from_pandas(frame[BY_CUSTOMER], preserve_index=False)

    added = dict.fromkeys([*TOTALS, *WEIGHTS], "sum") | {"max_weight": "max"}
    customers = (
        rows.select(*columns)
        .mapInArrow(totals, PER_CUSTOMER)
        .groupBy(*KEYS, "customer_id")
        .agg(*(F.expr(f"{how}({name}) AS {name}") for name, how in added.items()))
    )
    partials = customers.mapInArrow(_partition_sums, PARTIAL).toPandas()
    return _table(partials, confidence, reward_reach(*config.engine.reward.range))


def _by_customer(
    rows: EvaluationRows, choice: np.ndarray, estimator: Estimator, labels: pd.DataFrame
) -> pd.DataFrame:
    """TOTALS and WEIGHTS of each customer and segment."""
    cells = labels.groupby(["segment", "customer_id"], sort=False)
    codes, count = cells.ngroup().to_numpy(), cells.ngroups
    weight = np.where(choice, rows.weight, 0.0)
    outside = np.zeros(len(rows)) if rows.unsupported is None else rows.unsupported
    columns = (choice, weight, weight**2, outside)
    n_choice, total, square, unsupported = (np.bincount(codes, column) for column in columns)
    most = np.zeros(count)
    np.maximum.at(most, codes, weight)
    found = (*unit_totals(estimator.parts(rows), (codes, count)), n_choice, total, square, most)
    first = labels.groupby(codes).first()
    return first.assign(**dict(zip([*TOTALS, *WEIGHTS], (*found, unsupported))))


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
        row = {
            **dict(zip(KEYS, key)),
            "customers": sums.units,
            "totals": sums.totals.tolist(),
            "products": sums.products.ravel().tolist(),
            "weights": [float(number) for number in weights],
        }
        yield pa.RecordBatch.from_pylist([row])


def _weights(customers: pd.DataFrame) -> WeightSums:
    total = customers[["rows", *WEIGHTS]].sum()
    total["max_weight"] = customers["max_weight"].max()
    return WeightSums(*total)


def _table(partials: pd.DataFrame, confidence: float, reach: float) -> pd.DataFrame:
    """Merge the partitions' sums of each policy, estimator and segment into a row of the table."""
    made = []
    for key, part in partials.groupby(KEYS):
        columns = (part[name] for name in ("customers", "totals", "products"))
        sums = Sums.merged([Sums(g, t, np.reshape(p, (4, 4))) for g, t, p in zip(*columns)])
        weights = WeightSums.merged([WeightSums(*row) for row in part["weights"]])
        interval = normal(sums.value, sums.std_error, confidence)
        hidden = weights.unsupported_share * reach
        row = table_row(sums.value, sums.std_error, interval, weights, hidden, strict=True)
        made.append({**dict(zip(KEYS, key)), **row})
    return pd.DataFrame(made)
