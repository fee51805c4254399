"""Moves of a model's aliases: recorded in `promotions`, and followed by the live aliases."""

from __future__ import annotations

import datetime as dt
from dataclasses import asdict, dataclass
from typing import Optional

import pandas as pd

from engine.data.tables import Tables
from engine.errors import RegistryError
from engine.models.lineage_table import record_versions
from engine.models.registry import ALIASES, Registry
from engine.models.standing import ModelState
from policies.judging.aliases import AliasHistory, Move


@dataclass(frozen=True)
class AliasMove:
    """A move that was decided on: which version takes the alias, by whom, and why.

    Args:
        verdict_id: of the verdict that it follows from; None where there was none.
    """

    as_of: dt.date
    alias: str
    to_version: str
    actor: str
    reason: str
    verdict_id: Optional[str] = None


def move_alias(
    tables: Tables, registry: Registry, history: AliasHistory, move: AliasMove, now: dt.datetime
) -> bool:
    """Record a move, then point the live alias to the newest recorded version.

    Args:
        tables, registry: of the model.
        history: the moves that are recorded.
        move: the move.
        now: written beside it.

    Returns:
        Whether the move is new; one that is recorded already is not made again.
    """
    before = history.version(move.alias, move.as_of, today=True)
    moved = before != move.to_version
    if moved:
        row = {"model_name": registry.model_name, "from_version": before, "moved_at": now}
        tables.add_rows("promotions", pd.DataFrame([{**asdict(move), **row}]))
        recorded = Move(move.as_of, move.alias, before, move.to_version)
        history = history.with_move(recorded)
    _follow(registry, history, move.alias)
    return moved


def reconcile(state: ModelState, now: dt.datetime) -> bool:
    """Complete what a stopped run left: records of versions, moves of promotions, live aliases.

    Args:
        state: what the tables and the registry hold.
        now: written beside a completed move.

    Returns:
        Whether a table was written, so that the state must be read anew.

    Raises:
        RegistryError: the registry lacks a version that `promotions` names.
    """
    tables, registry, history = state.tables, state.registry, state.history
    _require_versions(registry, history)
    changed = record_versions(tables, registry, state.recorded)
    rows = state.verdicts[state.verdicts["verdict"] == "promote"].to_dict("records")
    for row in rows:
        day, alias, version = row["as_of"], row["to_alias"], row["candidate"]
        if not history.holds(day, alias, version):
            reason = "the move of a recorded verdict, completed"
            decided = AliasMove(day, alias, version, "reconciliation", reason, row["verdict_id"])
            move_alias(tables, registry, history, decided, now)
            recorded = Move(day, alias, history.version(alias, day, today=True), version)
            history, changed = history.with_move(recorded), True
    for alias in ALIASES:
        _follow(registry, history, alias)
    return changed


def _follow(registry: Registry, history: AliasHistory, alias: str) -> None:
    """Point a live alias to the version of its newest recorded move."""
    newest = history.version(alias, dt.date.max)
    if newest is not None and registry.alias(alias) != newest:
        registry.set_alias(alias, newest)


def required_versions(history: AliasHistory) -> set[str]:
    """The versions that the registry must have: each that was staging or champion, and the candidate.

    Earlier candidates are no longer read, and housekeeping may delete them.
    """
    candidate = history.version("candidate", dt.date.max)
    named = {move.to_version for move in history.moves if move.alias != "candidate"}
    return named if candidate is None else named | {candidate}


def _require_versions(registry: Registry, history: AliasHistory) -> None:
    named = required_versions(history)
    lacking = named - {version.number for version in registry.versions()} if named else set()
    if lacking:
        numbers = ", ".join(sorted(lacking, key=int))
        raise RegistryError(
            f"The registry has no version {numbers} of {registry.model_name}, which the table "
            "promotions names.",
            where=registry.place,
            hint="restore the registry from the same backup as the tables",
        )
