"""Values summed up in Spark: the same numbers as numpy's, from any partitions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from engine.config import load_config
from engine.monitoring.spark_values import (
    BY_CUSTOMER,
    _by_customer,
    _partition_sums,
    _table,
    spark_values,
)
from policies import SNIPS, DRos, FixedAction, LoggedDecisions, UniformPolicy, evaluate, evaluate_by
from policies.errors import EvaluationError
from policies.estimating.reward_model import fit_reward_model
from policies.estimating.rows import evaluation_rows
from simulation import scenario

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

ESTIMATORS = ("ips", "snips", "dr", "sndr", DRos(10.0))


def rewarded(log: Any) -> pd.DataFrame:
    """A log as rows of `rewarded_decisions`."""
    ids = np.array(log.action_ids, dtype=object)
    return log.contexts.assign(
        decision_id=[f"d{row}" for row in range(len(log))],
        decision_date=log.decision_date.astype(object),
        customer_id=log.customer_id,
        group=log.group,
        action_id=ids[log.action],
        action_probability=log.action_probability,
        eligible_actions=[list(ids[row]) for row in log.eligible],
        probabilities=[row.tolist() for row in log.distribution],
        reward=log.reward,
        matured_on=log.matured_on.astype(object),
    )


def test_spark_agrees_with_numpy(spark: SparkSession, repository: Path) -> None:
    """Each policy's value, error and diagnostics agree to 1e-9, overall and day by day."""
    config = load_config(repository / "conf")
    world = scenario("stable", customers=80, seed=3, catalogue=config.catalogue, rules=config.rules)
    log = world.history(days=8)
    model = fit_reward_model(world.history(days=4, start="2025-01-01"))
    policies = {
        "uniform": UniformPolicy(log.action_ids),
        "rules": world.incumbent,
    }
    rows = spark.createDataFrame(rewarded(log)).repartition(5)
    names = ", ".join(f"'{each}'" for each in log.action_ids)
    rows = rows.selectExpr(
        "*",
        f"map_filter(map_from_arrays(array({names}), probabilities), (a, p) -> p > 0) "
        "AS distribution",
    )
    features = {name: kind for name, kind in config.features.types.items() if name in log.contexts}

    def expected(part: Any) -> Any:
        return model.predict(part.contexts)

    q = model.predict(log.contexts)
    found = spark_values(rows, policies, config, features, estimators=ESTIMATORS,
                         expected_reward=expected)  # fmt: skip
    daily = spark_values(rows, policies, config, features, estimators=ESTIMATORS,
                         expected_reward=expected, segment="decision_date",
                         confidence=1 - 0.05 / 8)  # fmt: skip
    assert len(found) == 2 * len(ESTIMATORS)
    assert len(daily) == 8 * len(found)
    for name, policy in policies.items():
        whole = evaluate(log, policy, estimators=ESTIMATORS, expected_reward=q)
        ours = found[found["policy"] == name].set_index("estimator").loc[whole.index]
        np.testing.assert_allclose(ours[whole.columns], whole, rtol=1e-9, atol=1e-12)
        by_day = evaluate_by(log, policy, "decision_date", estimators=ESTIMATORS, expected_reward=q)
        theirs = daily[daily["policy"] == name]
        theirs = theirs.set_index(["segment", "estimator"])[by_day.columns]
        by_day.index = pd.MultiIndex.from_tuples(
            [(str(day)[:10], estimator) for day, estimator in by_day.index]
        )
        np.testing.assert_allclose(theirs.loc[by_day.index], by_day, rtol=1e-9, atol=1e-12)


def test_parameters_must_be_given(spark: SparkSession, repository: Path) -> None:
    """What would choose its parameter by the rows of a part is refused before Spark is asked."""
    config, rows = load_config(repository / "conf"), spark.createDataFrame([(1,)], ["x"])
    policies = {"none": FixedAction(config.catalogue.action_ids, "no_contact")}
    for estimator in ("clipped_ips", "auto"):
        with pytest.raises(EvaluationError, match="give the parameter"):
            spark_values(rows, policies, config, {}, estimators=[estimator])


def test_actions_never_drawn_widen_the_interval() -> None:
    """Customers summed in two partitions give evaluate's widened interval."""
    rng = np.random.default_rng(0)
    action, customer = rng.integers(0, 2, 900), rng.integers(0, 200, 900)
    log = LoggedDecisions(
        ["a", "b", "never"], action, np.full(900, 0.5), (rng.random(900) < 0.3) * 1.0,
        distribution=np.tile([0.5, 0.5, 0.0], (900, 1)), customer_id=customer,
        reward_range=(0, 1),
    )  # fmt: skip
    target = np.tile([0.5, 0.0, 0.5], (900, 1))
    labels = pd.DataFrame({"customer_id": customer.astype(str), "segment": "all"})
    frame = _by_customer(evaluation_rows(log, target), log.choice, SNIPS(), labels)
    frame = frame.assign(policy="p", estimator="snips")[BY_CUSTOMER]
    partitions = [
        pa.RecordBatch.from_pandas(part, preserve_index=False)
        for part in (frame.iloc[:70], frame.iloc[70:])
    ]
    sums = [batch.to_pandas() for part in partitions for batch in _partition_sums(iter([part]))]
    found = _table(pd.concat(sums), 0.95, 1.0).iloc[0]
    whole = evaluate(log, target, estimators="snips").loc["snips"]
    np.testing.assert_allclose(found[whole.index].astype(float), whole, rtol=1e-9)
    assert found["high"] - found["low"] > 1
