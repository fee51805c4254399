"""Who stands where on the day: champion, previous champion, the lineage on trial, its evidence."""

from __future__ import annotations

import datetime as dt
from typing import Optional

import pandas as pd

from engine.baselines import PREFIX, baseline
from engine.data.aliases import AliasHistory
from engine.data.lineages import Lineage, lineages, on_trial
from engine.data.tables import sql_list
from engine.jobs.run import Run
from policies import Policy


def valued(run: Run, window: str) -> dict[str, Policy]:
    """The policies that a window of the log can judge fairly, by name.

    Args:
        run: the run.
        window: `all` holds rows that the candidate learned from, so it is judged on `unseen` only.
    """
    ids = run.config.catalogue.action_ids
    names = ["baseline:uniform", *(f"baseline:fixed:{action}" for action in ids)]
    if run.config.rules:
        names.insert(0, "baseline:business_rules")
    policies = {name: baseline(name, run.config) for name in names}
    lineage = newest_lineage(run)
    if window == "unseen" and lineage is not None:
        for name in dict.fromkeys((champion(run)[0], lineage.newest)):
            if not name.startswith(PREFIX):
                policies[full_name(run, name)] = run.registry.load(name)
    return policies


def evidence_of(run: Run, lineage: Lineage, incumbent: str) -> pd.DataFrame:
    """The frozen days of a lineage against an incumbent that had matured by the day."""
    run.tables.ensure("evidence")
    rows = run.tables.read("evidence").where(
        f"lineage IN ({sql_list([lineage.name])}) AND incumbent IN ({sql_list([incumbent])}) "
        f"AND frozen_as_of <= DATE '{run.parameters.as_of}'"
    )
    return rows.orderBy("decision_date").toPandas()


def unseen_from(run: Run, lineage: Lineage) -> dt.date:
    """The first day that neither the newest version nor the champion has learned from."""
    days = [lineage.versions[-1][1]]
    name, _ = champion(run)
    if not name.startswith(PREFIX):
        tags = run.registry.version(name).tags
        days.append(dt.date.fromisoformat(tags["trained_through"]))
    return max(days)


def champion(run: Run) -> tuple[str, Policy]:
    """Who decides on the day: a version's number, or the baseline of the configuration."""
    history = AliasHistory.read(run.tables, run.registry.model_name)
    version = history.version("champion", run.parameters.as_of)
    if version is None:
        name = run.config.engine.gate.incumbent
        return name, baseline(name, run.config)
    return version, run.registry.load(version)


def previous_policy(run: Run) -> Optional[Policy]:
    """The champion before, while a share of customers still stays with it."""
    history = AliasHistory.read(run.tables, run.registry.model_name)
    before = history.previous_champion(run.parameters.as_of)
    if before is None:
        return None
    number = before["version"]
    if number is None:
        return baseline(run.config.engine.gate.incumbent, run.config)
    return run.registry.load(number)


def lineages_by(run: Run, as_of: dt.date) -> list[Lineage]:
    """All lineages that had started by a day."""
    return lineages(((each.number, each.tags) for each in run.registry.versions()), as_of)


def newest_lineage(run: Run) -> Optional[Lineage]:
    """The lineage that the day's gate judges; None when its trial ended on an earlier day."""
    day = run.parameters.as_of
    return on_trial(lineages_by(run, day), verdicts(run), day, run.config.engine.gate.trial_days)


def verdicts(run: Run) -> pd.DataFrame:
    """The table `verdicts`."""
    run.tables.ensure("verdicts")
    return run.tables.read("verdicts").toPandas()


def full_name(run: Run, name: str) -> str:
    """A policy as people read it: a baseline's name, or `catalog.schema.model:3`."""
    return name if name.startswith(PREFIX) else f"{run.registry.model_name}:{name}"
