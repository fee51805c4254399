"""One writer per target: the second is told who writes, and a lock ends with its process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from engine.errors import JobError
from engine.local.lock import writer

HOLD = """
import sys, time
from pathlib import Path
from engine.local.lock import writer
with writer(Path(sys.argv[1]), "training_job"):
    print("held", flush=True)
    time.sleep(60)
"""


def test_the_second_is_told_who_writes(tmp_path: Path) -> None:
    """The error names job, process and time, and the lock is free once the first has ended."""
    root = tmp_path / "dev"
    command = [sys.executable, "-c", HOLD, str(root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "held\n"
        told = rf"Another run is writing here: training_job, process {first.pid}, since 20"
        with pytest.raises(JobError, match=told), writer(root, "inference_job"):
            pass
        os.kill(first.pid, signal.SIGKILL)
    with writer(root, "inference_job"):
        pass


def test_targets_do_not_wait_for_each_other(tmp_path: Path) -> None:
    """Each target has a lock of its own, which is free again after the block."""
    with writer(tmp_path / "dev", "a"), writer(tmp_path / "prod", "b"):
        pass
    with writer(tmp_path / "dev", "c"):
        pass


def test_a_failed_run_gives_the_lock_back(tmp_path: Path) -> None:
    """An error inside the block does not keep others out."""

    def fails() -> None:
        with writer(tmp_path / "dev", "a"):
            raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        fails()
    with writer(tmp_path / "dev", "b"):
        pass


def test_a_holder_that_has_said_nothing_yet(tmp_path: Path) -> None:
    """Whoever comes between a lock and its holder's note is told that much."""
    root = tmp_path / "dev"
    with writer(root, "a"):
        (tmp_path / "dev.holder").write_text("")
        with pytest.raises(JobError, match="a process that has just started"), writer(root, "b"):
            pass
