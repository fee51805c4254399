"""What the checks of a bundle look at: the bundle for each target, and its jobs and tasks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from engine.bundle.resolution import Resolved
from engine.bundle.values import Fix, Place, Value, corrected
from policies.errors import did_you_mean


@dataclass(frozen=True)
class Finding:
    """What a check finds: what is wrong, where, a hint, and the fix where there is only one."""

    what: str
    place: Place
    hint: str
    fix: Optional[Fix] = None

    @classmethod
    def misspelt(cls, what: str, value: Value, name: str, known: Iterable[str]) -> Finding:
        """A name that is not among the known ones; `value` holds it."""
        names = list(known)
        fix = corrected(name, names, value.text)
        return cls(what, value.place, did_you_mean(name, names), fix)


@dataclass(frozen=True)
class View:
    """A bundle under checks.

    Args:
        resolved: for the target that is checked.
        targets: for every target that can be resolved, by name.
    """

    resolved: Resolved
    targets: Mapping[str, Resolved]

    @property
    def folder(self) -> Path:
        """The folder of the bundle's main file."""
        return self.resolved.path.parent

    @property
    def jobs(self) -> dict[str, Value]:
        """The jobs, by key; references to resources stand in them."""
        return self.resolved.resources("jobs")

    def tasks(self) -> Iterator[tuple[str, Value, Value]]:
        """Each task with its job's key and body; one inside a `for_each_task`, too."""
        for key, job in self.jobs.items():
            for task in job["tasks"].entries:
                yield key, job, task
                inner = task["for_each_task"]["task"]
                if inner.items:
                    yield key, job, inner

    def local_file(self, value: Value) -> Optional[Path]:
        """The file that a path of the bundle means; None where it is not in the bundle's folder.

        A path counts from the file that names it, and from the bundle's folder where that is not
        found.
        """
        text = value.text
        if not text or "${" in text or "{{" in text or text.startswith(("/", "~")) or "://" in text:
            return None
        near = value.place.path.parent / text
        return near if near.exists() else self.folder / text
