"""`nba doctor` sees what does not hold between tables, registry and volume, and repairs what it can."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest
from click.testing import CliRunner

from engine.cli import nba
from engine.jobs import Run
from engine.jobs.doctor import INVARIANTS, Broken, Skipped, examine
from engine.models.registry import _OURS

pytestmark = pytest.mark.integration

BY_NAME = {invariant.name: invariant for invariant in INVARIANTS}
DAMAGES = {  # table, statement, the invariants that no longer hold
    "a column more": ("drift", "ALTER TABLE {t} ADD COLUMN extra INT", {"columns of tables"}),
    "a key twice": (
        "outcomes",
        "INSERT INTO {t} SELECT * FROM {t} LIMIT 1",
        {"keys of tables"},
    ),
    "two decisions of a customer": (
        "decisions",
        "INSERT INTO {t} SELECT 'another', * EXCEPT (decision_id) FROM {t} LIMIT 1",
        {"one decision a day"},
    ),
    "another probability": (
        "decisions",
        "UPDATE {t} SET action_probability = 0.123 WHERE `group` = 'policy'",
        {"logged probabilities", "recomputed probabilities"},
    ),
    "another distribution": (
        "decisions",
        "UPDATE {t} SET distribution = transform_values(distribution, (k, v) -> 1D / size("
        "distribution)), action_probability = 1D / size(distribution) WHERE `group` = 'policy'",
        {"recomputed probabilities"},
    ),
    "decisions lost": (
        "decisions",
        "DELETE FROM {t} WHERE decision_date < DATE '2026-02-20'",
        {"decisions of rewards", "decisions of outcomes"},
    ),
    "a move to a version that is not there": (
        "promotions",
        "UPDATE {t} SET to_version = '99', alias = 'staging'",
        {"registered versions"},
    ),
    "a lineage forgotten": ("lineages", "DELETE FROM {t}", {"recorded versions"}),
    "a move forgotten": ("promotions", "DELETE FROM {t}", {"live aliases"}),
    "a verdict changed": (
        "verdicts",
        "UPDATE {t} SET verdict = 'promote'",
        {"verdicts", "moves of verdicts"},
    ),
}


@contextmanager
def damaged(run: Run, table: str, statement: str) -> Iterator[None]:
    """Within the block a table is changed."""
    name = run.tables.name(table)
    before = run.spark.sql(f"DESCRIBE HISTORY {name} LIMIT 1").first()["version"]
    run.spark.sql(statement.replace("{t}", name))
    try:
        yield
    finally:
        run.spark.sql(f"RESTORE TABLE {name} TO VERSION AS OF {before}")


def broken(run: Run, *names: str) -> set[str]:
    """Which of these invariants do not hold."""
    return {name for name in names if isinstance(BY_NAME[name].check(run), Broken)}


def test_a_healthy_target_holds_and_nothing_is_written(loop: Any) -> None:
    """Every invariant is checked and holds; looking changes no table, version, alias or file."""
    before, files = loop.content(), sorted(loop.root.rglob("*"))
    found = examine(loop.run_of(loop.first), fix=False)
    assert {examined.name: examined.answer for examined in found} == dict.fromkeys(BY_NAME)
    assert loop.content() == before
    assert {path for path in loop.root.rglob("*") if "mlflow.db" not in path.name} <= {*files}


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_is_seen(loop: Any, name: str) -> None:
    """Each kind of damage breaks its invariants, which say how often, where and what to do."""
    table, statement, invariants = DAMAGES[name]
    with damaged(loop.run_of(loop.first), table, statement):
        run = loop.run_of(loop.first)
        assert broken(run, *invariants) == invariants
        answer = BY_NAME[min(invariants)].check(run)
        assert isinstance(answer, Broken)
        assert answer.count >= 1
        assert answer.hint
    assert broken(loop.run_of(loop.first), *invariants) == set()


def test_changed_model_files_are_seen(loop: Any) -> None:
    """A version whose weights are not the registered ones is named; nothing repairs it."""
    registry = loop.registry
    uri = registry.client.get_model_version_download_uri(registry.model_name, "1")
    folder = Path(mlflow.artifacts.download_artifacts(uri))
    path = next(folder.rglob("weights.npy"))
    kept = path.read_bytes()
    np.save(path, -np.load(path))
    try:
        answer = BY_NAME["files of models"].check(loop.run_of(loop.first))
    finally:
        path.write_bytes(kept)
    assert isinstance(answer, Broken)
    assert answer.what.startswith("versions: 1: ")
    assert BY_NAME["files of models"].repair is None


def test_what_has_one_right_repair_is_repaired(loop: Any) -> None:
    """An alias, a tag, a record of a version and leftovers are put right, and then all holds."""
    run, registry = loop.run_of(loop.first), loop.registry
    before = loop.content()
    staged = loop.root / "volume" / "staging" / "999999999-left"
    staged.mkdir(parents=True)
    experiment = registry.client.get_experiment_by_name(registry.experiment).experiment_id
    left = registry.client.create_run(experiment, tags=_OURS).info.run_id
    registry.client.set_model_version_tag(registry.model_name, "1", "recipe", "another")
    registry.client.set_registered_model_alias(registry.model_name, "champion", "1")
    registry.client.delete_registered_model_alias(registry.model_name, "champion")
    registry.client.delete_registered_model_alias(registry.model_name, "candidate")
    with damaged(run, "lineages", "DELETE FROM {t}"):
        named = {"recorded versions", "live aliases", "leftovers"}
        assert broken(loop.run_of(loop.first), *named) == named
        registry.client.set_model_version_tag(
            registry.model_name, "1", "recipe", before["versions"]["1"]["recipe"]
        )
        found = {each.name: each for each in examine(loop.run_of(loop.first), fix=True)}
        assert {name for name, each in found.items() if each.repaired} >= {"recorded versions"}
        assert all(each.answer is None for each in found.values())
        again = examine(loop.run_of(loop.first), fix=True)
        assert not any(each.repaired or each.answer for each in again)
    assert not staged.exists()
    assert registry.client.get_run(left).info.status == "KILLED"
    after = loop.content()
    assert (after["aliases"], after["versions"]) == (before["aliases"], before["versions"])


def test_questions_create_no_tables(loop: Any, tmp_path: Path) -> None:
    """On a schema without tables every invariant is answered, and none is made."""
    values = {**loop.parameters(loop.first), "schema": "nobody", "volume": str(tmp_path)}
    loop.spark.sql("CREATE SCHEMA IF NOT EXISTS juan_dev.nobody")
    run = Run.of(loop.spark, values)
    found = examine(run, fix=False)
    assert not any(isinstance(each.answer, Broken) for each in found)
    assert any(isinstance(each.answer, Skipped) for each in found)
    assert loop.spark.sql("SHOW TABLES IN juan_dev.nobody").isEmpty()
    assert not list(tmp_path.iterdir())


def test_the_command_says_what_it_found(loop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line an invariant, exit code 1 while something is left, 0 when all holds."""

    @contextmanager
    def opened(request: Any, writes: bool = False) -> Iterator[Run]:
        yield loop.run_of(loop.first)

    monkeypatch.setattr(nba.Request, "opened", opened)
    monkeypatch.setattr(nba, "workspace_configured", lambda: False)
    run = loop.run_of(loop.first)
    with damaged(run, "verdicts", "UPDATE {t} SET verdict = 'reject'"):
        answer = CliRunner().invoke(nba.main, ["doctor", "--format", "json"])
        content = json.loads(answer.stdout)
        assert answer.exit_code == 1
        failed = [row for row in content["checks"] if row["answer"] == "FAILED"]
        assert [row["subject"] for row in failed] == ["verdicts"]
        assert "Hint: " in failed[0]["detail"]
    answer = CliRunner().invoke(nba.main, ["doctor", "--fix", "--dry-run"])
    assert answer.exit_code == 0, answer.output
    assert answer.output.splitlines()[-1] == f"{len(INVARIANTS)} invariants, 0 do not hold"
