"""The bundle as a local run reads it: for this machine's folder and user."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Optional

from engine import environment
from engine.bundle.jobs import Bundle, runnable
from engine.bundle.resolution import Resolved, resolve

TABLES_JOB = "monitoring_job"  # whose parameters say where the tables are
_USER = "local"


def resolve_here(path: Path, target: Optional[str], variables: Mapping[str, str]) -> Resolved:
    """The bundle for one target, its files taken from the folder that it lies in.

    Args:
        path: its main file.
        target: None: the bundle's default.
        variables: values as of `--var`; those of `BUNDLE_VAR_…` are read here.
    """
    here = {"file_path": str(path.parent), "current_user": _USER}
    return resolve(path, target, variables, environment.bundle_variables(), here)


def read_bundle(
    path: Path, target: Optional[str], variables: Optional[Mapping[str, str]] = None
) -> Bundle:
    """The jobs that can run here.

    Raises:
        BundleError: with file, line and key of what cannot be followed.
        ConfigError: the file is not YAML.
    """
    return runnable(resolve_here(path, target, variables or {}))
