"""The names of policies: baselines, versions of a model, aliases."""

from __future__ import annotations

import re
from dataclasses import dataclass

from engine.errors import RegistryError

_BASELINE = "baseline:"
_FORM = re.compile(r"(?P<model>[^@:\s]*)(@(?P<alias>[^@:\s]+)|:(?P<number>\d+))")


@dataclass(frozen=True)
class PolicyRef:
    """The name of a policy.

    Args:
        kind: "baseline", "version" or "alias".
        name: of a baseline `uniform`, `business_rules` or `fixed:ACTION`; otherwise the model
            (`catalog.schema.model`), or "" for the model of the target.
        version: number or alias of the model; "" for a baseline.
    """

    kind: str
    name: str
    version: str = ""

    @classmethod
    def parse(cls, text: str) -> PolicyRef:
        """From `baseline:NAME`, `[model]:3`, `[model]@alias`, or `3` as tables hold it.

        Raises:
            RegistryError: it names no policy.
        """
        if text.startswith(_BASELINE):
            return cls.baseline(text[len(_BASELINE) :])
        if text.isdigit():
            return cls("version", "", text)
        form = _FORM.fullmatch(text)
        if form is None:
            model = text.strip("@:") or "MODEL"
            raise RegistryError(
                f"{text!r} does not say which version.",
                hint=f"write {model}@candidate, {model}:1, or baseline:uniform",
            )
        if form["alias"]:
            return cls("alias", form["model"], form["alias"])
        return cls("version", form["model"], form["number"])

    @classmethod
    def baseline(cls, name: str) -> PolicyRef:
        """The baseline `uniform`, `business_rules` or `fixed:ACTION`."""
        return cls("baseline", name)

    @property
    def is_baseline(self) -> bool:
        """Whether it is a policy that needs no learning."""
        return self.kind == "baseline"

    def of(self, model: str) -> PolicyRef:
        """The same policy with its model's name; a baseline has none."""
        return self if self.is_baseline else PolicyRef(self.kind, model, self.version)

    def __str__(self) -> str:
        """As people and tables write it: `baseline:uniform`, `c.s.model:3`, `@champion`, `3`."""
        if self.is_baseline:
            return f"{_BASELINE}{self.name}"
        if self.kind == "alias":
            return f"{self.name}@{self.version}"
        return f"{self.name}:{self.version}" if self.name else self.version
