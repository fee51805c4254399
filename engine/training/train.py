"""Fit recipes on early days, choose by later ones, register the best as a version."""

from __future__ import annotations

import datetime as dt
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

import numpy as np
import pandas as pd

import policies
from engine.config import Config
from engine.digests import text_digest
from engine.models.registry import RecipeResult, Registry, Version
from engine.training.picture import selection_picture
from policies import LoggedDecisions, Policy, Selection, default_grid, select
from policies.judging.lineages import Lineage
from policies.judging.training_days import Split, split_days
from policies.log import Logs

METRICS = ["value", "low", "incumbent_value", "difference", "difference_low", "effective_n"]


@dataclass(frozen=True, eq=False)
class Trained:
    """A version, and how it came about.

    Args:
        version: the registered version; None if no recipe was acceptable.
        selection: what all recipes were worth; None if the inputs are unchanged.
        split: the days by use.
    """

    version: Optional[Version]
    selection: Optional[Selection]
    split: Split


def train(
    log: Logs,
    incumbent: tuple[str, Policy],
    registry: Registry,
    config: Config,
    as_of: dt.date,
    trial: Optional[tuple[Lineage, Policy]],
) -> Trained:
    """Train on all but the reserved days, and register what was chosen, if it is acceptable.

    With unchanged inputs (log, configuration, code and incumbent) nothing is registered: the result
    is the version of the earlier training, or None if that had none. A lineage on trial gets its
    next version whatever its value: the gate's evidence decides.

    Args:
        log: decisions matured by `as_of`, or their parts.
        incumbent: name and policy that recipes are compared with.
        registry: where versions are.
        config: the settings.
        as_of: the day.
        trial: a lineage on trial and its newest policy, which is fitted anew; None chooses among
            the whole grid.

    Raises:
        TooFewDaysError: too few days have matured.
        LearningError: a recipe cannot be fitted.
    """
    days = config.engine.training
    split = split_days(log, reserve_days=days.reserve_days, fit_share=days.fit_share)
    settings = config.engine.model_dump_json(exclude={"retention"})
    hashes = {  # of all that a training reads
        "log_hash": log_hash(split.known),
        "config_hash": text_digest(settings, config.catalogue.hash),
        "code_hash": code_hash(),
        "feature_hash": config.features.hash,
    }
    key = text_digest(*hashes.values(), incumbent[0], str(incumbent[1].params))
    earlier = registry.find(training_key=key)
    if earlier is not None or registry.has_run(training_key=key):
        return Trained(earlier, None, split)
    selection = select(
        split.fit,
        split.select,
        _grid(config) if trial is None else [trial[1]],
        incumbent[1],
        exploration=config.exploration,
        margin=config.engine.gate.margin,
    )
    recipe = selection.best.name
    tags = {
        "training_key": key,
        "recipe": recipe,
        "lineage": f"{recipe}@{as_of}" if trial is None else trial[0].name,
        "as_of": str(as_of),
        "trained_through": str(split.cut),
        "first_day": str(split.fit_span.first),
        "catalogue_hash": config.catalogue.hash,
        **hashes,
    }
    registers = selection.acceptable or trial is not None
    best = selection.best.fit(split.known) if registers else None
    shown = _shown(selection, split, incumbent[0])
    version = registry.register(
        best, config.features.types, _example(split.select), tags=tags, **shown
    )
    return Trained(version, selection, split)


def log_hash(log: Logs) -> str:
    """12 hex digits of everything in a log that learning reads, however it is cut into parts."""
    names = ("action", "action_probability", "reward", "eligible", "decision_date")
    digests = {name: hashlib.sha256() for name in ("action_ids", *names, "contexts")}
    for part in [log] if isinstance(log, LoggedDecisions) else log:
        digests["action_ids"] = hashlib.sha256(";".join(part.action_ids).encode())
        for name in names:
            digests[name].update(np.ascontiguousarray(getattr(part, name)).tobytes())
        if part.contexts is not None:
            plain = part.contexts.apply(_of_one_type)
            rows = pd.util.hash_pandas_object(plain, index=False).to_numpy()
            digests["contexts"].update(rows.tobytes())
    return text_digest(*(digest.hexdigest() for digest in digests.values()))


def _of_one_type(column: pd.Series[Any]) -> pd.Series[Any]:
    """Numbers as floats and the rest as texts: types that do not tell whether there are nulls."""
    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
        return column.astype(np.float64)
    return column.astype(object).where(column.notna(), None).astype(str)


def code_hash() -> str:
    """12 hex digits of the source of `policies`, which all learning lives in."""
    root = Path(policies.__file__).parent
    files = sorted(root.rglob("*.py"))
    return text_digest(*(f"{file.relative_to(root)} {file.read_text()}" for file in files))


def _grid(config: Config) -> list[Policy]:
    """The recipes of the configuration."""
    training, catalogue = config.engine.training, config.catalogue
    described = catalogue.action_features if training.describe_actions else None
    return default_grid(catalogue.action_ids, grid=training.grid, action_features=described)


def _example(log: LoggedDecisions) -> pd.DataFrame:
    """A few contexts with their eligible actions, as the served model takes them."""
    assert log.contexts is not None
    ids = np.array(log.action_ids, dtype=object)
    lists = [ids[row].tolist() for row in log.eligible[:5]]
    return log.contexts.head(5).assign(eligible_actions=lists)


def _shown(selection: Selection, split: Split, incumbent: str) -> dict[str, Any]:
    """The parameters, metrics, table and picture of a training's run, and its nested runs."""
    days: dict[str, Any] = {"judged_from": str(split.cut)}
    for name, span in (("fit", split.fit_span), ("select", split.select_span)):
        days |= {f"{name}_days": f"{span.first} to {span.last}", f"{name}_rows": span.rows}
    readings = selection.table[METRICS].astype(float).add_prefix("selection_")
    metrics: dict[Any, Any] = readings.to_dict("index")
    return {
        "params": {**selection.best.params, **days},
        "metrics": next(iter(metrics.values())),
        "tables": {"selection": selection.table.reset_index()},
        "pictures": {"selection": selection_picture(selection.table, incumbent)},
        "rivals": [
            RecipeResult(recipe, selection.policies[recipe].params, values)
            for recipe, values in metrics.items()
        ],
    }
