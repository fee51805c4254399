"""The gate's verdict on the lineage on trial, and its row in `verdicts`."""

from __future__ import annotations

import datetime as dt
import json
import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from engine.digests import text_digest
from engine.settings import GateSettings
from policies import Gate, Verdict
from policies.judging.lineages import Step
from policies.sequences.days import DaySums


def judge(
    step: Step, evidence: pd.DataFrame, settings: GateSettings, problems: Sequence[str] = ()
) -> Verdict:
    """The gate's verdict on the evidence of a lineage against its incumbent.

    Args:
        step: the promotion to judge.
        evidence: rows of `evidence`, oldest first.
        settings: the gate's.
        problems: why the log cannot be trusted, if anything; then nothing moves.
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
        "verdict_id": text_digest(*parts),
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
        "rules": json.dumps(_finite(verdict.rules), allow_nan=False),
        "log_hash": text_digest(evidence.astype(str).to_csv(index=False)),
    }


def _finite(value: Any) -> Any:
    """The same with null for infinite bounds, which JSON and the table do not have."""
    if isinstance(value, dict):
        return {key: _finite(part) for key, part in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
