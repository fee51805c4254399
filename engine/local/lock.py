"""One writer per target on this machine: a file lock that ends with its process."""

from __future__ import annotations

import datetime as dt
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from engine.errors import JobError


@contextmanager
def writer(root: Path, job: str) -> Iterator[None]:
    """Be the only one that writes under a target's folder, within the block.

    The lock lies beside the folder, so that it outlives the folder's removal.

    Args:
        root: the folder of the local run.
        job: what is run, for the message to others.

    Raises:
        JobError: another process holds the lock; says which, and since when.
    """
    lock, holder = (root.with_name(f"{root.name}.{kind}") for kind in ("lock", "holder"))
    lock.parent.mkdir(parents=True, exist_ok=True)
    try:
        acquired = FileLock(lock).acquire(timeout=0)
    except Timeout as error:
        raise JobError(
            f"Another run is writing here: {_read(holder)}.",
            where=str(root),
            hint="wait until it ends, or end it; nothing was changed",
        ) from error
    with acquired:
        since = f"{dt.datetime.now(dt.timezone.utc):%Y-%m-%d %H:%M:%S} UTC"
        holder.write_text(json.dumps({"job": job, "process": os.getpid(), "since": since}))
        yield


def _read(holder: Path) -> str:
    """What the holder says of itself; it may have taken the lock this very moment."""
    try:
        said = json.loads(holder.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return "a process that has just started"
    return f"{said['job']}, process {said['process']}, since {said['since']}"
