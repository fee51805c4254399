"""The verdict on the lineage on trial, and the alias it moves or holds."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Optional

import pandas as pd

from engine.data.tables import Tables
from engine.models.aliases import AliasHistory
from engine.models.lineages import Lineage
from engine.models.registry import Registry
from engine.settings import GateSettings
from policies import Gate, Verdict
from policies.sequences.days import DaySums


@dataclass(frozen=True)
class Step:
    """What is asked of the gate: may this version take this alias from the incumbent?

    Args:
        alias: `staging` or `champion`.
        version: of the candidate, which would get the alias.
        incumbent: whom it is compared with.
        tried: how many lineages have been tried, this one included.
    """

    alias: str
    version: str
    incumbent: str
    tried: int


def next_step(
    known: list[Lineage], lineage: Lineage, incumbent: str, history: AliasHistory, as_of: dt.date
) -> Step:
    """Staging comes first; the version that holds it is the one that may become champion."""
    staged = history.version("staging", as_of)
    own = [number for number, _ in lineage.versions]
    tried = known.index(lineage) + 1
    if staged in own:
        return Step("champion", str(staged), incumbent, tried)
    return Step("staging", lineage.newest, incumbent, tried)


def judge(
    step: Step, evidence: pd.DataFrame, settings: GateSettings, problems: Sequence[str] = ()
) -> Verdict:
    """The gate's verdict on the evidence of a lineage against its incumbent.

    Args:
        step: what is asked.
        evidence: rows of `evidence`, oldest first.
        settings: how much the gate asks for.
        problems: what is wrong with the log, if anything; then nothing moves.
    """
    gate = Gate(settings.alpha, settings.margin, settings.minimum_effect)
    days = [DaySums.from_dict(row) for row in evidence.to_dict("records")]
    return gate.judge(days, step.alias, tried=step.tried, problems=problems)


def verdict_row(
    model_name: str, step: Step, verdict: Verdict, evidence: pd.DataFrame, as_of: dt.date
) -> dict[str, Any]:
    """The row of `verdicts`; its id names model, versions, step and day."""
    parts = (model_name, step.version, step.incumbent, step.alias, str(as_of))
    return {
        "verdict_id": _digest(*parts),
        "as_of": as_of,
        "model_name": model_name,
        "to_alias": step.alias,
        "candidate": step.version,
        "incumbent": step.incumbent,
        "verdict": verdict.verdict,
        "difference": verdict.difference,
        "low": _finite(verdict.low),
        "high": _finite(verdict.high),
        "alpha": verdict.alpha,
        "rules": json.dumps(_finite_readings(verdict.rules), allow_nan=False),
        "log_hash": _digest(evidence.astype(str).to_csv(index=False)),
    }


def move_alias(
    tables: Tables,
    registry: Registry,
    history: AliasHistory,
    alias: str,
    version: str,
    as_of: dt.date,
    *,
    verdict_id: Optional[str],
    actor: str,
    reason: str,
    now: Callable[[], dt.datetime],
) -> bool:
    """Record a move in `promotions`, and point the live alias to the newest recorded one.

    Returns:
        Whether the move is new; one that is recorded already is not made again.
    """
    before = history.version(alias, as_of, today=True)
    moved = before != version
    if moved:
        row = {
            "moved_at": now(),
            "as_of": as_of,
            "model_name": registry.model_name,
            "alias": alias,
            "from_version": before,
            "to_version": version,
            "verdict_id": verdict_id,
            "actor": actor,
            "reason": reason,
        }
        tables.add_rows("promotions", pd.DataFrame([row]))
        history = history.with_move(row)
    newest = history.version(alias, dt.date.max)
    assert newest is not None
    if registry.alias(alias) != newest:
        registry.set_alias(alias, newest)
    return moved


def _digest(*texts: str) -> str:
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:12]


def _finite(value: float) -> Optional[float]:
    """Without any row a bound is infinite; the table then says null."""
    return value if abs(value) < float("inf") else None


def _finite_readings(rules: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """JSON knows no infinity either."""
    return {
        name: {
            key: _finite(value) if isinstance(value, float) else value
            for key, value in rule.items()
        }
        for name, rule in rules.items()
    }
