"""Errors of Spark, Delta and the system are told in plain words."""

from __future__ import annotations

import errno
import os

import pytest

from engine.errors import system_error


@pytest.mark.parametrize(
    ("text", "what", "where"),
    [
        (
            "[FAILED_READ_FILE.NO_HINT] Encountered error while reading file "
            "file:///data/ein%20Ordner/x.json.  SQLSTATE: KD001",
            "damaged",
            "/data/ein Ordner/x.json",
        ),
        ("[DELTA_VERSIONS_NOT_CONTIGUOUS] Versions (0, 2) are not", "log of a table", None),
        ("[DELTA_CONCURRENT_APPEND] Files were added", "at the same time", None),
        ("io.delta.exceptions.ConcurrentDeleteReadException: …", "at the same time", None),
        ("java.io.IOException: No space left on device", "disk is full", None),
    ],
)
def test_known_errors_are_told(text: str, what: str, where: str) -> None:
    """What happened, the file where it is known, and one action."""
    error = system_error(RuntimeError(text))
    assert error is not None
    assert what in error.what
    assert error.where == where
    assert error.hint


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.EROFS, errno.EDQUOT])
def test_errors_of_the_system_name_their_file(number: int) -> None:
    """A full, read-only or forbidden place is named."""
    error = system_error(OSError(number, os.strerror(number), "/data/x"))
    assert error is not None
    assert error.where == "/data/x"


def test_other_errors_stay_as_they_are() -> None:
    """What nobody knows is not made up."""
    assert system_error(ValueError("x must be positive")) is None
