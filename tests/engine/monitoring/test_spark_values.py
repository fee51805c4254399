"""Values summed up in Spark: the same numbers as numpy's, from any partitions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from engine.config import load_config
from engine.features.customer import BEHAVIOUR
from engine.monitoring.spark_values import spark_values
from policies import DRos, FixedAction, UniformPolicy, evaluate, evaluate_by
from policies.errors import EvaluationError
from policies.estimating.reward_model import fit_reward_model
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
    features = {name: kind for name, kind in BEHAVIOUR.items() if name in log.contexts}

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
