"""What both command lines promise: short help that fits its column."""

from __future__ import annotations

from typing import Any

import pytest
from click.testing import CliRunner

from engine.cli import dbb, nba


@pytest.mark.parametrize("main", [dbb.main, nba.main])
def test_short_help_is_not_cut_off(main: Any) -> None:
    """The first line of each command's help has at most 45 characters, and is shown whole."""
    shown = CliRunner().invoke(main, ["--help"]).output
    for name, command in main.commands.items():
        first = command.help.splitlines()[0]
        assert len(first) <= 45, name
        assert first in shown
