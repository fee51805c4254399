"""Announces each write of the engine just before it is made, so that a test can stop a run there."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_watchers: list[Callable[[str], None]] = []


def announce(write: str) -> None:
    """Tell the watchers, if there are any, which write comes next; every write calls this first."""
    for watcher in _watchers:
        watcher(write)


@contextmanager
def watched(watcher: Callable[[str], None]) -> Iterator[None]:
    """Within the block `watcher` is called with each write; what it raises stops the run there."""
    _watchers.append(watcher)
    try:
        yield
    finally:
        _watchers.remove(watcher)


def write_text(path: Path, text: str) -> None:
    """Write a file of the volume whole or not at all, and make its folders."""
    announce(f"write {path.name}")
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    unfinished.write_text(text, encoding="utf-8")
    unfinished.replace(path)
