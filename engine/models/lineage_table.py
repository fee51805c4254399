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


def trained_versions(tables: Tables, registry: Registry) -> list[TrainedVersion]:
    """All trained versions, oldest first: the recorded ones, and those that are only registered.

    A version that was deleted from the registry stays: its lineage has been tried.
    """
    rows = _recorded(tables) | _only_registered(registry.versions(), _recorded(tables))
    return [_trained(rows[number]) for number in sorted(rows, key=int)]


def record_versions(tables: Tables, registry: Registry) -> None:
    """Record the registered versions that the table lacks, and mend tags that differ from it."""
    versions, recorded = registry.versions(), _recorded(tables)
    new = _only_registered(versions, recorded)
    rows = recorded | new
    known = lineages(map(_trained, (rows[number] for number in sorted(rows, key=int))), dt.date.max)
    started = {lineage.name: lineage.started for lineage in known}
    tried = {lineage.name: place for place, lineage in enumerate(known, start=1)}
    for row in new.values():
        name = row["lineage"]
        row |= {"started": started[name], "tried": tried[name]}
        row["judged_from"] = row["trained_through"]
    tables.add_rows("lineages", pd.DataFrame(list(new.values())))
    for version in versions:
        row = rows.get(version.number, {})
        for name in TAGS:
            if row and version.tags.get(name) != str(row[name]):
                registry.set_tag(version.number, name, str(row[name]))


def _recorded(tables: Tables) -> dict[str, dict[str, Any]]:
    """The rows of the table by version."""
    tables.ensure("lineages")
    rows = tables.read("lineages").toPandas().to_dict("records")
    return {row["version"]: {str(name): value for name, value in row.items()} for row in rows}


def _only_registered(
    versions: list[Version], recorded: dict[str, dict[str, Any]]
) -> dict[str, dict[str, Any]]:
    """What their tags say of the versions that training registered and the table lacks."""
    rows: dict[str, dict[str, Any]] = {}
    for version in versions:
        if version.number not in recorded and all(name in version.tags for name in TAGS):
            row: dict[str, Any] = {name: version.tags[name] for name in TAGS}
            row |= {name: dt.date.fromisoformat(row[name]) for name in DAYS}
            rows[version.number] = {"version": version.number, **row}
    return rows


def _trained(row: dict[str, Any]) -> TrainedVersion:
    return TrainedVersion(row["version"], row["lineage"], row["as_of"], row["trained_through"])
