"""Values of YAML files with the place where each one stands, and how two of them are joined."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional, Union

from engine.documents import Document, KeyPath, dotted
from engine.errors import BundleError


@dataclass(frozen=True)
class Place:
    """Where a value stands: a file, line and column from 1, and its key path in that file."""

    path: Path
    line: int
    column: int
    keys: KeyPath = ()

    def __str__(self) -> str:
        """`databricks.yml:61:9, resources.jobs.training_job.tasks[0]`."""
        mark = f"{self.path}:{self.line}:{self.column}"
        return f"{mark}, {dotted(self.keys)}" if self.keys else mark


@dataclass(frozen=True)
class Fix:
    """The one right answer to a fault.

    Args:
        kind: `replace` the value, `rename` the key, `remove` the key, or `prepend` a line to a file.
        text: the new value, key or line.
        path: the file that gets the line; None: the file of the fault.
    """

    kind: str
    text: str = ""
    path: Optional[Path] = None


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong with a bundle: the check that found it, what, where, and a hint.

    Args:
        fix: where there is only one right answer.
    """

    check: str
    what: str
    place: Place
    hint: str
    fix: Optional[Fix] = None

    def error(self) -> BundleError:
        """The fault as the error that stops a run."""
        return BundleError(self.what, where=str(self.place), hint=self.hint)


class JoinError(BundleError):
    """Two values cannot be joined.

    Args:
        what, hint: as of every error.
        place: where the later value stands.
    """

    def __init__(self, what: str, place: Place, hint: str) -> None:
        super().__init__(what, where=str(place), hint=hint)
        self.place = place


@dataclass(frozen=True)
class Value:
    """A scalar, a list or a mapping of values, with its place."""

    content: Union[str, int, float, bool, list[Value], dict[str, Value], None]
    place: Place

    def __getitem__(self, key: Union[str, int]) -> Value:
        """The value under a key or position; an empty value at this place where there is none."""
        found = self.find((key,))
        return Value(None, self.place) if found is None else found

    def find(self, keys: Sequence[Union[str, int]]) -> Optional[Value]:
        """The value under a path of keys, or None."""
        value: Value = self
        for key in keys:
            if isinstance(value.content, dict) and key in value.content:
                value = value.content[str(key)]
            elif isinstance(value.content, list) and key in range(len(value.content)):
                value = value.content[int(key)]
            else:
                return None
        return value

    @property
    def items(self) -> dict[str, Value]:
        """The entries of a mapping; none where this is something else."""
        return self.content if isinstance(self.content, dict) else {}

    @property
    def entries(self) -> list[Value]:
        """The entries of a list; none where this is something else."""
        return self.content if isinstance(self.content, list) else []

    @property
    def text(self) -> str:
        """A scalar as YAML writes it; an empty text for null, lists and mappings."""
        if self.content is None or isinstance(self.content, (list, dict)):
            return ""
        return str(self.content).lower() if isinstance(self.content, bool) else str(self.content)

    @property
    def kind(self) -> str:
        """`map`, `list`, `null` or `value`, for messages and for joining."""
        kinds = {dict: "map", list: "list", type(None): "null"}
        return kinds.get(type(self.content), "value")

    def plain(self) -> Any:
        """The value without places."""
        if isinstance(self.content, dict):
            return {key: value.plain() for key, value in self.content.items()}
        if isinstance(self.content, list):
            return [value.plain() for value in self.content]
        return self.content

    def mapped(self, change: Callable[[Value], Value]) -> Value:
        """A copy with each scalar replaced by what `change` returns."""
        if isinstance(self.content, dict):
            inner = {key: value.mapped(change) for key, value in self.content.items()}
            return Value(inner, self.place)
        if isinstance(self.content, list):
            return Value([value.mapped(change) for value in self.content], self.place)
        return change(self)

    def with_items(self, **items: Value) -> Value:
        """A mapping with these entries in the place of those of the same key."""
        return Value({**self.items, **items}, self.place)

    def scalars(self, keys: KeyPath = ()) -> Iterator[tuple[KeyPath, Value]]:
        """Each scalar with its path in this value."""
        if isinstance(self.content, dict):
            for key, value in self.content.items():
                yield from value.scalars((*keys, key))
        elif isinstance(self.content, list):
            for number, value in enumerate(self.content):
                yield from value.scalars((*keys, number))
        else:
            yield keys, self


def from_document(document: Document) -> Value:
    """The content of a file with the places of its values."""

    def located(data: Any, keys: KeyPath) -> Value:
        place = Place(document.path, *document.mark(keys), keys)
        if isinstance(data, dict):
            inner = {str(key): located(value, (*keys, key)) for key, value in data.items()}
            return Value(inner, place)
        if isinstance(data, list):
            rows = [located(value, (*keys, number)) for number, value in enumerate(data)]
            return Value(rows, place)
        if not isinstance(data, (str, int, float, bool, type(None))):
            data = str(data)  # a date: the databricks command knows texts only
        return Value(data, place)

    return located(document.data, ())


def corrected(
    name: str, known: Iterable[str], text: str = "", kind: str = "replace"
) -> Optional[Fix]:
    """The fix of a misspelt name: the one known name that is clearly the closest, if any.

    Args:
        text: the value in which the name stands; the name itself where empty.
    """
    matcher, ratios = difflib.SequenceMatcher(b=name.casefold()), [(0.6, "")]
    for other in set(known):
        matcher.set_seq1(other.casefold())
        if matcher.quick_ratio() >= 0.6:
            ratios.append((matcher.ratio(), other))
    (second, _), (best, closest) = sorted(ratios)[-2:] if len(ratios) > 1 else [(0, ""), (0, "")]
    if best < 0.7 or best - second < 0.05:
        return None
    return Fix(kind, (text or name).replace(name, closest))


def joined(base: Value, over: Value) -> Value:
    """`over` on top of `base`: mappings by key, lists one after the other, else the later one.

    Raises:
        JoinError: one is a mapping or a list, and the other is something else.
    """
    if base.content is None or over.content is None:
        return base if over.content is None else over
    if base.kind != over.kind:
        what = f"A {over.kind} cannot be joined with the {base.kind} of {base.place}."
        raise JoinError(what, over.place, "write both in the same form")
    if base.kind == "map":
        inner = dict(base.items)
        for key, value in over.items.items():
            inner[key] = joined(inner[key], value) if key in inner else value
        return Value(inner, base.place)
    return Value([*base.entries, *over.entries], base.place) if base.kind == "list" else over


def joined_by(key: str, rows: Value) -> Value:
    """A list whose entries of one key are joined, the first giving the order."""
    found: dict[str, Value] = {}
    for number, row in enumerate(rows.entries):
        name = row[key].text or f"without {key}, {number}"
        found[name] = joined(found[name], row) if name in found else row
    return Value(list(found.values()), rows.place)
