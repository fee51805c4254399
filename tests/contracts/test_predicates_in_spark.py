"""A predicate means in our arrays what it means in Spark's `expr`, so one text serves both."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from engine.config import load_config
from policies.predicates import Predicate
from simulation import FEATURES, demo_catalogue, demo_rules, scenario

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

TYPES = "i INT, x DOUBLE, n BIGINT, s STRING, t STRING, f BOOLEAN, g BOOLEAN, d TIMESTAMP, e DATE"
HAND_WRITTEN = (
    "NOT i = 1 AND i < 2 OR i = 2",
    "s NOT IN ('NL', NULL)",
    "x BETWEEN -1 AND 1e0 OR n IS NULL",
    "NOT (x > 0)",
    "d > '2026-01-31'",
    "(i = 1) = f",
    "i == 1 OR i != i",
    "g",
    "NULL",
    "t < 'b' AND NOT s = ''",
    "i / 2 = 0.5",
    "s LIKE 'N%'",
    "s NOT LIKE '%L' OR t LIKE '_'",
    "t LIKE '' AND s LIKE '%'",
    "s LIKE 'n_' OR NOT t LIKE 'a.*'",
)


def cases() -> ModuleType:
    """The rows and the generated predicates that unit tests compare with a slow reading of SQL."""
    path = Path(__file__).parents[1] / "policies" / "test_predicates.py"
    spec = importlib.util.spec_from_file_location("predicate_cases", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


CASES = cases()


@pytest.fixture(scope="module")
def rows(spark: SparkSession) -> DataFrame:
    """The same rows in Spark, in the same order."""
    plain = [
        (*(row[name] for name in "ixnstfg"), row["d"], row["d"], number)
        for number, row in enumerate(CASES.ROWS)
    ]
    columns = TYPES.replace("d TIMESTAMP", "d DATE") + ", row INT"
    return spark.createDataFrame(plain, columns).withColumn("d", _as_timestamp())


def _as_timestamp() -> Any:
    from pyspark.sql import functions as F

    return F.col("d").cast("timestamp")


def in_spark(rows: DataFrame, predicates: list[str], order: str) -> list[list[bool]]:
    """For each predicate the rows it holds in; null counts as not."""
    asked = [
        f"coalesce(cast(({text}) AS BOOLEAN), false) AS p{j}" for j, text in enumerate(predicates)
    ]
    found = rows.selectExpr(order, *asked).orderBy(order).toPandas().drop(columns=order)
    return [found[name].tolist() for name in found.columns]


@settings(
    max_examples=3,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(
    st.lists(
        st.recursive(CASES.leaves(), CASES.joined, max_leaves=4).map(lambda case: case[0]),
        min_size=60,
        max_size=60,
        unique=True,
    )
)
def test_generated_predicates(rows: DataFrame, texts: list[str]) -> None:
    """Predicates of the whole grammar hold in the same rows in both."""
    texts = [*texts, *HAND_WRITTEN]
    ours = [Predicate.parse(text).holds(CASES.FRAME).tolist() for text in texts]
    theirs = in_spark(rows, texts, "row")
    assert {text: (a, b) for text, a, b in zip(texts, ours, theirs) if a != b} == {}
    assert sum(map(any, ours)) > 20


def test_the_demos_predicates(spark: SparkSession) -> None:
    """Catalogue and business rules choose the same customers in both, nulls included."""
    world = scenario("stable", customers=400, seed=3)
    log = world.history(days=9)
    assert log.contexts is not None
    shown = log.contexts[list(FEATURES)].tail(1_500).reset_index(drop=True)
    assert shown.isna().any().sum() >= 4
    columns = ", ".join(
        f"{name} {kind}" for name, kind in load_config(Path("conf")).features.types.items()
    )
    plain = shown.astype(object).where(shown.notna(), None).assign(row=range(len(shown)))
    rows = spark.createDataFrame(plain.to_dict("records"), f"{columns}, row INT")
    texts = [
        text
        for action in demo_catalogue().actions
        for text in (action.eligible_when, action.applicable_when, action.suitable_when)
        if text
    ]
    texts = [*dict.fromkeys([*texts, *(text for text, _ in demo_rules())])]
    theirs = in_spark(rows, texts, "row")
    for text, expected in zip(texts, theirs):
        found = Predicate.parse(text).holds(shown)
        pd.testing.assert_series_equal(pd.Series(found), pd.Series(expected), obj=text)
    assert sum(0 < sum(each) < len(shown) for each in theirs) >= 5
