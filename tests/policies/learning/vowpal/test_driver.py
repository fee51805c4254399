"""The driver's process: what ends it, and which error is raised then."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from policies.learning.vowpal.driver import _fed

pytestmark = pytest.mark.unit

NOWHERE = subprocess.DEVNULL


def program(code: str) -> list[str]:
    """The command of a Python program."""
    return [sys.executable, "-S", "-c", code]


@pytest.mark.parametrize(
    "code",
    ["pass", "import sys; sys.stdin.read()", "import time; time.sleep(60)"],
    ids=["has ended", "reads", "does not read"],
)
def test_an_error_of_the_reader_is_raised(code: str) -> None:
    """A log that cannot be read is an error, whatever the driver does, and the driver ends."""

    def text() -> Iterator[memoryview]:
        yield memoryview(b"0:1:0.5 | x\n")
        time.sleep(0.5)  # by now a driver that has ended left a broken pipe
        raise ValueError("the reader broke")

    with pytest.raises(ValueError, match="the reader broke"):
        _fed(program(code), text(), NOWHERE)


def test_a_driver_that_ends_early_gives_its_exit_code() -> None:
    """A driver that refuses its text is known by its exit code, not by a broken pipe."""
    block = memoryview(b"x" * 1_000_000)
    assert _fed(program("import sys; sys.exit(3)"), iter([block] * 5), NOWHERE) == 3


def test_a_driver_gets_the_whole_text() -> None:
    """Every block arrives before the pipe is closed."""
    blocks = [memoryview(b"a" * 100_000), memoryview(b"b")]
    counts = "import sys; sys.exit(len(sys.stdin.read()) != 100_001)"
    assert _fed(program(counts), iter(blocks), NOWHERE) == 0
