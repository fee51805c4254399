"""Folders of one process, and what is left of those that ended."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from engine.temporary import LONGEST, own_folder


@pytest.fixture
def ended() -> int:
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_folders_of_processes_that_ended_are_deleted(tmp_path: Path, ended: int) -> None:
    """A killed process's folder goes with its content; that of a running one stays."""
    left, running = tmp_path / f"{ended}-a", tmp_path / f"{os.getppid()}-b"
    for folder in (left, running):
        folder.mkdir()
        (folder / "rows.parquet").touch()
    own = own_folder(tmp_path)
    assert own.parent == tmp_path
    assert own.name.startswith(f"{os.getpid()}-")
    assert list(tmp_path.iterdir()) == [running]


def test_on_databricks_age_alone_counts(
    tmp_path: Path, ended: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process may run on another machine, so only a folder older than two days goes."""
    monkeypatch.setenv("DATABRICKS_RUNTIME_VERSION", "client.5")
    new, old = tmp_path / f"{ended}-new", tmp_path / f"{os.getpid()}-old"
    for folder in (new, old):
        folder.mkdir()
    then = time.time() - LONGEST - 60
    os.utime(old, (then, then))
    own_folder(tmp_path)
    assert list(tmp_path.iterdir()) == [new]


def test_a_folder_that_is_not_there_yet_is_no_fault(tmp_path: Path) -> None:
    """The first process finds no parent, and two get different paths."""
    assert own_folder(tmp_path / "spark") != own_folder(tmp_path / "spark")
    assert list(tmp_path.iterdir()) == []
