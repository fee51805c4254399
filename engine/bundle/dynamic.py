"""Dynamic references `{{…}}`: what Databricks fills in when a run or a task starts."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator, Mapping

from engine.errors import BundleError
from policies.errors import require_known

_DYNAMIC = re.compile(r"\{\{\s*([^{}]+?)\s*\}\}")


def moments(today: dt.date) -> dict[str, str]:
    """What Databricks knows of a run's start, as far as a local run can tell."""
    names = ("job.start_time.iso_date", "job.trigger.time.iso_date")
    return dict.fromkeys(names, today.isoformat())


def dynamic_references(text: str) -> Iterator[str]:
    """The inner text of each `{{…}}`."""
    return (match.group(1) for match in _DYNAMIC.finditer(text))


def filled(text: str, known: Mapping[str, str], where: str) -> str:
    """`text` with each `{{…}}` replaced by what is known when a run or a task starts.

    Raises:
        BundleError: nothing is known under a name.
    """

    def value(match: re.Match[str]) -> str:
        what = f"the reference {match.group()} has no value in a local run"
        require_known(match.group(1), known, BundleError, what, where)
        return known[match.group(1)]

    return _DYNAMIC.sub(value, text)
