"""Applies the fixes of faults to the text of files; everything else in them stays as it is."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Optional

import yaml

from engine.bundle.values import Fault

Edit = tuple[int, int, str]  # start and end of the text that is replaced, and the new text


def apply(faults: Iterable[Fault]) -> list[Fault]:
    """Mend what has one right answer; returns the faults that were mended.

    The first fault of a place decides. Files are written once, when all their edits are known.
    """
    edits: dict[Path, dict[int, Edit]] = {}
    mended = []
    for fault in faults:
        path = fault.place.path if fault.fix is None else fault.fix.path or fault.place.path
        edit = _edit(fault, path)
        if edit is not None and edit[0] not in edits.setdefault(path, {}):
            edits[path][edit[0]] = edit
            mended.append(fault)
    for path, chosen in edits.items():
        text = path.read_text(encoding="utf-8")
        for start, end, new in sorted(chosen.values(), reverse=True):
            text = text[:start] + new + text[end:]
        path.write_text(text, encoding="utf-8")
    return mended


def _edit(fault: Fault, path: Path) -> Optional[Edit]:
    fix = fault.fix
    if fix is None:
        return None
    if fix.kind == "prepend":
        return 0, 0, f"{fix.text}\n"
    text = path.read_text(encoding="utf-8")
    found = _nodes(yaml.compose(text, Loader=yaml.SafeLoader), fault.place.keys)
    if found is None:  # the key came by a merge (`<<`)
        return None
    key, value = found
    if fix.kind == "remove" and key is not None:
        start = text.rfind("\n", 0, key.start_mark.index) + 1
        end = value.end_mark.index
        if not text[start : key.start_mark.index].isspace() or isinstance(key, yaml.SequenceNode):
            return None
        end = end if text[:end].endswith("\n") else text.find("\n", end) + 1 or len(text)
        return start, end, ""
    node = key if fix.kind == "rename" else value
    if not isinstance(node, yaml.ScalarNode):
        return None
    return node.start_mark.index, node.end_mark.index, _written(fix.text, node)


def _written(text: str, node: yaml.ScalarNode) -> str:
    """A scalar in the quotes it had; in new ones where it has signs that the old one had not."""
    if node.style == "'":
        return "'" + text.replace("'", "''") + "'"
    signs = [set(re.findall(r"[^\w./ -]", written)) for written in (text, node.value)]
    if node.style == '"' or not signs[0] <= signs[1]:
        return json.dumps(text, ensure_ascii=False)
    return text


def _nodes(
    node: Optional[yaml.Node], keys: Sequence[object]
) -> Optional[tuple[Optional[yaml.Node], yaml.Node]]:
    """The node of a key, and that of its value."""
    found: Optional[yaml.Node] = None
    for key in keys:
        if isinstance(node, yaml.SequenceNode) and isinstance(key, int) and key < len(node.value):
            found, node = None, node.value[key]
        elif isinstance(node, yaml.MappingNode):
            pair = next((pair for pair in node.value if pair[0].value == str(key)), None)
            if pair is None:
                return None
            found, node = pair
        else:
            return None
    return None if node is None else (found, node)
