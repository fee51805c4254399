"""Fit recipes on early days, choose by later ones, register the best as a version."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

import numpy as np
import pandas as pd

import policies
from engine.config import Config
from engine.features.customer import feature_hash
from engine.models.lineages import Lineage
from engine.models.registry import RecipeResult, Registry, Version
from engine.training.picture import selection_picture
from engine.training.split import Split, split_days
from policies import LoggedDecisions, Policy, Selection, default_grid, select
from policies.learning.averaged import fit_copies
from policies.log import Logs

METRICS = ("value", "low", "incumbent_value", "difference", "difference_low", "effective_n")


@dataclass(frozen=True, eq=False)
class Trained:
    """A version, and how it came about.

    Args:
        version: the registered version; None where no recipe was acceptable.
        selection: what all recipes were worth; None where an equal training had been done before.
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
    features: Mapping[str, str],
    as_of: dt.date,
    trial: Optional[tuple[Lineage, Policy]],
) -> Trained:
    """Train on all but the reserved days, and register what was chosen, if it is acceptable.

    An equal log, configuration, code and incumbent find their version, or that none came of them;
    nothing is registered then. A lineage on trial goes on whatever its value: the gate's evidence decides.

    Args:
        log: decisions matured by `as_of`, or their parts.
        incumbent: name and policy that recipes are compared with.
        registry: where versions are.
        config: the settings.
        features: context columns with their SQL types.
        as_of: the day.
        trial: a lineage on trial and its newest policy, which is fitted anew; None chooses among the
            whole grid.

    Raises:
        JobError: too few days have matured.
        LearningError: a recipe cannot be fitted.
    """
    split = split_days(log, config.engine.training)
    hashes = {
        "log_hash": log_hash(split.known),
        "config_hash": _digest(config.engine.model_dump_json(), config.catalogue.hash),
        "code_hash": code_hash(),
        "feature_hash": feature_hash(features),
    }
    key = _digest(*hashes.values(), incumbent[0], str(incumbent[1].params))
    found = registry.find(training_key=key)
    if found is not None or registry.has_run(training_key=key):
        return Trained(found, None, split)
    settings = config.engine
    chosen = select(
        split.fit,
        split.select,
        _grid(config) if trial is None else [trial[1]],
        incumbent[1],
        floor=settings.exploration.floor,
        uniform_share=settings.groups.uniform,
        margin=settings.gate.margin,
    )
    recipe = chosen.best.name
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
    registers = chosen.acceptable or trial is not None
    [best] = fit_copies([chosen.best], split.known) if registers else [None]
    version = registry.register(
        best,
        features,
        _example(split.select),
        params={**chosen.best.params, **_spans(split)},
        metrics=_metrics(chosen.table.iloc[0]),
        tables={"selection": chosen.table.reset_index()},
        pictures={"selection": selection_picture(chosen.table, incumbent[0])},
        rivals=_rivals(chosen),
        tags=tags,
    )
    return Trained(version, chosen, split)


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
    return _digest(*(each.hexdigest() for each in digests.values()))


def _of_one_type(column: pd.Series[Any]) -> pd.Series[Any]:
    """Numbers as floats and the rest as texts: types that do not tell whether there are nulls."""
    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
        return column.astype(np.float64)
    return column.astype(object).where(column.notna(), None).astype(str)


def code_hash() -> str:
    """12 hex digits of the source of `policies`, which all learning lives in."""
    root = Path(policies.__file__).parent
    files = sorted(root.rglob("*.py"))
    return _digest(*(f"{each.relative_to(root)} {each.read_text()}" for each in files))


def _digest(*texts: str) -> str:
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:12]


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


def _spans(split: Split) -> dict[str, Any]:
    spans: dict[str, Any] = {"judged_from": str(split.cut)}
    for name, span in (("fit", split.fit_span), ("select", split.select_span)):
        spans[f"{name}_days"] = f"{span.first} to {span.last}"
        spans[f"{name}_rows"] = span.rows
    return spans


def _metrics(row: pd.Series[Any]) -> dict[str, float]:
    return {f"selection_{name}": float(row[name]) for name in METRICS}


def _rivals(chosen: Selection) -> Sequence[RecipeResult]:
    """Every recipe with its settings and its worth."""
    return [
        RecipeResult(str(name), chosen.policies[str(name)].params, _metrics(row))
        for name, row in chosen.table.iterrows()
    ]
