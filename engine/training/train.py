"""Fit recipes on early days, choose by later ones, register the best as a version."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

import numpy as np
import pandas as pd

import policies
from engine.config import Config
from engine.data.lineages import Lineage
from engine.features.customer import feature_hash
from engine.registry import Registry, Version
from engine.training.split import Split, split_days
from policies import LoggedDecisions, Policy
from policies.learning.selection import Selection, default_grid, select


@dataclass(frozen=True, eq=False)
class Trained:
    """A version, and how it came about.

    Args:
        version: the registered version.
        selection: what all recipes were worth; None where an equal training was found.
        split: the days by use.
    """

    version: Version
    selection: Optional[Selection]
    split: Split


def train(
    log: LoggedDecisions,
    incumbent: Policy,
    registry: Registry,
    config: Config,
    features: Mapping[str, str],
    as_of: dt.date,
    trial: Optional[Lineage],
) -> Trained:
    """Train on all but the reserved days, and register what was chosen.

    An equal log, configuration and code find their version, and nothing is registered.

    Args:
        log: decisions matured by `as_of`.
        incumbent: what recipes are compared with.
        registry: where versions are.
        config: the settings.
        features: context columns with their SQL types.
        as_of: the day.
        trial: a lineage on trial is trained on; None chooses among the whole grid.

    Raises:
        JobError: too few days have matured.
        LearningError: a recipe cannot be fitted.
    """
    split = split_days(log, config.engine.training)
    known = log[log.matured_before(split.cut)]
    hashes = {
        "log_hash": log_hash(known),
        "config_hash": _digest(config.engine.model_dump_json(), config.catalogue.hash),
        "code_hash": code_hash(),
        "feature_hash": feature_hash(features),
    }
    key = _digest(*hashes.values())
    found = registry.find(training_key=key)
    if found is not None:
        return Trained(found, None, split)
    recipes = default_grid(log.action_ids)
    if trial is not None:
        recipes = [each for each in recipes if each.recipe == trial.recipe] or recipes
    chosen = select(
        split.fit,
        split.select,
        recipes,
        incumbent,
        floor=config.engine.exploration.floor,
        uniform_share=config.engine.groups.uniform,
    )
    recipe = str(chosen.table.index[0])
    best = next(each for each in recipes if each.recipe == recipe).fit(known)
    going_on = trial is not None and trial.recipe == recipe
    tags = {
        "training_key": key,
        "recipe": recipe,
        "lineage": trial.name if going_on and trial else f"{recipe}@{as_of}",
        "as_of": str(as_of),
        "trained_through": str(split.cut),
        "first_day": str(split.fit.decision_date.min()),  # type: ignore[union-attr]
        "catalogue_hash": config.catalogue.hash,
        **hashes,
    }
    version = registry.register(
        best,
        features,
        _example(known),
        params={**best.params, **_days(split)},
        metrics=_metrics(chosen),
        tables={"selection": chosen.table.reset_index()},
        tags=tags,
    )
    return Trained(version, chosen, split)


def log_hash(log: LoggedDecisions) -> str:
    """12 hex digits of everything in a log that learning reads."""
    parts = [log.action, log.action_probability, log.reward, log.eligible, log.decision_date]
    digest = hashlib.sha256(";".join(log.action_ids).encode())
    for part in parts:
        digest.update(np.ascontiguousarray(part).tobytes())
    if log.contexts is not None:
        digest.update(pd.util.hash_pandas_object(log.contexts, index=False).to_numpy().tobytes())
    return digest.hexdigest()[:12]


def code_hash() -> str:
    """12 hex digits of the source of `policies`, which all learning lives in."""
    root = Path(policies.__file__).parent
    files = sorted(root.rglob("*.py"))
    return _digest(*(f"{each.relative_to(root)} {each.read_text()}" for each in files))


def _digest(*texts: str) -> str:
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:12]


def _example(log: LoggedDecisions) -> pd.DataFrame:
    """A few contexts with their eligible actions, as the served model takes them."""
    assert log.contexts is not None
    ids = np.array(log.action_ids, dtype=object)
    lists = [ids[row].tolist() for row in log.eligible[:5]]
    return log.contexts.head(5).assign(eligible_actions=lists)


def _days(split: Split) -> dict[str, Any]:
    spans: dict[str, Any] = {}
    for name, part in (("fit", split.fit), ("select", split.select)):
        assert part.decision_date is not None
        spans[f"{name}_days"] = f"{part.decision_date.min()} to {part.decision_date.max()}"
        spans[f"{name}_rows"] = len(part)
    return {**spans, "judged_from": str(split.cut)}


def _metrics(chosen: Selection) -> dict[str, float]:
    row = chosen.table.iloc[0]
    names = ("value", "low", "incumbent_value", "difference", "difference_low", "effective_n")
    return {f"selection_{name}": float(row[name]) for name in names}
