"""A large world's history on Spark."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from benchmarks.large_world import spark_history
from policies import LoggedDecisions
from simulation import FEATURES, scenario


@pytest.mark.parametrize("name", ["fatigue", "season"])
def test_spark_gives_the_same_rows(spark: Any, name: str) -> None:
    """Made by Spark in parts of 17 customers, a history has the rows of the one made in memory."""
    made = spark_history(spark, scenario(name, 1, seed=3), customers=40, days=5, size=17)
    rows = made.toPandas().sort_values(["decision_date", "customer_id"], ignore_index=True)
    world = scenario(name, 40, seed=3)
    log = world.history(5)
    told = LoggedDecisions.from_frame(
        rows,
        action_ids=world.action_ids,
        eligible="eligible_actions",
        distribution="distribution",
        features=list(FEATURES),
        decision_date="decision_date",
        customer_id="customer_id",
    )
    for each in ("action", "action_probability", "reward", "eligible", "distribution"):
        np.testing.assert_array_equal(getattr(told, each), getattr(log, each))
    assert list(rows["customer_id"]) == list(log.customer_id)
    assert list(pd.to_datetime(rows["matured_on"])) == list(pd.to_datetime(log.matured_on))
    pd.testing.assert_frame_equal(told.contexts, log.contexts, check_dtype=False)
