"""Housekeeping: deletes what no later day needs, and compacts the tables."""

from __future__ import annotations

import datetime as dt
from typing import Optional

from engine.data.storage import compact, delete_before, remove_unused_files, set_retention
from engine.data.tables import TABLES
from engine.errors import JobError
from engine.jobs.run import Result, Run
from engine.models.registry import ALIASES
from engine.promotion.moves import required_versions


def housekeeping(run: Run) -> Result:
    """Delete rows, versions and files beyond `retention` of engine.yml; rewrite many files as few.

    Ages are counted from the newest day whose features are complete, so that a mistyped `as_of`
    deletes nothing more. Rows that any later day reads are never deleted, nor are versions that are or
    were staging or champion, that have an alias, or that belong to the newest lineage. `lineages`
    keeps the record of a deleted version.

    Raises:
        JobError: no day has been completed.
    """
    tables, keep = run.tables, run.config.engine.retention
    day = _newest_day(run)
    run.reconcile()
    deleted = {
        table: delete_before(tables, table, day - dt.timedelta(days))
        for table, days in (("policy_values", keep.policy_values), ("drift", keep.drift))
    }
    trial_days = run.config.engine.gate.trial_days
    versions = _unused_versions(run, day - dt.timedelta(max(keep.versions, trial_days)))
    for number in versions:
        run.registry.delete(number)
    present = [table for table in TABLES if tables.exists(table)]
    for table in present:
        set_retention(tables, table, keep)
    cleaned = [table for table in present if remove_unused_files(tables, table)]
    compacted = [table for table in present if compact(tables, table)]
    summary = (
        f"{len(versions)} versions deleted; unused files of {len(cleaned)} tables removed; "
        f"{len(compacted)} tables compacted"
    )
    return Result(summary, deleted)


def _newest_day(run: Run) -> dt.date:
    tables, as_of = run.tables, run.parameters.as_of
    rows = tables.read("completed_stages").where(
        f"stage = 'feature_engineering' AND as_of <= DATE '{as_of}'"
    )
    day: Optional[dt.date] = rows.selectExpr("max(as_of)").first()[0]
    if day is None:
        raise JobError(
            f"No day up to {as_of} has been completed.",
            where=run.place,
            hint="run data_pipeline_job first, or give a later as_of",
        )
    return day


def _unused_versions(run: Run, before: dt.date) -> list[str]:
    """Recorded versions trained before a day that nothing names, oldest first."""
    standing = run.standing
    versions = [version.number for version in run.registry.versions()]
    recorded = {number: row for number, row in standing.recorded.items() if number in versions}
    if not recorded:
        return []
    newest = standing.recorded[max(standing.recorded, key=int)]["lineage"]
    aliases = (run.registry.alias(alias) for alias in ALIASES)
    named = required_versions(standing.history) | {*aliases}
    return [
        number
        for number, row in sorted(recorded.items(), key=lambda item: int(item[0]))
        if row["as_of"] < before and row["lineage"] != newest and number not in named
    ]
