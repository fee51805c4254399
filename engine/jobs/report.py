"""The day's report, from the tables; with the true values where the source is simulated."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from pyspark.sql import functions as F

from engine.data.tables import sql_list
from engine.jobs.run import Run
from engine.monitoring.report import Page, render
from engine.world.source import Simulated
from engine.writes import write_text
from policies import LoggedDecisions

Windows = Mapping[str, tuple[LoggedDecisions, Mapping[str, Any]]]


def write_truth(run: Run, simulated: Simulated, windows: Windows) -> None:
    """Write each policy's true value to a file that only the report reads.

    No table holds it, so that nothing that judges can read it.
    """
    rows = [
        {"window": window, "policy": name, "truth": simulated.true_value(policy, log)}
        for window, (log, policies) in windows.items()
        for name, policy in policies.items()
    ]
    write_text(_file(run, "truth", "json"), json.dumps(rows, indent=1))


def write_report(run: Run) -> Path:
    """Render the day's page from the tables into the volume; the same tables give the same page."""
    tables, day, model = run.tables, run.parameters.as_of, run.registry.model_name
    on_day = F.col("as_of") == F.lit(day)
    today = tables.read("decisions").where(F.col("decision_date") == F.lit(day))
    verdicts = tables.read_if_any("verdicts").where(on_day & (F.col("model_name") == model))
    moves = tables.read_if_any("promotions").where(f"model_name IN ({sql_list([model])})")
    standing = run.standing
    page = Page(
        place=run.place,
        as_of=day,
        source=run.parameters.source,
        champion=standing.full_name(standing.champion),
        settings=run.config.engine,
        verdicts=verdicts.toPandas(),
        values=_with_truth(run, tables.read_if_any("policy_values").where(on_day).toPandas()),
        evidence=standing.evidence() if standing.lineage else pd.DataFrame(),
        decisions=today.groupBy("action_id", "group").count().toPandas(),
        drift=tables.read_if_any("drift").where(on_day).toPandas(),
        moves=moves.where(F.col("as_of") <= F.lit(day)).orderBy("as_of", "moved_at").toPandas(),
    )
    path = _file(run, "reports", "html")
    write_text(path, render(page))
    return path


def _with_truth(run: Run, values: pd.DataFrame) -> pd.DataFrame:
    path = _file(run, "truth", "json")
    if not path.exists():
        return values.assign(truth=float("nan"))
    truth = pd.DataFrame(json.loads(path.read_text()))
    return values.merge(truth, on=["window", "policy"], how="left")


def _file(run: Run, kind: str, suffix: str) -> Path:
    return run.parameters.volume / kind / run.tables.schema / f"{run.parameters.as_of}.{suffix}"
