"""YAML files with the place of every key, so that errors can say where."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Optional, Union

import yaml

from engine.errors import ConfigError

KeyPath = tuple[Union[str, int], ...]
Mark = tuple[int, int]  # line and column, from 1

LARGEST = 1_000_000  # bytes of a file
DEEPEST = 30  # lists and mappings inside each other
MOST_VALUES = 50_000  # keys and values of a file, those behind each alias included
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times faster where it is built
_NO_TEXT = re.compile(rf"{yaml.reader.Reader.NON_PRINTABLE.pattern}|\A\ufeff")
_PLAIN = ("str", "int", "float", "bool", "null", "timestamp", "map", "seq", "merge")
_TAGS = {f"tag:yaml.org,2002:{kind}": kind for kind in _PLAIN}


@dataclass(frozen=True)
class Document:
    """A parsed YAML file, or a section of one: its data, and the place of every key path.

    Args:
        path: the file.
        data: the keys of the file or section.
        marks: line and column of each key path, counted from the file's top level.
        section: the key path of `data`; () is the whole file.
        base: where the keys of `data` stand that this file does not have.
    """

    path: Path
    data: dict[str, Any]
    marks: Mapping[KeyPath, Mark]
    section: KeyPath = ()
    base: Optional[Document] = None

    def where(self, keys: Sequence[Union[str, int]]) -> str:
        """`conf/actions.yml:61, actions[3].valid_to`: the line of the deepest known key."""
        if self.base and len(self._own(keys)) < len(self.known(keys)):
            return self.base.where(keys)
        keys = (*self.section, *keys)
        line = f"{self.path}:{self.mark(keys)[0]}"
        return f"{line}, {dotted(keys)}" if keys else line

    def mark(self, keys: Sequence[Union[str, int]]) -> Mark:
        """Line and column of the deepest known key of a path from the file's top level."""
        return self.marks.get(self._deepest(tuple(keys)), (1, 1))

    def known(self, keys: Sequence[Union[str, int]]) -> KeyPath:
        """The longest part of a path that stands in the file, or in that of `base`."""
        own, other = self._own(keys), self.base.known(keys) if self.base else ()
        return other if len(other) > len(own) else own

    def _own(self, keys: Sequence[Union[str, int]]) -> KeyPath:
        return self._deepest((*self.section, *keys))[len(self.section) :]

    def _deepest(self, keys: KeyPath) -> KeyPath:
        known = (keys[:n] for n in range(len(keys), 0, -1) if keys[:n] in self.marks)
        return next(known, ())

    def part(self, key: str) -> Document:
        """The section under a key; its places still count from the top of the file."""
        return replace(self, data=self.data[key], section=(*self.section, key))


def dotted(keys: Sequence[Union[str, int]]) -> str:
    """`actions[3].valid_to` for ("actions", 3, "valid_to")."""
    text = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in keys)
    return text.lstrip(".")


def read_document(path: Path) -> Document:
    """Read one YAML mapping.

    Raises:
        ConfigError: the file is missing or cannot be read, is no plain UTF-8 or no YAML, is larger
            or deeper than the limits, holds itself, is no mapping, repeats a key, or has a tag, a
            value or a key's name that has no place in a configuration.
    """
    text = _text(path)
    try:
        _check_depth(text, path)
        node = yaml.compose(text, Loader=_LOADER)
        if not isinstance(node, yaml.MappingNode):
            what = f"{path.name} must hold a mapping of keys."
            raise DocumentError(what, path, (1, 1), "write `key: value`")
        marks: dict[KeyPath, Mark] = {}
        loader = yaml.SafeLoader("")
        _note_marks(node, (), marks, path, loader)
        return Document(path, loader.construct_document(node), marks)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or "it cannot be parsed"
        what = f"{path.name} is not valid YAML: {problem}."
        hint = "check the indentation and the quotes around this line"
        raise DocumentError(what, path, _mark(mark) if mark else (1, 1), hint) from error


class DocumentError(ConfigError):
    """A file that cannot be read as YAML, or holds what has no place in one.

    Args:
        what, hint: as of every error.
        path: the file.
        mark: line and column.
    """

    def __init__(self, what: str, path: Path, mark: Mark, hint: str) -> None:
        super().__init__(what, where=f"{path}:{mark[0]}", hint=hint)
        self.path, self.mark = path, mark


def _mark(mark: Any) -> Mark:
    """Line and column, from 1, of PyYAML's mark, which counts from 0."""
    return mark.line + 1, mark.column + 1


def _text(path: Path) -> str:
    try:
        if not path.is_file():
            what = f"There is no file {path.name}."
            raise ConfigError(what, where=str(path), hint="check conf_dir")
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
    except OSError as error:
        what = f"{path.name} cannot be read: {error.strerror}."
        raise DocumentError(what, path, (1, 1), "check conf_dir") from error
    if len(content) > LARGEST:
        what = f"{path.name} is larger than the limit of {LARGEST:,} bytes."
        raise DocumentError(what, path, (1, 1), "is it the right file?")
    text = content.decode("utf-8", errors="surrogateescape")  # other bytes become surrogates
    if bad := _NO_TEXT.search(text):
        what = f"{path.name} is not plain UTF-8: it holds U+{ord(bad.group()):04X}."
        line, column = text.count("\n", 0, bad.start()), bad.start() - text.rfind(
            "\n", 0, bad.start()
        )
        raise DocumentError(
            what, path, (line + 1, column), "save it as UTF-8 without a byte order mark"
        )
    return text


def _check_depth(text: str, path: Path) -> None:
    """Refuse, without recursion, what would take too deep a stack or too long to build."""
    depth = 0
    for number, event in enumerate(yaml.parse(text, Loader=_LOADER)):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        mark = _mark(event.start_mark) if event.start_mark else (1, 1)
        _check_size(depth, number // 2, path, mark)


def _check_size(depth: int, values: int, path: Path, mark: Mark) -> None:
    if depth > DEEPEST:
        what = f"A value is nested deeper than the limit of {DEEPEST}, or holds itself."
        raise DocumentError(what, path, mark, "write it flatter, and without such an alias (*name)")
    if values > MOST_VALUES:
        what = f"There are more values than the limit of {MOST_VALUES:,}, aliases written out."
        raise DocumentError(what, path, mark, "use fewer aliases (*name), or fewer values")


def _note_marks(
    node: yaml.Node, at: KeyPath, marks: dict[KeyPath, Mark], path: Path, loader: yaml.SafeLoader
) -> None:
    mark = _mark(node.start_mark)
    _check_size(len(at), len(marks), path, mark)
    if node.tag not in _TAGS:
        hint = "take it away; quotes make a text"
        raise DocumentError(f"The tag {node.tag[:100]} has no place here.", path, mark, hint)
    if at:
        marks.setdefault(at, mark)
    if isinstance(node, yaml.ScalarNode):
        _scalar(node, at, path, loader)
    if isinstance(node, yaml.SequenceNode):
        for index, child in enumerate(node.value):
            _note_marks(child, (*at, index), marks, path, loader)
    if isinstance(node, yaml.MappingNode):
        for key, child in node.value:
            mark = _mark(key.start_mark)
            if _TAGS.get(key.tag) not in ("str", "int", "merge"):
                what = f"A key must be a text, and one is {reprlib.repr(key.value)}."
                raise DocumentError(what, path, mark, "put it in quotes")
            here = (*at, _scalar(key, at, path, loader))
            if here in marks:
                hint = f"keep one; the first is on line {marks[here][0]}"
                raise DocumentError(f"The key {dotted(here)} stands twice.", path, mark, hint)
            marks[here] = mark
            _note_marks(child, here, marks, path, loader)


def _scalar(node: yaml.ScalarNode, at: KeyPath, path: Path, loader: yaml.SafeLoader) -> Any:
    try:
        return node.value if _TAGS[node.tag] == "merge" else loader.construct_object(node)
    except (ValueError, OverflowError) as error:
        what = f"{dotted(at)} has {reprlib.repr(node.value)}, which cannot be: {error}."
        hint = "correct it, or put it in quotes if it is a text"
        raise DocumentError(what, path, _mark(node.start_mark), hint) from error
