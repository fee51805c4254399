"""Starts a command so that Ctrl-C or SIGTERM ends it with one line and leaves no process behind.

Imports are few, since a signal may come before a command's own imports are done.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import sys
import threading
import time
from types import FrameType
from typing import NoReturn, Optional

SIGNALS = (signal.SIGINT, signal.SIGTERM)
UNWINDING = 2.0  # seconds for `finally` and `with` to end, before the process is ended


class Stopped(BaseException):  # like KeyboardInterrupt no error, and caught by none
    """The process was told to end by a signal."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def dbb() -> None:
    """The command `dbb`."""
    _run("engine.cli.dbb")


def nba() -> None:
    """The command `nba`."""
    _run("engine.cli.nba")


def _run(module: str) -> None:
    screen = os.dup(2)
    _end_when_stuck(screen)
    for number in SIGNALS:
        signal.signal(number, _stop)
    try:
        importlib.import_module(module).main()
    except Stopped as stopped:
        _end(stopped.number, screen)


def _stop(number: int, frame: Optional[FrameType]) -> NoReturn:
    """Unwind the main thread; what libraries say about it and further signals are not heard."""
    for other in SIGNALS:
        signal.signal(other, signal.SIG_IGN)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    raise Stopped(number)


def _end_when_stuck(screen: int) -> None:
    """End the process even where the main thread does not get to `_stop` or hangs after it.

    The interpreter writes a signal's number into the pipe at once, whatever runs.
    """
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)

    def wait() -> None:
        number = 0
        while number not in SIGNALS:  # others, of ended children say, do not count
            number = os.read(reading, 1)[0]
        time.sleep(UNWINDING)
        _end(number, screen)

    threading.Thread(target=wait, daemon=True).start()


def _end(number: int, screen: int) -> NoReturn:
    """Say one line, end all processes below this one, and end this one."""
    name = signal.Signals(number).name
    with contextlib.suppress(OSError):  # the screen may be gone
        os.write(screen, f"Stopped by {name}; the next run completes what is missing.\n".encode())
        sys.stdout.flush()
    _end_children()
    os._exit(128 + number)


def _end_children() -> None:
    """End every process that this one started; without the package there is no local Spark."""
    try:
        import psutil
    except ImportError:
        return
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            child.kill()
