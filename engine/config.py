"""The configuration of one run: read from YAML, and checked across sections."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Optional, TypeVar, Union

import pandas as pd
from pydantic import BaseModel, ValidationError

from engine.documents import Document, KeyPath, read_document
from engine.errors import ConfigError
from engine.feature_definitions import CONTACT, FeatureDefinitions
from engine.parameters import SIMULATION
from engine.refs import PolicyRef
from engine.settings import CatalogueFile, EngineConfig, Section
from engine.source_definitions import SOURCES, LogSource, SimulatedSource, TablesSource
from policies.catalogue import NO_CHANNEL, PREDICATE_KEYS, Action, Catalogue
from policies.deciding import deployed
from policies.errors import CatalogueError, NbaError, PredicateError, did_you_mean, require_known
from policies.learning.vowpal.policy import VowpalPolicy
from policies.learning.vowpal.settings import VowpalSettings
from policies.predicates import Predicate


@dataclass(frozen=True)
class Config:
    """Everything configured for one run."""

    catalogue: Catalogue
    engine: EngineConfig
    features: FeatureDefinitions
    source: Union[TablesSource, LogSource, SimulatedSource]

    @property
    def exploration(self) -> deployed.Exploration:
        """What deployment adds to every policy: the floor and the uniform share."""
        return deployed.Exploration(self.engine.exploration.floor, self.engine.groups.uniform)

    @property
    def logging_floor(self) -> Optional[float]:
        """The least probability of an eligible action in any log; None where none is declared."""
        if not isinstance(self.source, TablesSource):
            return None
        other = self.source.tables.decisions
        floors = [self.engine.exploration.floor, *([other.floor] if other else [])]
        return None if None in floors else min(map(float, filter(None, floors)), default=None)

    @property
    def rules(self) -> list[tuple[str, str]]:
        """The business rules as (predicate, action id), in order."""
        return [(rule.when, rule.action) for rule in self.engine.business_rules]

    @property
    def baselines(self) -> list[PolicyRef]:
        """The policies that need no learning."""
        fixed = [f"fixed:{action}" for action in self.catalogue.action_ids]
        return [PolicyRef.baseline(name) for name in ("business_rules", "uniform", *fixed)]


@dataclass(frozen=True)
class Known:
    """The names that a source knows and its files refer to; what is empty is not checked.

    Args:
        attributes: columns of customers.
        events: types of events.
        channels: that customers may consent to.
        outcomes: types that the source may report.
        scenarios: of the simulated company.
    """

    attributes: Collection[str] = ()
    events: Collection[str] = ()
    channels: Collection[str] = ()
    outcomes: Collection[str] = ()
    scenarios: Collection[str] = ()


def load_config(conf_dir: Path, source: str = SIMULATION, known: Known = Known()) -> Config:
    """Read and check the configuration that a source runs with.

    Args:
        conf_dir: the folder of `actions.yml`, `engine.yml` and `sources/`.
        source: `simulation`, or the name of a file in `sources/`.
        known: the names that the simulated company knows; a log's file says its own.

    Raises:
        ConfigError: a file, key or value is wrong; says file, line and key path.
    """
    engine_doc = read_document(conf_dir / "engine.yml")
    path = conf_dir / "sources" / f"{source}.yml"
    if not path.exists():
        what = f"There is no source {source!r}."
        known_sources = [file.stem for file in source_files(conf_dir)]
        require_known(source, known_sources, ConfigError, what, str(path))
    source_doc = read_document(path)
    kind = str(source_doc.data.get("kind", "tables"))
    what, where = f"There is no kind of source {kind!r}.", source_doc.where(("kind",))
    require_known(kind, SOURCES, ConfigError, what, where)
    described = _parse(SOURCES[kind], source_doc)
    if described.name != source:
        what = f"The file {path.name} describes a source {described.name!r}."
        raise ConfigError(what, where=source_doc.where(("name",)), hint=f"name: {source}")
    actions_doc = features_doc = source_doc
    if isinstance(described, LogSource):
        actions_doc = source_doc.part("catalogue")
        catalogue = _catalogue(described.catalogue, actions_doc)
        for value, action in described.columns.actions.items():
            what = f"The value {value!r} maps to an action {action!r} that the catalogue lacks."
            where = source_doc.where(("columns", "actions", value))
            require_known(action, catalogue.action_ids, ConfigError, what, where)
        known = Known(outcomes=described.columns.outcomes.values())
        features = FeatureDefinitions.of_attributes(described.columns.features)
    else:
        beside = {"actions": conf_dir / "actions.yml", "features": conf_dir / "features.yml"}
        if isinstance(described, SimulatedSource):
            where = source_doc.where(("scenario",))
            _require(described.scenario, known.scenarios, "scenario", where)
        else:
            for name in beside:
                if file := getattr(described, name):
                    beside[name] = path.parent / file
            known = Known()  # a table's columns and types are seen when it is read
        actions_doc, features_doc = (read_document(file) for file in beside.values())
        catalogue = _catalogue(_parse(CatalogueFile, actions_doc), actions_doc)
        features = _parse(FeatureDefinitions, features_doc)
    _parse(EngineConfig, engine_doc)
    if not isinstance(described, SimulatedSource):
        engine_doc = _overlaid(engine_doc, source_doc)
    config = Config(catalogue, _parse(EngineConfig, engine_doc), features, described)
    _check_features(config, known, features_doc)
    _check(config, engine_doc)
    _check_known(config, known, actions_doc, engine_doc)
    return config


def source_files(conf_dir: Path) -> list[Path]:
    """The files that describe sources; features and actions of one may lie beside it."""
    files = sorted((conf_dir / "sources").glob("*.yml"))
    return [
        file
        for file in files
        if not file.is_file() or re.search(rb"^name:", file.read_bytes(), re.MULTILINE)
    ]


def _require(name: str, known: Collection[str], noun: str, where: str) -> None:
    if known:
        require_known(name, known, ConfigError, f"There is no {noun} {name!r}.", where)


def _overlaid(base: Document, source: Document) -> Document:
    """`engine.yml` with the keys that a source replaces."""
    data = dict(base.data)
    for name, section in (source.data.get("engine") or {}).items():
        both = isinstance(section, dict) and isinstance(data.get(name), dict)
        data[name] = {**data[name], **section} if both else section
    return replace(source, data=data, section=("engine",), base=base)


_HINT = "see the comments in the file that ships with the project"
_EXAMPLES = {"string": "a", "boolean": True, "date": pd.Timestamp(0), "timestamp": pd.Timestamp(0)}
_S = TypeVar("_S", bound=Section)


def _parse(model: type[_S], document: Document) -> _S:
    try:
        return model.model_validate(document.data)
    except ValidationError as error:
        # A misspelt key is also missing under its right name: report the misspelling.
        first = min(error.errors(), key=lambda problem: problem["type"] != "extra_forbidden")
        keys = tuple(first["loc"])
        hint = _HINT
        what = f"{first['msg'].removeprefix('Value error, ').rstrip('.')}."
        if first["type"] == "extra_forbidden":
            what = f"Unknown key {keys[-1]!r}."
            hint = did_you_mean(str(keys[-1]), _known_keys(model, keys[:-1]))
        elif first["type"] == "missing":
            what, keys = f"The key {keys[-1]!r} is missing.", keys[:-1]
            hint = f"add {first['loc'][-1]}: to {'.'.join(map(str, keys)) or 'the file'}"
        elif first["type"] == "string_pattern_mismatch":
            what = f"{reprlib.repr(first['input'])} is not a name."
            hint = f"names here match {first['ctx']['pattern']}"
        elif first["type"] == "string_type":
            hint = "put it in quotes"
        where = document.where(document.known(keys))  # pydantic adds which type it has tried
        raise ConfigError(what, where=where, hint=hint) from error


def _known_keys(model: type[BaseModel], keys: KeyPath) -> list[str]:
    """Field names of the section that `keys` lead to."""
    for key in keys:
        if isinstance(key, str) and key in model.model_fields:  # otherwise a name in a mapping
            annotation: Any = model.model_fields[key].annotation
            types = [annotation, *getattr(annotation, "__args__", ())]
            sections = [t for t in types if isinstance(t, type) and issubclass(t, BaseModel)]
            if not sections:
                return []
            model = sections[0]
    return [field.alias or name for name, field in model.model_fields.items()]


def _catalogue(raw: CatalogueFile, document: Document) -> Catalogue:
    try:
        actions = tuple(Action(**entry.model_dump()) for entry in raw.actions)
        return Catalogue(raw.currency, actions, raw.no_contact)
    except (CatalogueError, PredicateError) as error:
        keys: KeyPath = ("actions",)
        names = [f"action {entry.id}" for entry in raw.actions]
        blamed = str(error.where).split(",")[0]
        if blamed in names:
            wrong = [key for key in (*PREDICATE_KEYS, "valid_to") if key in str(error)]
            keys = (*keys, names.index(blamed), *wrong[:1])
        raise ConfigError(
            error.what, where=document.where(keys), hint=error.hint or _HINT
        ) from error


def _check(config: Config, document: Document) -> None:
    """Check what one section says about another."""
    ids, engine = config.catalogue.action_ids, config.engine
    for index, rule in enumerate(engine.business_rules):
        what = f"The rule names an action {rule.action!r} that the catalogue does not have."
        where = document.where(("business_rules", index, "action"))
        require_known(rule.action, ids, ConfigError, what, where)

    def require(holds: bool, what: str, hint: str, *keys: str) -> None:
        if not holds:
            raise ConfigError(what, where=document.where(keys), hint=hint)

    shares = engine.groups.uniform + engine.groups.holdout + engine.groups.previous
    what = "The shares of the groups add up to 1 or more."
    require(shares < 1, what, "lower uniform, holdout or previous", "groups")
    floor, room = engine.exploration.floor, 1 / len(ids)
    what = f"A floor of {floor} does not fit {len(ids)} actions."
    require(floor <= room, what, f"at most {room:.3f}", "exploration", "floor")
    (low, high), least = engine.reward.range, -max(config.catalogue.costs)
    what = f"The dearest action costs {-least:g}, so a reward can be as low as {least:g}."
    require(low <= least, what, f"range: [{least:g}, {high:g}]", "reward", "range")
    for key in ("margin", "minimum_effect"):
        what = f"gate.{key} is as wide as the range of rewards, {high - low:g}."
        hint = "it is in reward units: make it a small part of reward.range"
        require(getattr(engine.gate, key) < high - low, what, hint, "gate", key)
    if isinstance(config.source, LogSource):
        days = config.source.synthetic.days
        needed = engine.training.reserve_days + engine.reward.matured_after_days + 1
        what = f"The log has {days} days; its rewards, fit, selection and reserve need {needed}."
        hint = "lower reserve_days, or spread the log over more days"
        require(needed <= days, what, hint, "training", "reserve_days")
    check_baseline(engine.gate.incumbent, config, document.where(("gate", "incumbent")))
    _check_grid(config, document)


def _check_grid(config: Config, document: Document) -> None:
    """Every line of the grid must be settings of a learner, and each learner there once."""
    recipes: set[str] = set()
    for index, settings in enumerate(config.engine.training.grid):
        where = document.where(("training", "grid", index))
        try:
            learner = VowpalPolicy(config.catalogue.action_ids, VowpalSettings.of(settings))
        except NbaError as error:
            raise ConfigError(f"{error.what}.", where=where, hint=error.hint or _HINT) from error
        if learner.name in recipes:
            raise ConfigError("The grid has the same learner twice.", where=where, hint="keep one")
        recipes.add(learner.name)


def _check_known(config: Config, known: Known, actions: Document, engine: Document) -> None:
    """Actions, rules and rewards name what the source knows, and compare like with like."""
    for name in config.engine.reward.outcomes:
        _require(name, known.outcomes, "outcome", engine.where(("reward", "outcomes", name)))
    channels = [NO_CHANNEL, *known.channels] if known.channels else ()
    row = {name: _EXAMPLES.get(kind, 1.0) for name, kind in config.features.types.items()}
    consents = {f"consent_{channel}": True for channel in config.catalogue.contact_channels}
    features, facts = pd.DataFrame([row]), pd.DataFrame([{**row, **consents}])
    for index, action in enumerate(config.catalogue.actions):
        where = actions.where(("actions", index, "channel"))
        _require(action.channel, channels, "channel", where)
        for key, text in action.predicates.items():
            _check_predicate(text, facts, actions.where(("actions", index, key)))
    for index, rule in enumerate(config.engine.business_rules):
        _check_predicate(rule.when, features, engine.where(("business_rules", index, "when")))


def _check_features(config: Config, known: Known, document: Document) -> None:
    """Features name attributes, events, channels and groups that there are."""
    groups = [action.group for action in config.catalogue.actions]
    for name, feature in config.features.features.items():
        source = feature.source
        if source in ("attribute", "days_since") and not feature.event_type:
            column, where = str(getattr(feature, source)), document.where(
                ("features", name, source)
            )
            _require(column, known.attributes, "attribute of customers", where)
        if feature.event_type:
            key = "of" if feature.of else source
            where = document.where(("features", name, key))
            events = [*known.events, CONTACT] if known.events else ()
            _require(feature.event_type, events, "event type", where)
        if feature.channel:
            where = document.where(("features", name, "channel"))
            _require(feature.channel, known.channels, "channel", where)
        if feature.group:
            where = document.where(("features", name, "group"))
            _require(feature.group, groups, "group of actions", where)


def _check_predicate(text: str, row: pd.DataFrame, where: str) -> None:
    """It is a predicate, and may be asked of such a row."""
    try:
        Predicate.parse(text).holds(row)
    except PredicateError as error:
        raise ConfigError(error.what, where=where, hint=error.hint or _HINT) from error


def check_baseline(name: str, config: Config, where: str) -> None:
    """A baseline's name must be one of `baseline:uniform|business_rules|fixed:ACTION`.

    Raises:
        ConfigError: it is not.
    """
    known = list(map(str, config.baselines))
    require_known(name, known, ConfigError, f"There is no baseline {name!r}.", where)
