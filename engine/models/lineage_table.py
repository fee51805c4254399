"""The table `lineages`: the record of trained versions, of which the registry's tags are copies."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pandas as pd

from engine.data.tables import Tables
from engine.models.registry import Registry, Version
from policies.judging.lineages import TrainedVersion, lineages

DAYS = ("as_of", "trained_through")
HASHES = ("log_hash", "config_hash", "code_hash", "feature_hash", "catalogue_hash")
TAGS = ("lineage", "recipe", *DAYS, *HASHES)  # columns that are tags of the version, too


Rows = dict[str, dict[str, Any]]  # of the table, by version


def recorded_versions(tables: Tables) -> Rows:
    """The rows of the table by version."""
    rows = tables.read_if_any("lineages").toPandas().to_dict("records")
    return {row["version"]: {str(name): value for name, value in row.items()} for row in rows}


def trained_versions(recorded: Rows, registered: list[Version]) -> list[TrainedVersion]:
    """All trained versions, oldest first: the recorded ones, and those that are only registered.

    A version that was deleted from the registry stays: its lineage has been tried.
    """
    return _in_order(recorded | _only_registered(registered, recorded))


def record_versions(tables: Tables, registry: Registry, recorded: Rows) -> bool:
    """Record the registered versions that the table lacks, and mend tags that differ from it.

    Returns:
        Whether versions were recorded.
    """
    versions = registry.versions()
    new = _only_registered(versions, recorded)
    rows = recorded | new
    known = lineages(_in_order(rows), dt.date.max)
    started = {lineage.name: lineage.started for lineage in known}
    tried = {lineage.name: place for place, lineage in enumerate(known, start=1)}
    for row in new.values():
        name = row["lineage"]
        row |= {"started": started[name], "tried": tried[name]}
        row["judged_from"] = row["trained_through"]
    if new:
        tables.add_rows("lineages", pd.DataFrame(list(new.values())))
    for version in versions:
        row = rows.get(version.number, {})
        for name in TAGS:
            if row and version.tags.get(name) != str(row[name]):
                registry.set_tag(version.number, name, str(row[name]))
    return bool(new)


def _only_registered(versions: list[Version], recorded: Rows) -> Rows:
    """What their tags say of the versions that training registered and the table lacks."""
    rows: Rows = {}
    for version in versions:
        if version.number not in recorded and all(name in version.tags for name in TAGS):
            row: dict[str, Any] = {name: version.tags[name] for name in TAGS}
            row |= {name: dt.date.fromisoformat(row[name]) for name in DAYS}
            rows[version.number] = {"version": version.number, **row}
    return rows


def _in_order(rows: Rows) -> list[TrainedVersion]:
    """As the gate reads them, oldest first."""
    return [
        TrainedVersion(number, row["lineage"], row["as_of"], row["trained_through"])
        for number, row in sorted(rows.items(), key=lambda item: int(item[0]))
    ]
