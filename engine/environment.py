"""The process's environment variables: the one module that reads or sets them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Optional

LOCAL_ROOT = "NBA_LOCAL_ROOT"


def on_databricks() -> bool:
    """Whether this process runs on a Databricks cluster or on serverless compute."""
    return bool(os.environ.get("DATABRICKS_RUNTIME_VERSION"))


def local_root() -> Optional[Path]:
    """The folder of a local run (tables, registry, volume), or None on Databricks."""
    root = os.environ.get(LOCAL_ROOT)
    return Path(root) if root else None


def set_local_root(root: Path) -> None:
    """Tell the engine's code in this process and its children where a local run lives."""
    os.environ[LOCAL_ROOT] = str(root)


def java_home() -> Optional[Path]:
    """The folder of the Java runtime that the machine's owner chose, if any."""
    home = os.environ.get("JAVA_HOME")
    return Path(home) if home else None


def bundle_variables() -> dict[str, str]:
    """Values of a bundle's variables, given as `BUNDLE_VAR_name`."""
    prefix = "BUNDLE_VAR_"
    given = os.environ.items()
    return {name[len(prefix) :]: value for name, value in given if name.startswith(prefix)}


def provide(**defaults: str) -> None:
    """Set variables for this process and its children; one that is set already keeps its value."""
    for name, value in defaults.items():
        os.environ.setdefault(name, value)


@contextmanager
def altered(**variables: Optional[str]) -> Iterator[None]:
    """Within the block these variables have these values; None takes a variable away."""
    before = {name: os.environ.get(name) for name in variables}
    _apply(variables)
    try:
        yield
    finally:
        _apply(before)


def _apply(variables: Mapping[str, Optional[str]]) -> None:
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
