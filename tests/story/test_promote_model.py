"""`nba promote-model` on real Delta tables: a dry run leaves them alone, a real one acts once."""

from __future__ import annotations

import dataclasses
import datetime as dt
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

import pandas as pd
import pytest
from click.testing import CliRunner, Result

from engine.cli import nba
from engine.config import load_config
from engine.data.tables import Tables
from engine.jobs import Run
from engine.models.baselines import baseline
from engine.models.lineage_table import HASHES
from engine.models.registry import Version
from engine.monitoring.health import LOG
from engine.parameters import Parameters
from engine.refs import PolicyRef
from policies import cross_fit
from policies.sequences.days import day_sums
from simulation import scenario

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

AS_OF, RULES = dt.date(2026, 1, 20), "baseline:business_rules"
FILLED, EMPTY = ("evidence", "drift"), ("verdicts", "promotions")


class OneVersion:
    """Stands in for MLflow: version 1, whose lineage started on the day, and live aliases."""

    def __init__(self, model_name: str) -> None:
        self.model_name = model_name
        self.live: dict[str, str] = {}

    def versions(self) -> list[Version]:
        """The one."""
        tags = {"as_of": str(AS_OF), "trained_through": "2026-01-01", "lineage": "a", "recipe": "a"}
        return [Version("1", {**dict.fromkeys(HASHES, "h"), **tags})]

    def alias(self, alias: str) -> Optional[str]:
        """Where it points."""
        return self.live.get(alias)

    def set_alias(self, alias: str, number: str) -> None:
        """Point it there."""
        self.live[alias] = number


def made(spark: SparkSession, repository: Path, volume: Path, candidate: str) -> Run:
    """A monitored day in a schema of its own: a candidate's evidence against the rules.

    Args:
        candidate: "best", the world's best policy, or the name of a baseline.
    """
    schema = f"nba_{re.sub('[^a-z]', '_', candidate)}"
    values = dict.fromkeys(Parameters.names(), "")
    values.update(catalog="juan_dev", schema=schema, as_of=str(AS_OF), volume=str(volume))
    values.update(conf_dir=str(repository / "conf"), experiment="/x")
    config = load_config(repository / "conf")
    world = scenario("stable", 2_000, 3, catalogue=config.catalogue, rules=config.rules)
    log = world.history(days=10, start="2026-01-01")
    rules, ref = PolicyRef.parse(RULES), PolicyRef.baseline(candidate.removeprefix("baseline:"))
    policy = world.best_policy(log) if candidate == "best" else baseline(ref, config)
    ours, theirs = (
        each.distribution(log.contexts, log.eligible) for each in (policy, baseline(rules, config))
    )
    sums = day_sums(log, ours, theirs, cross_fit(log, by="date"))
    rows = pd.DataFrame([each.to_dict() for each in sums])
    tables = Tables(spark, "juan_dev", schema, volume)
    named = {"lineage": "a", "incumbent": RULES, "candidate": "1", "frozen_as_of": AS_OF}
    tables.add_rows("evidence", rows.assign(**named))
    health = {"as_of": AS_OF, "subject": LOG, "metric": "decide_1", "status": "decide"}
    health["reason"] = "the log can judge the candidate"
    tables.add_rows("drift", pd.DataFrame([{**health, "value": 900.0, "threshold": 100.0}]))
    for table in EMPTY:
        tables.ensure(table)
    registry: Any = OneVersion(f"juan_dev.{schema}.next_best_action")
    return Run(spark, Parameters.parse(values), config, tables, registry)


def content(run: Run) -> Mapping[str, Any]:
    """What a step may write, the newest commit of what it may not, and the live aliases."""
    found: dict[str, Any] = {"aliases": dict(run.registry.live)}  # type: ignore[attr-defined]
    for table in EMPTY:
        found[table] = run.tables.read(table).toPandas().astype(str).to_dict("records")
    for table in FILLED:
        last = run.spark.sql(f"DESCRIBE HISTORY {run.tables.name(table)} LIMIT 1").first()
        found[table] = last["version"]
    return found


def call(monkeypatch: pytest.MonkeyPatch, run: Run, *arguments: str) -> Result:
    """`nba promote-model` on these tables, with everything read afresh."""

    @contextmanager
    def instead(_: nba.Request, writes: bool = False) -> Iterator[Run]:
        yield Run(run.spark, run.parameters, run.config, run.tables, run.registry)

    monkeypatch.setattr(nba.Request, "opened", instead)
    return CliRunner().invoke(nba.main, ["promote-model", *arguments])


def the_next_day_is_not_judged(monkeypatch: pytest.MonkeyPatch, run: Run, rejected: bool) -> None:
    """After a rejection nobody is on trial; otherwise the day waits until it is monitored."""
    later = dataclasses.replace(run.parameters, as_of=AS_OF + dt.timedelta(days=1))
    answer = call(monkeypatch, dataclasses.replace(run, parameters=later))
    assert answer.exit_code == 1
    assert ("No candidate is on trial" in answer.output) == rejected
    assert ("Nothing was monitored for 2026-01-21" in answer.output) != rejected


@pytest.mark.slow
@pytest.mark.parametrize(
    ("candidate", "verdict", "code"),
    [("best", "promote", 0), ("baseline:fixed:no_contact", "reject", 4)],
)
def test_promote_model_says_first_and_acts_once(
    spark: SparkSession,
    repository: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    candidate: str,
    verdict: str,
    code: int,
) -> None:
    """A dry run changes nothing; a real one writes a verdict and moves if due; a second nothing."""
    run = made(spark, repository, tmp_path, candidate)
    before = content(run)
    answer = call(monkeypatch, run, "--dry-run")
    assert answer.exit_code == code, answer.output
    assert content(run) == before
    answer = call(monkeypatch, run)
    assert answer.exit_code == code, answer.output
    after = content(run)
    assert [each["verdict"] for each in after["verdicts"]] == [verdict]
    moves = [(each["alias"], each["to_version"], each["actor"]) for each in after["promotions"]]
    promoted = verdict == "promote"
    assert moves == ([("staging", "1", "nba promote-model")] if promoted else [])
    assert after["aliases"] == ({"staging": "1"} if promoted else {})
    assert [after[name] for name in FILLED] == [before[name] for name in FILLED]
    again = call(monkeypatch, run)
    assert (again.exit_code, content(run)) == (code, after)
    assert "(already decided for this day)" in again.output
    the_next_day_is_not_judged(monkeypatch, run, rejected=verdict == "reject")
    assert content(run) == after
