"""Mistakes end a job with exit code 1, a place and a hint, before any table is touched."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner, Result

from engine import environment
from engine.cli import dbb
from engine.local import session as sessions

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

SCHEMA = "ml_nba_demo_dev"


@pytest.fixture
def bundle(
    spark: SparkSession, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Any:
    """A copy of the project's bundle as the working folder, whose runs use the tests' session."""
    shutil.copy(repository / "databricks.yml", tmp_path)
    for folder in ("conf", "notebooks"):
        shutil.copytree(repository / folder, tmp_path / folder)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sessions, "session", lambda *_, **__: spark)
    monkeypatch.setattr(sessions, "stop", lambda _: None)
    with environment.altered(NBA_LOCAL_ROOT=None):
        yield tmp_path
    spark.sql(f"DROP SCHEMA IF EXISTS juan_dev.{SCHEMA} CASCADE")


def run(job: str, params: str = "") -> Result:
    """`dbb run JOB --local`."""
    given = ["--params", params] if params else []
    return CliRunner().invoke(dbb.main, ["run", job, "--local", *given])


def tables(spark: SparkSession) -> list[str]:
    """The tables in the target's schema."""
    return [row["tableName"] for row in spark.sql(f"SHOW TABLES IN juan_dev.{SCHEMA}").collect()]


def test_a_wrong_key_stops_the_day(spark: SparkSession, bundle: Path) -> None:
    """A misspelt key fails the first task with its line and a hint; what follows is skipped."""
    path = bundle / "conf" / "engine.yml"
    text = path.read_text().replace("window_days: 1", "windov_days: 1")
    path.write_text(text)
    line = text[: text.index("windov_days")].count("\n") + 1
    answer = run("end_to_end_job")
    assert answer.exit_code == 1, answer.output
    assert f"conf/engine.yml:{line}, reward.windov_days" in answer.output
    assert "Hint: did you mean 'window_days'?" in answer.output
    assert answer.output.count("skipped") == 5
    assert "Traceback" not in answer.output
    assert tables(spark) == []


def test_a_wrong_file_stops_the_import(spark: SparkSession, bundle: Path) -> None:
    """A log that is not the one described fails by its checksum, before anything is written."""
    (bundle / "log.csv").write_text("segment,visit\nMens E-Mail,1\n")
    answer = run("data_pipeline_job", "source=hillstrom,source_path=log.csv")
    assert answer.exit_code == 1, answer.output
    assert "sha256" in answer.output
    assert "in source hillstrom, log.csv" in answer.output
    assert "Hint: " in answer.output
    assert tables(spark) == []


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ("as_of=yesterday", "as_of is not a date: 'yesterday'"),
        ("source=hilstrom", "did you mean 'hillstrom'?"),
        ("source=hillstrom", "needs the path of its file"),
        ("asof=2026-03-02", "did you mean 'as_of'?"),
    ],
)
def test_wrong_parameters_stop_a_job(
    spark: SparkSession, bundle: Path, params: str, said: str
) -> None:
    """A parameter that is unknown, no date, or names nothing ends the job with a hint."""
    answer = run("data_pipeline_job", params)
    assert answer.exit_code == 1, answer.output
    assert said in answer.output
    assert "Hint: " in answer.output
    spark.sql(f"CREATE SCHEMA IF NOT EXISTS juan_dev.{SCHEMA}")
    assert tables(spark) == []


def test_monitoring_before_the_day_is_decided(spark: SparkSession, bundle: Path) -> None:
    """The monitoring job alone, on nothing, fails loudly and makes no table."""
    answer = run("monitoring_job")
    assert answer.exit_code == 1, answer.output
    assert "Hint: run inference_job with as_of=2026-03-02 first" in answer.output
    assert "promotion  skipped" in answer.output
    assert tables(spark) == []
