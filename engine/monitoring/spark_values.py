"""Values of policies as one mergeable aggregation in Spark, for logs that no single machine holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Optional

import numpy as np
import pandas as pd
import pyarrow as pa
from pyspark.sql import functions as F

from engine.config import Config
from engine.data.rewards import COLUMNS, logged_from_arrow
from policies import LoggedDecisions, Policy
from policies.errors import EvaluationError
from policies.estimating.auto import as_estimators
from policies.estimating.estimators import Estimator
from policies.estimating.rows import batch_of
from policies.estimating.sums import COLUMNS as SUMMED
from policies.estimating.sums import WEIGHTS, CustomerSums, Sums

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

KEYS = ["policy", "estimator", "segment"]
SCHEMA = ", ".join(
    [
        *(f"{name} STRING" for name in [*KEYS, "customer_id"]),
        *(f"{name} DOUBLE" for name in (*SUMMED, *WEIGHTS)),
    ]
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

    Arrow batches become sums per customer (`CustomerSums`), which Spark adds up per customer and
    then, as outer products, per segment. Only a row a policy, estimator and segment is collected.

    Args:
        rows: of `rewarded_decisions`.
        policies: name -> policy; each travels in the closure.
        config, features: as for `engine.data.rewards.read_log`.
        estimators: with their parameters given; `auto` and data-sized defaults need the whole log.
        expected_reward: a log's (n, k) predictions by a model that never saw it, for dm, dr and kin.
        segment: a column of the rows, "decision_date" say; None = all rows are one.
        confidence: of normal intervals, by customer.

    Returns:
        policy, estimator, segment, and the columns of `policies.evaluate`.

    Raises:
        EvaluationError: an estimator whose parameter is not given.
    """
    chosen = as_estimators(estimators)
    for each in chosen:
        if None in vars(each).values():
            raise EvaluationError(
                f"{each!r} would set its parameter by the rows of each part",
                hint="give the parameter",
            )
    columns = list(dict.fromkeys([*COLUMNS, *features, *([segment] if segment else [])]))

    def summed(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            if batch.num_rows:
                yield from _parts(
                    pa.Table.from_batches([batch]),
                    policies,
                    config,
                    features,
                    chosen,
                    expected_reward,
                    segment,
                )

    parts = rows.select(*columns).mapInArrow(summed, SCHEMA)
    return _collected(parts, confidence)


def _parts(
    table: pa.Table,
    policies: Mapping[str, Policy],
    config: Config,
    features: Mapping[str, str],
    estimators: Sequence[Estimator],
    expected_reward: Optional[Callable[[LoggedDecisions], np.ndarray]],
    segment: Optional[str],
) -> Iterator[pa.RecordBatch]:
    """Sums of one batch: a row a policy, estimator, segment and customer."""
    log = logged_from_arrow(table, config, features)
    model = None if expected_reward is None else expected_reward(log)
    codes, names = np.zeros(len(log), dtype=np.int64), np.array(["all"], dtype=object)
    if segment:
        codes, found = pd.factorize(table[segment].to_pandas().astype(str))
        names = np.asarray(found, dtype=object)
    customer, ids = pd.factorize(table["customer_id"].to_pandas().astype(str))
    for name, policy in policies.items():
        batch = batch_of(log, policy, model)
        for estimator in estimators:
            sums = CustomerSums.of(batch, log.choice, codes * len(ids) + customer, estimator)
            made = {
                "policy": [name] * len(sums.key),
                "estimator": [estimator.name] * len(sums.key),
                "segment": names[sums.key // len(ids)],
                "customer_id": ids.to_numpy(dtype=object)[sums.key % len(ids)],
                **dict(zip(SUMMED, sums.columns.T)),
                **dict(zip(WEIGHTS, sums.weights.T)),
            }
            yield from pa.table(made).to_batches()


def _collected(parts: DataFrame, confidence: float) -> pd.DataFrame:
    """Add up per customer, then per segment; what is left is a few rows."""
    totals = dict.fromkeys((*SUMMED, *WEIGHTS), "sum") | {WEIGHTS[-1]: "max"}
    per_customer = parts.groupBy(*KEYS, "customer_id").agg(
        *(F.expr(f"{how}({name}) AS {name}") for name, how in totals.items())
    )
    pairs = [(one, other) for i, one in enumerate(SUMMED) for other in SUMMED[: i + 1]]
    whole = per_customer.groupBy(*KEYS).agg(
        F.expr("count(*) AS customers"),
        *(F.expr(f"{how}({name}) AS {name}") for name, how in totals.items()),
        *(F.expr(f"sum({one} * {other}) AS {one}_{other}") for one, other in pairs),
    )
    made = []
    for row in whole.orderBy(*KEYS).toPandas().to_dict("records"):
        square = np.array(
            [
                [row.get(f"{one}_{other}", row.get(f"{other}_{one}")) for other in SUMMED]
                for one in SUMMED
            ]
        )
        sums = Sums(
            customers=int(row["customers"]),
            total=np.array([row[name] for name in SUMMED]),
            square=square,
            weights=np.array([row[name] for name in WEIGHTS]),
        )
        made.append({**{key: row[key] for key in KEYS}, **sums.row(confidence)})
    return pd.DataFrame(made)
