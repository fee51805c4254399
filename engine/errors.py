"""The errors of the engine: configuration, sources, tables, registry, bundle and jobs."""

from __future__ import annotations

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
