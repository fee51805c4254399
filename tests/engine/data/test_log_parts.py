"""The matured log leaves Spark as files, and is the same log however it is read."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest

from engine.config import Config, load_config
from engine.data import log_parts
from engine.data.log_parts import LogParts, matured_log
from engine.data.rewards import read_log
from engine.data.tables import Tables
from policies import LoggedDecisions, VowpalPolicy
from policies.learning.reading import joined

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

ROWS, FEATURES, AS_OF = 400, {"x": "double", "plan": "string"}, dt.date(2026, 3, 20)


@pytest.fixture(scope="module")
def config(repository: Path) -> Config:
    """What ships."""
    return load_config(repository / "conf")


@pytest.fixture
def tables(spark: SparkSession, config: Config, tmp_path: Path) -> Iterator[Tables]:
    """`rewarded_decisions` of 20 days, of which the last ones have not matured by AS_OF."""
    random, ids = np.random.default_rng(0), config.catalogue.action_ids
    action = random.integers(len(ids), size=ROWS)
    day = [dt.date(2026, 3, 1) + dt.timedelta(days=int(each)) for each in np.arange(ROWS) % 20]
    rows = pa.table(
        {
            "decision_id": [f"d{each:03d}" for each in random.permutation(ROWS)],
            "decision_date": day,
            "customer_id": [f"c{each % 50}" for each in range(ROWS)],
            "group": ["policy"] * ROWS,
            "action_id": [ids[each] for each in action],
            "action_probability": np.full(ROWS, 1 / len(ids)),
            "eligible_actions": [list(ids)] * ROWS,
            "distribution": pa.array(
                [[(each, 1 / len(ids)) for each in ids]] * ROWS, pa.map_(pa.string(), pa.float64())
            ),
            "reward": (random.random(ROWS) < 0.3).astype(float),
            "matured_on": [each + dt.timedelta(days=4) for each in day],
            "x": [None if each % 7 == 0 else float(each) for each in range(ROWS)],
            "plan": ["basic" if each % 3 else None for each in range(ROWS)],
        }
    )
    spark.sql("CREATE SCHEMA IF NOT EXISTS juan_dev.parts_test")
    name = "juan_dev.parts_test.rewarded_decisions"
    spark.createDataFrame(rows).repartition(4).write.mode("overwrite").saveAsTable(name)
    yield Tables(spark, "juan_dev", "parts_test", tmp_path)
    spark.sql("DROP SCHEMA IF EXISTS juan_dev.parts_test CASCADE")


def same(left: LoggedDecisions, right: LoggedDecisions) -> bool:
    """Whether two logs hold the same in the same order."""
    arrays = ("action", "action_probability", "reward", "eligible", "decision_date", "customer_id")
    contexts: Any = (left.contexts, right.contexts)
    return contexts[0].equals(contexts[1]) and all(
        np.array_equal(getattr(left, name), getattr(right, name)) for name in arrays
    )


@pytest.mark.parametrize("in_memory", [1_000_000, 0])
def test_the_log_is_the_same_in_files(
    tables: Tables, config: Config, monkeypatch: pytest.MonkeyPatch, in_memory: int
) -> None:
    """Kept in memory or read part by part, it is what reading the table gives, in its order."""
    monkeypatch.setattr(log_parts, "IN_MEMORY", in_memory)
    monkeypatch.setattr(log_parts, "PART_ROWS", 37)
    expected = read_log(tables, config, FEATURES, AS_OF)
    with matured_log(tables, config, FEATURES, AS_OF) as log:
        assert isinstance(log, LoggedDecisions if in_memory else LogParts)
        whole = joined(log)
        assert same(whole, expected)
        assert 0 < len(whole) < ROWS
        ids = config.catalogue.action_ids
        assert (
            VowpalPolicy(ids).fit(log)._learned.model
            == VowpalPolicy(ids).fit(expected)._learned.model
        )
    assert list((tables.volume / "staging").iterdir()) == []


def test_nothing_is_left_when_training_fails(tables: Tables, config: Config) -> None:
    """The files are gone after an error as well."""

    def fails() -> None:
        with matured_log(tables, config, FEATURES, AS_OF):
            raise KeyError("training")

    with pytest.raises(KeyError, match="training"):
        fails()
    assert list((tables.volume / "staging").iterdir()) == []


def test_a_log_without_matured_rows_has_none(tables: Tables, config: Config) -> None:
    """Before the first day has matured there are no rows, and reading them is no error."""
    with matured_log(tables, config, FEATURES, dt.date(2026, 3, 2)) as log:
        assert list(log) == []
