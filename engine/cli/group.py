"""What `dbb` and `nba` share: commands need a docstring, and errors end with a sentence and 1."""

from __future__ import annotations

import sys
from typing import Any, Optional

import click

from policies.errors import NbaError


class Group(click.Group):
    """Commands that end with 1 and plain words where something failed; `--debug` shows the rest."""

    def add_command(self, cmd: click.Command, name: Optional[str] = None) -> None:
        """Register a command.

        Raises:
            TypeError: it has no docstring to show as its help.
        """
        if not cmd.help:
            raise TypeError(f"the command {name or cmd.name} needs a docstring")
        super().add_command(cmd, name)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command that was asked for."""
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception as error:
            if "--debug" in sys.argv:
                raise
            click.echo(f"Error: {_said(error)}", err=True)
            sys.exit(1)


def _said(error: Exception) -> str:
    """An error of this project as it is; of any other its kind, its first paragraph and a hint."""
    if isinstance(error, NbaError):
        return str(error)
    first = str(error).split("\n\n", maxsplit=1)[0].strip()
    return f"{type(error).__name__}: {first}\n  Hint: run again with --debug for the traceback"
