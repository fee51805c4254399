"""The errors of the engine: configuration, sources, tables, registry, bundle and jobs."""

from __future__ import annotations

import re
from typing import Optional
from urllib.parse import unquote

from policies.errors import NbaError


class ConfigError(NbaError):
    """A configuration file or a parameter says something the engine cannot follow."""


class SourceError(NbaError):
    """A source of customers, events or decisions is missing or does not fit its description."""


class TableError(NbaError):
    """A table is absent, or does not hold what its contract promises."""


class RegistryError(NbaError):
    """A model, version or alias cannot be found or moved."""


class BundleError(NbaError):
    """The bundle file refers to something that does not exist or is not supported."""


class JobError(NbaError):
    """A job or one of its tasks failed."""


_AGAIN = "run again: the next run completes what is missing"
_SYSTEM_ERRORS = (  # what Spark, Delta and the system say, what that means, and what to do
    (
        r"\[FAILED_READ_FILE[^]]*\].*?(?:file:/*)(/\S+?)\.?(?:\s|$)",
        "A file of a table is damaged or cannot be read.",
        "restore the table's folder from a backup; nothing was changed",
    ),
    (
        r"DELTA_(?:VERSIONS_NOT_CONTIGUOUS|LOG_FILE_NOT_FOUND|STATE_RECOVER|MISSING_TRANSACTION|"
        r"INVALID_LOG|TRUNCATED_TRANSACTION)\w*",
        "The log of a table is damaged.",
        "restore the table's folder from a backup; nothing was changed",
    ),
    (
        r"DELTA_CONCURRENT\w+|Concurrent\w+Exception|DELTA_METADATA_CHANGED",
        "Another run wrote the same table at the same time.",
        "run again when it has ended; this run wrote nothing to that table",
    ),
    (
        r"No space left on device|Disk quota exceeded",
        "The disk is full.",
        f"make room, then {_AGAIN}",
    ),
    (
        r"Read-only file system|Permission denied",
        "A file or folder cannot be written.",
        f"make it writable for this user, then {_AGAIN}",
    ),
)


def system_error(error: BaseException) -> Optional[NbaError]:
    """What an error of Spark, Delta or the system means; None where that is not known."""
    text = str(error)
    for pattern, what, hint in _SYSTEM_ERRORS:
        if found := re.search(pattern, text, re.DOTALL):
            path = f"/{found.group(1).lstrip('/')}" if found.lastindex else ""
            named = getattr(error, "filename", None)
            return JobError(what, where=unquote(path) or (str(named) if named else None), hint=hint)
    return None
