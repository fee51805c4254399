"""Features are declared anew: they come and go, and never change what they are."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pandas as pd
import pytest

from engine.errors import JobError
from tests.story.conftest import changed

FIRST = dt.date(2026, 3, 2)
SECOND = FIRST + dt.timedelta(days=1)
SMALL = {"sources/simulation.yml": {"customers": 150, "history_days": 14}}


@pytest.mark.slow
def test_features_may_be_added_and_removed_but_not_changed(spark: Any, new_loop: Any) -> None:
    """A new one begins with the next day, a removed one ends, a redeclared one is refused."""
    loop = new_loop("features", FIRST, SMALL)
    stages = ("data_generation", "feature_engineering")
    for stage in stages:
        loop.stage(stage, FIRST)
    before = loop.frame("customer_features")
    path = loop.conf / "features.yml"
    given = path.read_text()
    removed = "  visits_7d: {count: visit, days: 7}\n"
    assert removed in given
    path.write_text(
        given.replace(removed, "") + "  basket: {sql: 'spend_28d / nullif(orders_28d, 0)'}\n"
    )
    changed(loop.conf, {"engine.yml": {"business_rules": []}})  # one reads visits_7d
    loop.stage("data_generation", SECOND)
    result = loop.stage("feature_engineering", SECOND)
    assert result.rows["rewarded_decisions"] > 0
    after = loop.frame("customer_features")
    old = after["feature_ts"].dt.date < SECOND
    assert after[old]["basket"].isna().all()
    kept = after[old].reset_index(drop=True)[list(before)]
    pd.testing.assert_frame_equal(kept, before, check_dtype=False)
    assert after[~old]["visits_7d"].isna().all()
    bought = after[~old & (after["orders_28d"] > 0)]
    assert (bought["basket"] == bought["spend_28d"] / bought["orders_28d"]).all()
    stands = loop.content()
    loop.stage("feature_engineering", SECOND)
    assert loop.content() == stands
    path.write_text(
        given.replace(
            "orders_28d: {count: purchase, days: 28}", "orders_28d: {count: purchase, days: 27}"
        )
    )
    with pytest.raises(JobError, match="orders_28d: declared otherwise"):
        loop.stage("feature_engineering", SECOND)
    assert loop.content() == stands
    spark.sql("DROP SCHEMA IF EXISTS juan_dev.features CASCADE")
