"""YAML files with the line of every key, so that errors can say where."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Union

import yaml

from engine.errors import ConfigError

KeyPath = tuple[Union[str, int], ...]


@dataclass(frozen=True)
class Document:
    """A parsed YAML file, or a section of one: its data, and the line of every key path.

    Args:
        path: the file.
        data: the keys of the file or section.
        lines: the line of each key path, counted from the file's top level.
        section: the key path of `data`; () is the whole file.
    """

    path: Path
    data: dict[str, Any]
    lines: Mapping[KeyPath, int]
    section: KeyPath = ()

    def where(self, keys: Sequence[Union[str, int]]) -> str:
        """`conf/actions.yml:61, actions[3].valid_to`: the line of the deepest known key."""
        keys = (*self.section, *keys)
        known = next((keys[:n] for n in range(len(keys), 0, -1) if keys[:n] in self.lines), ())
        line = f"{self.path}:{self.lines.get(known, 1)}"
        return f"{line}, {dotted(keys)}" if keys else line

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
        ConfigError: the file is missing, is no YAML, is no mapping, or repeats a key.
    """
    if not path.is_file():
        raise ConfigError(f"There is no file {path.name}.", where=str(path), hint="check conf_dir")
    try:
        node = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "it cannot be parsed"
        raise ConfigError(
            f"{path.name} is not valid YAML: {problem}.",
            where=f"{path}{line}",
            hint="check the indentation and the quotes around this line",
        ) from error
    if not isinstance(node, yaml.MappingNode):
        raise ConfigError(f"{path.name} must hold a mapping of keys.", where=f"{path}:1")
    lines: dict[KeyPath, int] = {}
    _note_lines(node, (), lines, path)
    loader = yaml.SafeLoader("")
    return Document(path, loader.construct_document(node), lines)


def _note_lines(node: yaml.Node, at: KeyPath, lines: dict[KeyPath, int], path: Path) -> None:
    if at:
        lines.setdefault(at, node.start_mark.line + 1)
    if isinstance(node, yaml.SequenceNode):
        for index, child in enumerate(node.value):
            _note_lines(child, (*at, index), lines, path)
    if isinstance(node, yaml.MappingNode):
        for key, child in node.value:
            here = (*at, str(key.value))
            if here in lines:
                raise ConfigError(
                    f"The key {dotted(here)} stands twice.",
                    where=f"{path}:{key.start_mark.line + 1}",
                    hint=f"keep one; the first is on line {lines[here]}",
                )
            lines[here] = key.start_mark.line + 1
            _note_lines(child, here, lines, path)
