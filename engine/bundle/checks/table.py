"""The table of all checks of a bundle's meaning."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from engine.bundle.checks import compute, content, files, graph, parameters, schedules, targets
from engine.bundle.checks.view import Finding, View
from engine.bundle.values import Fault


@dataclass(frozen=True)
class Rule:
    """A check: its name, and what it finds."""

    name: str
    find: Callable[[View], Iterator[Finding]]

    def faults(self, view: View) -> list[Fault]:
        """What is wrong, each place once."""
        found: dict[object, Fault] = {}
        for finding in self.find(view):
            fault = Fault(self.name, finding.what, finding.place, finding.hint, finding.fix)
            found.setdefault((fault.what, fault.place.path, fault.place.line), fault)
        return list(found.values())


RULES = (
    Rule("resource keys", graph.resource_keys),
    Rule("empty resources", graph.empty),
    Rule("task kinds", graph.task_kinds),
    Rule("dependencies", graph.dependencies),
    Rule("job cycles", graph.job_cycles),
    Rule("jobs that are run", graph.jobs_that_are_run),
    Rule("schedules", schedules.cron),
    Rule("time zones", schedules.zones),
    Rule("order of the day", schedules.order),
    Rule("compute keys", compute.keys),
    Rule("runtimes", compute.runtimes),
    Rule("libraries", compute.wheels),
    Rule("files", files.notebooks),
    Rule("notebook headers", files.headers),
    Rule("requirements in step", files.requirements),
    Rule("production", targets.production),
    Rule("identities", targets.identities),
    Rule("root paths", targets.roots),
    Rule("schemas", targets.schemas),
    Rule("secrets", content.secrets),
    Rule("personal paths", content.personal_paths),
    Rule("personal names", content.personal_names),
    Rule("model names", content.model_names),
    Rule("model aliases", content.aliases),
    Rule("dynamic references", parameters.dynamic),
    Rule("parameters not read", parameters.unread),
    Rule("parameters not passed", parameters.unset),
)
