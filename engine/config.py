"""What people configure: the catalogue, the engine's settings and the logs to import."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from engine.documents import Document, read_document
from engine.errors import ConfigError
from policies.catalogue import NO_CHANNEL, PREDICATE_KEYS, Action, Catalogue
from policies.errors import CatalogueError, NbaError, PredicateError, did_you_mean
from policies.judging.selection import GRID
from policies.learning.vowpal.policy import VowpalPolicy
from policies.learning.vowpal.settings import VowpalSettings
from policies.predicates import Predicate

SIMULATION = "simulation"


class Section(BaseModel):
    """A part of a YAML file; a key it does not know is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Reward(Section):
    """What a decision earns: outcome values in its window, minus the action's cost."""

    outcomes: dict[str, float] = Field(min_length=1)
    window_days: int = Field(ge=1, le=90)
    lag_days: int = Field(ge=0, le=90)
    range: tuple[float, float]

    @model_validator(mode="after")
    def _ordered(self) -> Reward:
        if not self.range[0] < self.range[1]:
            raise ValueError("range must be [lowest, highest]")
        return self

    @property
    def matured_after_days(self) -> int:
        """Days from a decision's date to the first `as_of` at which its reward is complete."""
        return self.window_days + self.lag_days + 1


class GroupShares(Section):
    """Shares of customers that are drawn uniformly, held out, or stay with the old champion."""

    uniform: float = Field(ge=0, lt=1)
    holdout: float = Field(ge=0, lt=1)
    previous: float = Field(ge=0, lt=1)


class Exploration(Section):
    """How much every policy explores once it is deployed."""

    floor: float = Field(ge=0, lt=0.5)


class BusinessRule(Section):
    """Where `when` holds, take `action`."""

    when: str
    action: str


class Training(Section):
    """Which days fit, which select, which are kept for the gate; and what is tried."""

    reserve_days: int = Field(ge=1)
    fit_share: float = Field(gt=0, lt=1)
    describe_actions: bool = False
    grid: tuple[dict[str, Any], ...] = GRID


class GateSettings(Section):
    """How much evidence a promotion asks for."""

    incumbent: str
    alpha: float = Field(gt=0, lt=0.5)
    margin: float = Field(ge=0)
    minimum_effect: float = Field(gt=0)
    trial_days: int = Field(ge=1)


class Drift(Section):
    """When a change of the customers raises a flag."""

    psi: float = Field(gt=0)


class EngineConfig(Section):
    """`conf/engine.yml`."""

    reward: Reward
    groups: GroupShares
    exploration: Exploration
    business_rules: tuple[BusinessRule, ...] = ()
    training: Training
    gate: GateSettings
    drift: Drift


class ActionEntry(Section):
    """One action of `conf/actions.yml`."""

    id: str = Field(min_length=1, pattern=r"^[A-Za-z0-9_]+$")
    name: str
    group: str
    channel: str = NO_CHANNEL
    valid_from: Optional[dt.date] = None
    valid_to: Optional[dt.date] = None
    value: float = 0.0
    cost: float = 0.0
    eligible_when: Optional[str] = None
    applicable_when: Optional[str] = None
    suitable_when: Optional[str] = None
    features: dict[str, Any] = Field(default_factory=dict)


class CatalogueFile(Section):
    """`conf/actions.yml`."""

    currency: str
    actions: tuple[ActionEntry, ...] = Field(min_length=2)


class SourceFile(Section):
    """The file a log is read from."""

    format: str = Field(pattern="^csv$")
    sha256: Optional[str] = Field(default=None, pattern="^[0-9a-f]{64}$")


class SyntheticDays(Section):
    """Rows of a log without dates or customers are numbered and spread over these days."""

    start: dt.date
    days: int = Field(ge=1)


class SourceColumns(Section):
    """How the columns of a foreign log map to this engine's."""

    action: str
    actions: dict[str, str] = Field(min_length=2)
    action_probability: float = Field(gt=0, le=1)
    outcomes: dict[str, str] = Field(min_length=1)
    amount: Optional[str] = None
    features: dict[str, str] = Field(min_length=1)


class SourceConfig(Section):
    """`conf/sources/NAME.yml`: a log to import, with the catalogue and settings it brings."""

    name: str
    description: str
    file: SourceFile
    synthetic: SyntheticDays
    columns: SourceColumns
    catalogue: CatalogueFile
    engine: dict[str, Any] = Field(default_factory=dict)


class SimulationConfig(Section):
    """`conf/sources/simulation.yml`: the world of the demo."""

    name: str
    description: str
    scenario: str
    customers: int = Field(ge=100)
    seed: int = Field(ge=0)
    history_days: int = Field(ge=1)


@dataclass(frozen=True)
class Config:
    """Everything configured for one run; either `source` or `simulation` says where facts are."""

    catalogue: Catalogue
    engine: EngineConfig
    source: Optional[SourceConfig] = None
    simulation: Optional[SimulationConfig] = None

    @property
    def rules(self) -> list[tuple[str, str]]:
        """The business rules as (predicate, action id), in order."""
        return [(rule.when, rule.action) for rule in self.engine.business_rules]


def load_config(
    conf_dir: Path, source: str = SIMULATION, features: Optional[Collection[str]] = None
) -> Config:
    """Read and check the configuration that a source runs with.

    Args:
        conf_dir: the folder of `actions.yml`, `engine.yml` and `sources/`.
        source: `simulation`, or the name of a file in `sources/`.
        features: what predicates may read, where the source's file does not say; None is not
            checked.

    Raises:
        ConfigError: a file, key or value is wrong; says file, line and key path.
    """
    engine_doc = read_document(conf_dir / "engine.yml")
    source_doc = _source_document(conf_dir, source)
    if source == SIMULATION:
        actions_doc = read_document(conf_dir / "actions.yml")
        raw = _parse(CatalogueFile, actions_doc, actions_doc.data)
        prefix: tuple[str, ...] = ()
        catalogue = _catalogue(raw, actions_doc, prefix)
        world = _parse(SimulationConfig, source_doc, source_doc.data)
        engine = _parse(EngineConfig, engine_doc, engine_doc.data)
        config = Config(catalogue, engine, simulation=world)
    else:
        described = _parse(SourceConfig, source_doc, source_doc.data)
        actions_doc, prefix = source_doc, ("catalogue",)
        catalogue = _catalogue(described.catalogue, source_doc, prefix)
        features = described.columns.features
        _check_source(described, catalogue, source_doc)
        engine_doc = _overlaid(engine_doc, source_doc)
        engine = _parse(EngineConfig, engine_doc, engine_doc.data)
        config = Config(catalogue, engine, source=described)
    _check(config, engine_doc)
    if features is not None:
        _check_columns(config, features, (actions_doc, prefix), engine_doc)
    return config


def _source_document(conf_dir: Path, source: str) -> Document:
    path = conf_dir / "sources" / f"{source}.yml"
    if not path.is_file():
        known = sorted(each.stem for each in path.parent.glob("*.yml"))
        raise ConfigError(
            f"There is no source {source!r}.", where=str(path), hint=did_you_mean(source, known)
        )
    return read_document(path)


def _overlaid(base: Document, source: Document) -> Document:
    """`engine.yml` with the sections a source replaces; lines point to where a value stands."""
    sections = source.data.get("engine") or {}
    lines = {keys: line for keys, line in base.lines.items() if keys[0] not in sections}
    lines.update({keys[1:]: line for keys, line in source.lines.items() if keys[0] == "engine"})
    path = source.path if sections else base.path
    return Document(path, {**base.data, **sections}, lines)


_S = TypeVar("_S", bound=Section)


def _parse(model: type[_S], document: Document, data: dict[str, Any]) -> _S:
    try:
        return model.model_validate(data)
    except ValidationError as error:
        # A misspelt key is also missed under its right name; what stands there is the mistake.
        found = sorted(error.errors(), key=lambda each: each["type"] != "extra_forbidden")
        first, keys = found[0], tuple(found[0]["loc"])
        hint = "see the comments in the file that ships with the project"
        what = f"{first['msg'].removeprefix('Value error, ').rstrip('.')}."
        if first["type"] == "extra_forbidden":
            what = f"Unknown key {keys[-1]!r}."
            hint = did_you_mean(str(keys[-1]), _known_keys(model, keys[:-1]))
        elif first["type"] == "missing":
            what, keys = f"The key {keys[-1]!r} is missing.", keys[:-1]
            hint = f"add {first['loc'][-1]}: to {'.'.join(map(str, keys)) or 'the file'}"
        elif first["type"] == "string_pattern_mismatch":
            what = f"{first['input']!r} is not a name."
            hint = f"names here match {first['ctx']['pattern']}"
        raise ConfigError(what, where=document.where(keys), hint=hint) from error


def _known_keys(model: type[BaseModel], keys: tuple[Any, ...]) -> list[str]:
    """Field names of the section that `keys` lead to."""
    for key in keys:
        if isinstance(key, int):
            continue
        annotation: Any = model.model_fields[key].annotation
        inner = [annotation, *getattr(annotation, "__args__", ())]
        found = [t for t in inner if isinstance(t, type) and issubclass(t, BaseModel)]
        if not found:
            return []
        model = found[0]
    return list(model.model_fields)


def _catalogue(raw: CatalogueFile, document: Document, prefix: tuple[Any, ...]) -> Catalogue:
    actions = tuple(Action(**entry.model_dump()) for entry in raw.actions)
    try:
        return Catalogue(currency=raw.currency, actions=actions)
    except (CatalogueError, PredicateError) as error:
        keys: tuple[Any, ...] = (*prefix, "actions")
        blamed = str(error.where).split(",")[0]
        for index, entry in enumerate(raw.actions):
            if blamed == f"action {entry.id}":
                keys = (*keys, index)
                break
        for key in ("eligible_when", "applicable_when", "suitable_when", "valid_to"):
            if key in str(error) and len(keys) > len(prefix) + 1:
                keys = (*keys, key)
                break
        raise ConfigError(error.what, where=document.where(keys), hint=error.hint) from error


def _check(config: Config, document: Document) -> None:
    """What one section says about another must hold."""
    ids, engine = config.catalogue.action_ids, config.engine
    for index, rule in enumerate(engine.business_rules):
        if rule.action not in ids:
            raise ConfigError(
                f"The rule names an action {rule.action!r} that the catalogue does not have.",
                where=document.where(("business_rules", index, "action")),
                hint=did_you_mean(rule.action, ids),
            )
        try:
            Predicate.parse(rule.when)
        except PredicateError as error:
            where = document.where(("business_rules", index, "when"))
            raise ConfigError(error.what, where=where, hint=error.hint) from error
    if engine.groups.uniform + engine.groups.holdout + engine.groups.previous >= 1:
        raise ConfigError(
            "The shares of the groups add up to 1 or more.", where=document.where(("groups",))
        )
    if engine.exploration.floor * len(ids) > 1:
        raise ConfigError(
            f"A floor of {engine.exploration.floor} does not fit {len(ids)} actions.",
            where=document.where(("exploration", "floor")),
            hint=f"at most {1 / len(ids):.3f}",
        )
    low, high = engine.reward.range
    least = -max(config.catalogue.costs)
    if low > least:
        raise ConfigError(
            f"The dearest action costs {-least:g}, so a reward can be as low as {least:g}.",
            where=document.where(("reward", "range")),
            hint=f"range: [{least:g}, {high:g}]",
        )
    check_baseline(engine.gate.incumbent, config, document.where(("gate", "incumbent")))
    _check_grid(engine.training.grid, ids, document)


def _check_grid(
    grid: Sequence[Mapping[str, Any]], action_ids: Sequence[str], document: Document
) -> None:
    """Every line of the grid must be settings of a learner, and none there twice."""
    seen: set[str] = set()
    for index, settings in enumerate(grid):
        where = document.where(("training", "grid", index))
        try:
            recipe = VowpalPolicy(action_ids, VowpalSettings.of(settings)).name
        except NbaError as error:
            raise ConfigError(f"{error.what}.", where=where, hint=error.hint) from error
        if recipe in seen:
            raise ConfigError("The grid has the same learner twice.", where=where)
        seen.add(recipe)


def _check_columns(
    config: Config,
    features: Collection[str],
    catalogue: tuple[Document, tuple[str, ...]],
    engine: Document,
) -> None:
    """Predicates may read features; those of actions may read consents as well."""
    consents = [f"consent_{channel}" for channel in config.catalogue.contact_channels]
    document, prefix = catalogue
    for index, action in enumerate(config.catalogue.actions):
        for key in PREDICATE_KEYS:
            where = document.where((*prefix, "actions", index, key))
            _check_reads(getattr(action, key), [*features, *consents], where)
    for index, rule in enumerate(config.engine.business_rules):
        _check_reads(rule.when, features, engine.where(("business_rules", index, "when")))


def _check_reads(predicate: Optional[str], columns: Collection[str], where: str) -> None:
    for name in Predicate.parse(predicate).columns if predicate else ():
        if name not in columns:
            raise ConfigError(
                f"There is no feature {name!r}.", where=where, hint=did_you_mean(name, columns)
            )


def check_baseline(name: str, config: Config, where: str) -> None:
    """A baseline's name must be one of `baseline:uniform|business_rules|fixed:ACTION`.

    Raises:
        ConfigError: it is not.
    """
    known = ["baseline:uniform", "baseline:business_rules"]
    known += [f"baseline:fixed:{action}" for action in config.catalogue.action_ids]
    if name not in known:
        raise ConfigError(
            f"There is no baseline {name!r}.", where=where, hint=did_you_mean(name, known)
        )


def _check_source(source: SourceConfig, catalogue: Catalogue, document: Document) -> None:
    for value, action in source.columns.actions.items():
        if action not in catalogue.action_ids:
            raise ConfigError(
                f"The value {value!r} maps to an action {action!r} that the catalogue lacks.",
                where=document.where(("columns", "actions", value)),
                hint=did_you_mean(action, catalogue.action_ids),
            )


@dataclass(frozen=True)
class Parameters:
    """The job parameters, as strings are given and as the engine uses them.

    `as_of` is the day the code pretends it is: everything known by its 00:00 UTC is known.
    """

    catalog: str
    schema: str
    as_of: dt.date
    source: str
    source_path: str
    conf_dir: Path
    volume: Path
    experiment: str

    NAMES = (
        "catalog",
        "schema",
        "as_of",
        "source",
        "source_path",
        "conf_dir",
        "volume",
        "experiment",
    )

    @classmethod
    def parse(cls, given: dict[str, str]) -> Parameters:
        """Check the parameters of a job.

        Raises:
            ConfigError: one is unknown, missing, or `as_of` is no date.
        """
        for name in given:
            if name not in cls.NAMES:
                raise ConfigError(
                    f"There is no job parameter {name!r}.",
                    where="job parameters",
                    hint=did_you_mean(name, cls.NAMES),
                )
        missing = [name for name in cls.NAMES if name not in given]
        if missing:
            raise ConfigError(f"Job parameters are missing: {', '.join(missing)}.")
        try:
            as_of = dt.date.fromisoformat(given["as_of"])
        except ValueError as error:
            raise ConfigError(
                f"as_of is not a date: {given['as_of']!r}.",
                where="job parameters, as_of",
                hint="write it as 2026-03-02",
            ) from error
        return cls(
            catalog=given["catalog"],
            schema=given["schema"],
            as_of=as_of,
            source=given["source"] or SIMULATION,
            source_path=given["source_path"],
            conf_dir=Path(given["conf_dir"] or "conf"),
            volume=Path(given["volume"]),
            experiment=given["experiment"],
        )
