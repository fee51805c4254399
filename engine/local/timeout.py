"""A time limit for what runs in the main thread, such as a notebook."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn, Optional

from engine.errors import JobError


class TimedOut(BaseException):
    """The time is over. No Exception, so that a notebook does not catch it."""


@contextmanager
def limited(seconds: Optional[float]) -> Iterator[None]:
    """Raise `TimedOut` within the block when the time is over; None sets no limit.

    Raises:
        JobError: the system has no timer for signals, or this is not the main thread.
    """
    if seconds is None:
        yield
        return
    if not hasattr(signal, "setitimer") or (
        threading.current_thread() is not threading.main_thread()
    ):
        raise JobError("timeout_seconds cannot be kept here", hint="run on Linux or macOS")

    def end(number: int, frame: Optional[FrameType]) -> NoReturn:
        raise TimedOut

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
