"""Folders for files on their way: they go with the process, or with the next one after a kill."""

from __future__ import annotations

import os
import shutil
import time
import uuid
from pathlib import Path

from engine import environment

LONGEST = 2 * 86_400  # seconds that a process may live


def own_folder(parent: Path) -> Path:
    """A path in `parent` for this process alone; folders there of processes that ended are deleted.

    A process has ended if this machine does not have it, or if its folder is older than two days.
    Tasks on Databricks may run on several machines, so there age alone counts.
    """
    for folder in left_folders(parent):
        shutil.rmtree(folder, ignore_errors=True)
    return parent / f"{os.getpid()}-{uuid.uuid4().hex}"


def left_folders(parent: Path) -> list[Path]:
    """The folders in `parent` of processes that ended."""
    found = []
    for folder in parent.glob("*-*") if parent.is_dir() else ():
        process = folder.name.split("-")[0]
        here = process.isdigit() and not environment.on_databricks()
        if _older(folder) or (here and not _runs(int(process))):
            found.append(folder)
    return found


def _older(folder: Path) -> bool:
    """Whether a folder is too old; it may go away at this very moment."""
    try:
        return time.time() - folder.stat().st_mtime > LONGEST
    except FileNotFoundError:
        return False


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        return True
    return True
