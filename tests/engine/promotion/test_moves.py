"""What a stopped run left between registry, `lineages`, `verdicts` and `promotions` is completed."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from engine.data.tables import Tables
from engine.errors import RegistryError
from engine.models.lineage_table import (
    TAGS,
    record_versions,
    recorded_versions,
    trained_versions,
)
from engine.models.registry import Version
from engine.models.standing import ModelState
from engine.promotion.moves import AliasMove, move_alias, reconcile, required_versions
from policies.judging.lineages import lineages

MODEL = "juan_dev.moves_test.next_best_action"
NOW = dt.datetime(2026, 3, 20, 9, tzinfo=dt.timezone.utc)


def march(day: int) -> dt.date:
    """A day in March."""
    return dt.date(2026, 3, day)


class Registered:
    """Stands in for the registry: versions with tags, and live aliases."""

    model_name, place = MODEL, "the registry"

    def __init__(self) -> None:
        self.tags: dict[str, dict[str, str]] = {}
        self.live: dict[str, str] = {}
        self.writes = 0

    def train(self, number: str, lineage: str, day: int) -> None:
        """Register a version of a lineage."""
        tags = dict.fromkeys(TAGS, "abc") | {"lineage": lineage, "recipe": lineage}
        tags |= {"as_of": str(march(day)), "trained_through": str(march(day - 5))}
        self.tags[number] = tags

    def versions(self) -> list[Version]:
        """All of them, oldest first."""
        return [Version(number, dict(tags)) for number, tags in self.tags.items()]

    def set_tag(self, number: str, name: str, value: str) -> None:
        """Set it."""
        self.writes += 1
        self.tags[number][name] = value

    def alias(self, alias: str) -> str | None:
        """Where it points."""
        return self.live.get(alias)

    def set_alias(self, alias: str, number: str) -> None:
        """Point it there."""
        self.writes += 1
        self.live[alias] = number


@pytest.fixture
def tables(spark: Any, tmp_path: Path) -> Iterator[Tables]:
    """An empty schema."""
    yield Tables(spark, "juan_dev", "moves_test", tmp_path)
    spark.sql("DROP SCHEMA IF EXISTS juan_dev.moves_test CASCADE")


@pytest.fixture
def registry() -> Any:
    """Two lineages, of two versions and of one."""
    made = Registered()
    made.train("1", "a", 10)
    made.train("2", "a", 11)
    made.train("10", "b", 14)
    return made


def state(tables: Tables, registry: Any) -> ModelState:
    """What tables and registry hold, read anew."""
    config: Any = None
    return ModelState(tables, registry, config, march(20))


def promote(tables: Tables, alias: str, version: str, day: int) -> str:
    """A recorded verdict without its move; gives its id."""
    row = {"verdict_id": f"{alias}{day}", "as_of": march(day), "model_name": MODEL}
    row |= {"to_alias": alias, "candidate": version, "incumbent": "rules", "verdict": "promote"}
    row |= {"difference": 0.1, "low": 0.0, "high": 0.2, "alpha": 0.05, "rules": "{}"}
    tables.add_rows("verdicts", pd.DataFrame([{**row, "log_hash": "h"}]))
    return f"{alias}{day}"


def test_a_recorded_promotion_without_its_move_is_completed(tables: Tables, registry: Any) -> None:
    """The move counts from the day of its verdict, names the verdict, and the alias follows."""
    named = promote(tables, "staging", "2", 15)
    reconcile(state(tables, registry), NOW)
    [row] = tables.read("promotions").toPandas().to_dict("records")
    assert (row["as_of"], row["alias"], row["to_version"]) == (march(15), "staging", "2")
    assert (row["verdict_id"], row["actor"]) == (named, "reconciliation")
    assert registry.live == {"staging": "2"}
    history = state(tables, registry).history
    assert history.version("staging", march(16)) == "2"


def test_two_open_promotions_are_completed_in_order(tables: Tables, registry: Any) -> None:
    """The earlier verdict moves first, so that each move says what it replaced."""
    promote(tables, "champion", "10", 17)
    promote(tables, "champion", "2", 15)
    reconcile(state(tables, registry), NOW)
    moves = tables.read("promotions").orderBy("as_of").toPandas()
    assert list(moves["to_version"]) == ["2", "10"]
    assert list(moves["from_version"]) == [None, "2"]
    assert registry.live == {"champion": "10"}


def test_a_move_that_was_taken_back_on_its_day_stays_so(tables: Tables, registry: Any) -> None:
    """A verdict whose move is recorded is not moved again, whatever moved after it."""
    named = promote(tables, "champion", "2", 15)
    for version, why in (("2", named), ("1", None)):
        move = AliasMove(march(15), "champion", version, "test", "because", why)
        minute = NOW + dt.timedelta(minutes=int(version == "1"))
        move_alias(tables, registry, state(tables, registry).history, move, minute)
    reconcile(state(tables, registry), NOW)
    assert not reconcile(state(tables, registry), NOW)
    assert registry.live == {"champion": "1"}
    assert tables.count("promotions") == 2


def test_a_lagging_alias_is_moved_and_a_second_time_changes_nothing(
    tables: Tables, registry: Any
) -> None:
    """The live alias follows the recorded moves; what agrees is not written again."""
    move = AliasMove(march(14), "candidate", "10", "test", "because")
    move_alias(tables, registry, state(tables, registry).history, move, NOW)
    registry.live = {"candidate": "1"}
    reconcile(state(tables, registry), NOW)
    assert registry.live == {"candidate": "10"}
    before, writes = tables.read("promotions").toPandas(), registry.writes
    reconcile(state(tables, registry), NOW)
    pd.testing.assert_frame_equal(before, tables.read("promotions").toPandas())
    assert registry.writes == writes


def test_a_registry_that_lacks_a_promoted_version_is_refused(tables: Tables, registry: Any) -> None:
    """An emptied or exchanged registry is no new one; the error names what is missing and where."""
    move = AliasMove(march(14), "candidate", "10", "test", "because")
    move_alias(tables, registry, state(tables, registry).history, move, NOW)
    del registry.tags["10"]
    with pytest.raises(RegistryError, match=r"no version 10 .*promotions") as caught:
        reconcile(state(tables, registry), NOW)
    assert "restore the registry" in str(caught.value)
    assert registry.writes == 1


def test_an_earlier_candidate_may_be_deleted(tables: Tables, registry: Any) -> None:
    """The registry must have the newest candidate, and each version that was staging or champion."""
    moves = [("candidate", "1", 10), ("candidate", "2", 11), ("candidate", "10", 14)]
    for alias, version, day in [*moves, ("staging", "2", 15)]:
        move = AliasMove(march(day), alias, version, "test", "because")
        move_alias(tables, registry, state(tables, registry).history, move, NOW)
    assert required_versions(state(tables, registry).history) == {"2", "10"}
    del registry.tags["1"]
    reconcile(state(tables, registry), NOW)
    del registry.tags["2"]
    with pytest.raises(RegistryError, match="no version 2"):
        reconcile(state(tables, registry), NOW)


def test_versions_are_recorded_with_the_number_of_lineages_tried(
    tables: Tables, registry: Any
) -> None:
    """A row holds the version's lineage, days and hashes, and which lineage it was by count."""
    record_versions(tables, registry, recorded_versions(tables))
    rows = tables.read("lineages").toPandas().set_index("version").sort_index()
    assert dict(rows["tried"]) == {"1": 1, "2": 1, "10": 2}
    assert dict(rows["started"]) == {"1": march(10), "2": march(10), "10": march(14)}
    assert rows.loc["2", "trained_through"] == rows.loc["2", "judged_from"] == march(6)


def test_a_deleted_version_gives_no_error_budget_back(tables: Tables, registry: Any) -> None:
    """A lineage counts as tried after its versions were deleted from the registry."""
    record_versions(tables, registry, recorded_versions(tables))
    del registry.tags["1"], registry.tags["2"]
    known = lineages(trained_versions(recorded_versions(tables), registry.versions()), march(20))
    assert [lineage.name for lineage in known] == ["a", "b"]
    registry.train("11", "c", 16)
    record_versions(tables, registry, recorded_versions(tables))
    rows = tables.read("lineages").toPandas().set_index("version")
    assert rows.loc["11", "tried"] == 3


def test_a_registered_version_counts_before_it_is_recorded(tables: Tables, registry: Any) -> None:
    """Lineages are known from tags where a run was stopped before the record; strangers are not."""
    registry.tags["12"] = {"note": "registered by hand"}
    known = lineages(trained_versions(recorded_versions(tables), registry.versions()), march(20))
    assert [lineage.name for lineage in known] == ["a", "b"]
    record_versions(tables, registry, recorded_versions(tables))
    assert tables.count("lineages") == 3


def test_changed_tags_are_set_back(tables: Tables, registry: Any) -> None:
    """The table is the record; a tag that differs from it, or is missing, is mended."""
    record_versions(tables, registry, recorded_versions(tables))
    registry.tags["2"]["lineage"] = "forged"
    del registry.tags["2"]["log_hash"]
    record_versions(tables, registry, recorded_versions(tables))
    assert (registry.tags["2"]["lineage"], registry.tags["2"]["log_hash"]) == ("a", "abc")
    assert registry.writes == 2
