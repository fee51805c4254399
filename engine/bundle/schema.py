"""A bundle against the types of its sections and of the resources that a workspace knows."""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import itertools
import pkgutil
import re
import typing
from collections.abc import Iterator
from enum import Enum
from types import ModuleType
from typing import Any, Optional, Union, cast

from engine.bundle import sections
from engine.bundle.resolution import Resolved
from engine.bundle.values import Fault, Place, Value, corrected
from policies.errors import did_you_mean

NAME = "schema"
_PACKAGE = "databricks.bundles"
_NO_KINDS = {"core", "build", "version"}
_DATABASES = "postgres_"  # kinds of resources that the package has no types for yet


def available() -> bool:
    """Whether the types of resources are installed; the package needs Python 3.10."""
    try:
        return importlib.util.find_spec(_PACKAGE) is not None
    except ModuleNotFoundError:
        return False


def check(resolved: Resolved) -> Iterator[Fault]:
    """Unknown and missing keys, values of the wrong form, and values outside a fixed list.

    Values with a reference that only a workspace answers are not checked.
    """
    root = resolved.root
    for fault in _mapping(sections.Root, resolved.declared, "a bundle"):
        if len(fault.place.keys) > 1 or not _holds_anchor(fault.place):
            yield fault
    for kind, bodies in root["resources"].items.items():
        if kind.startswith(_DATABASES):
            continue
        model = _model(kind) if available() else None
        if model is None and available():
            what = f"There is no kind of resource {kind!r}."
            yield Fault(NAME, what, bodies.place, did_you_mean(kind, _kinds()))
        if bodies.content is not None and bodies.kind != "map":
            yield _form(bodies, "map", f"resources.{kind}")
        for key, body in bodies.items.items():
            if body.kind != "map":
                yield _form(body, "map", key)
            elif model is not None:
                yield from _mapping(model, body, key)


def _holds_anchor(place: Place) -> bool:
    """Whether a section of the file defines an anchor, for use by others."""
    lines = place.path.read_text(encoding="utf-8").splitlines()[place.line - 1 :]
    own = [lines[0], *itertools.takewhile(lambda line: line[:1] in ("", " ", "#", "-"), lines[1:])]
    return any(re.search(r"[:-] +&\w", line) for line in own)


def _kinds() -> list[str]:
    package = importlib.import_module(_PACKAGE)
    names = [module.name for module in pkgutil.iter_modules(package.__path__)]
    return [name for name in names if name not in _NO_KINDS]


def _model(kind: str) -> Optional[type[Any]]:
    """The type of one kind of resource, or None where the package has none."""
    if kind not in _kinds():
        return None
    module: ModuleType = importlib.import_module(f"{_PACKAGE}.{kind}")
    resource = importlib.import_module(f"{_PACKAGE}.core").Resource
    return next(
        (
            entry
            for entry in map(module.__dict__.get, module.__all__)
            if isinstance(entry, type) and issubclass(entry, resource)
        ),
        None,
    )


def _mapping(model: type[Any], value: Value, name: str) -> Iterator[Fault]:
    """The faults of a mapping whose keys are the fields of a dataclass."""
    hints, fields = typing.get_type_hints(model), dataclasses.fields(model)
    for key, inner in value.items.items():
        if key in hints:
            yield from _value(hints[key], inner, key)
        elif not key.startswith("__"):
            what = f"{name} has no key {key!r}."
            free = [name for name in hints if name not in value.items]
            fix = corrected(key, free, kind="rename")
            yield Fault(NAME, what, inner.place, did_you_mean(key, hints), fix)
    for field in fields:  # a `file_path` stands for the fields in that file
        needed = field.default is field.default_factory is dataclasses.MISSING
        if needed and field.name not in value.items and "file_path" not in value.items:
            what = f"{name} lacks the key {field.name!r}."
            yield Fault(NAME, what, value.place, f"add {field.name}:")


def _value(hint: Any, value: Value, name: str) -> Iterator[Fault]:
    options = _options(hint)
    if value.content is None or not options or _open(value):
        return
    lists = [option for option in options if typing.get_origin(option) is list]
    maps = [option for option in options if typing.get_origin(option) is dict]
    models = [option for option in options if dataclasses.is_dataclass(option)]
    if value.kind == "list":
        if not lists:
            yield _form(value, "map" if maps or models else "value", name)
        for entry in value.entries if lists else []:
            yield from _value(typing.get_args(lists[0])[0], entry, name)
    elif value.kind == "map":
        if models:
            yield from _mapping(cast("type[Any]", models[0]), value, name)
        elif not maps:
            yield _form(value, "list" if lists else "value", name)
        for key, entry in value.items.items() if maps and not models else ():
            yield from _value(typing.get_args(maps[0])[1], entry, key)
    elif all(option in lists or option in maps or option in models for option in options):
        yield _form(value, "list" if lists else "map", name)
    else:
        yield from _scalar(options, value, name)


def _options(hint: Any) -> list[Any]:
    """The types that a hint allows; none where everything is allowed."""
    if hint is Any:
        return []
    if typing.get_origin(hint) is Union:
        inner = [_options(option) for option in typing.get_args(hint)]
        return [option for options in inner for option in options]
    origin = typing.get_origin(hint)
    if hint is type(None) or getattr(origin, "__name__", "") == "Variable":
        return []
    return [hint]


def _open(value: Value) -> bool:
    """Whether the value holds a reference that has no value yet."""
    return isinstance(value.content, str) and ("${" in value.content or "{{" in value.content)


def _scalar(options: list[Any], value: Value, name: str) -> Iterator[Fault]:
    plain = [option for option in options if typing.get_origin(option) is None]
    enums = [option for option in plain if isinstance(option, type) and issubclass(option, Enum)]
    if enums:
        known = [str(member.value) for member in enums[0]]
        if value.text not in known:
            what = f"{name} cannot be {value.text!r}."
            fix = corrected(value.text, known)
            yield Fault(NAME, what, value.place, did_you_mean(value.text, known), fix)
        return
    forms = {bool: r"true|false", int: r"[+-]?\d+", float: r"[+-]?[\d.]+([eE][+-]?\d+)?"}
    if str in options:
        return
    wanted = [option for option in options if option in forms]
    if wanted and not any(re.fullmatch(forms[option], value.text) for option in wanted):
        names = {bool: "true or false", int: "a whole number", float: "a number"}
        what = f"{name} must be {names[wanted[0]]}, and is {value.text!r}."
        yield Fault(NAME, what, value.place, "correct the value")


def _form(value: Value, wanted: str, name: str) -> Fault:
    forms = {
        "list": ("a list", "begin each entry with `- `"),
        "map": ("a mapping", "write `key: value` below it"),
        "value": ("a single value", "write one value behind the colon"),
    }
    given = {"list": "a list", "map": "a mapping", "value": "a single value", "null": "empty"}
    form, hint = forms[wanted]
    return Fault(NAME, f"{name} must be {form}, and is {given[value.kind]}.", value.place, hint)
