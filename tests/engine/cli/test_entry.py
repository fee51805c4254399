"""A signal ends a command with one line and its exit code, whatever the command is doing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

LINE = "Stopped by {}; the next run completes what is missing.\n"
# A command of its own, found as `command`, which says when it is ready for the signal.
START = """
import sys
sys.path.insert(0, sys.argv[1])
from engine.cli.entry import _run
print("ready", flush=True)
_run("command")
"""
COMMANDS = {
    "sleeping": "import time\ndef main(): time.sleep(60)",
    "importing": "import time\ntime.sleep(60)",
    "noisy": "import sys, time\n"
    "def main():\n"
    "    try: time.sleep(60)\n"
    "    finally: print('Traceback of Java', file=sys.stderr)",
    "hanging": "import time\n"
    "def main():\n"
    "    try: time.sleep(60)\n"
    "    finally: time.sleep(60)",
    "parent": "import subprocess, sys, time\n"
    "def main():\n"
    '    sub = \'import subprocess, time; subprocess.Popen(["sleep", "60"]); time.sleep(60)\'\n'
    "    subprocess.Popen([sys.executable, '-c', sub]); time.sleep(60)",
}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("name", COMMANDS)
def test_a_signal_ends_a_command(tmp_path: Path, name: str, number: signal.Signals) -> None:
    """One line, 130 or 143, no child left, though a library talks or hangs while it unwinds."""
    (tmp_path / "command.py").write_text(COMMANDS[name])
    command = [sys.executable, "-c", START, str(tmp_path)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=Path.cwd(), **pipes) as process:  # type: ignore[call-overload]
        assert process.stdout.readline() == "ready\n"
        wanted = 2 if name == "parent" else 0
        while len(children := psutil.Process(process.pid).children(recursive=True)) < wanted:
            time.sleep(0.05)
        time.sleep(0.3)
        os.kill(process.pid, number)
        _, said = process.communicate(timeout=30)
    assert said == LINE.format(number.name)
    assert process.returncode == 128 + number
    assert not psutil.wait_procs(children, timeout=10)[1]


def test_a_command_without_a_signal_ends_as_ever(tmp_path: Path) -> None:
    """Exit codes and errors of the command pass through."""
    (tmp_path / "command.py").write_text("import sys\ndef main(): sys.exit(3)")
    done = subprocess.run([sys.executable, "-c", START, str(tmp_path)], capture_output=True)
    assert (done.returncode, done.stderr) == (3, b"")
