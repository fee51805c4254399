"""References `${…}` in a bundle: which there are, and their replacement by values."""

from __future__ import annotations

import difflib
import re
from collections.abc import Container, Iterator, Sequence
from typing import Optional, Union

from engine.bundle.values import Fault, Fix, Value, corrected
from policies.errors import did_you_mean

_SEGMENT = r"[^\W\d_]+(?:[-_]*[^\W_]+)*"  # a letter first; - and _ only between letters or digits
_REFERENCE = re.compile(rf"\$\{{({_SEGMENT}(?:\.{_SEGMENT}(?:\[[0-9]+\])*)*(?:\[[0-9]+\])*)\}}")
_ROOTS = ("var", "variables", "bundle", "workspace", "resources", "artifacts", "presets")
_EMPTY = {  # fields of the file's sections that are empty where nobody sets them
    "bundle": "name target environment mode uuid cluster_id git.branch git.commit "
    "git.origin_url git.actual_branch git.bundle_root_path compute_id",
    "workspace": "host profile root_path file_path artifact_path resource_path state_path "
    "current_user.userName current_user.short_name current_user.domain_friendly_name "
    "current_user.id current_user.displayName auth_type client_id account_id",
}
KNOWN_EMPTY = {(root, *field.split(".")) for root, text in _EMPTY.items() for field in text.split()}

Path = tuple[Union[str, int], ...]


def references(text: str) -> Iterator[tuple[str, Path]]:
    """Each reference in a text with its path: `${var.a[0].b}` is ("var", "a", 0, "b")."""
    for match in _REFERENCE.finditer(text):
        parts = re.findall(r"\[(\d+)\]|([^.\[\]]+)", match.group(1))
        yield match.group(), tuple(int(number) if number else name for number, name in parts)


class References:
    """Replaces references by what they stand for; what cannot be replaced is a fault.

    Args:
        roots: the values under `var`, `bundle`, `workspace` and `resources`.
        declared: the names of all variables, those without a value included.
        keep: leave references to resources as they are, since a deployment answers them; they
            must name a resource all the same.
    """

    def __init__(self, roots: Value, declared: Container[str], *, keep: bool) -> None:
        self._roots, self._declared, self._keep = roots, declared, keep
        self.faults: list[Fault] = []

    def resolved(self, value: Value, open_: Sequence[Path] = ()) -> Value:
        """A copy of `value` without the references that a file can answer.

        A text that is one reference becomes the value it names, of whatever kind. References to
        what only a deployment knows (`${resources.jobs.x.url}`) stay as they are.
        """

        def replaced(scalar: Value) -> Value:
            if not isinstance(scalar.content, str) or "${" not in scalar.content:
                return scalar
            text: str = scalar.content
            for written, path in references(text):
                found = self._lookup(written, path, scalar, open_)
                if found is None:
                    continue
                if written == text:
                    return found
                text = text.replace(written, found.text)
            return Value(text, scalar.place)

        return value.mapped(replaced)

    def _lookup(
        self, written: str, path: Path, at: Value, open_: Sequence[Path]
    ) -> Optional[Value]:
        path = ("var", path[1], *path[3:]) if path[0] == "variables" and len(path) > 2 else path
        if path in open_:
            what = f"The reference {written} leads back to itself."
            self._fault(what, at, "give the variable a value of its own")
            return None
        if path[0] not in ("var", "bundle", "workspace", "resources"):
            self._check_root(written, str(path[0]), at)
            return None
        found = self._roots.find(path)
        if found is not None and path[0] == "resources" and self._keep:
            return None
        if found is not None:
            return self.resolved(found, (*open_, path))
        if path in KNOWN_EMPTY:
            return Value("", at.place)
        self._check(written, path, at)
        return None

    def _check(self, written: str, path: Path, at: Value) -> None:
        """A path that leads to nothing is a fault, unless a deployment or a value comes later."""
        known = next(n for n in range(len(path) - 1, 0, -1) if self._roots.find(path[:n]))
        inner = self._roots.find(path[:known])
        names = list(inner.items) if inner else []
        if path[0] == "resources":
            if len(path) < 3:
                self._fault(f"{written} names no resource.", at, "write kind and key")
                return
            if known >= 3:  # a field that only a deployment fills in
                return
        what = f"The reference {written} leads to nothing."
        if path[0] == "var" and known == 1:
            if path[1] in self._declared:
                return  # that it has no value is a fault already
            what = f"The reference {written} names a variable that is not defined."
        name = str(path[known])
        self._fault(what, at, did_you_mean(name, names), corrected(name, names, at.text))

    def _check_root(self, written: str, root: str, at: Value) -> None:
        if root in _ROOTS or not difflib.get_close_matches(root, _ROOTS, 1, 0.6):
            return  # of another program, such as a shell's ${HOME}
        what = f"The reference {written} starts with no known section."
        self._fault(what, at, did_you_mean(root, _ROOTS))

    def _fault(self, what: str, at: Value, hint: str, fix: Optional[Fix] = None) -> None:
        fault = Fault("reference", what, at.place, hint, fix)
        if fault not in self.faults:
            self.faults.append(fault)
