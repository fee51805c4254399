"""Shared click group: requires docstrings; turns errors into one line and exit code 1."""

from __future__ import annotations

import functools
import inspect
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any, Optional

import click

from engine.errors import BundleError, system_error
from policies.errors import NbaError

Command = Callable[..., None]

target = click.option(
    "-t", "--target", default="dev", show_default=True, help="Target of the bundle."
)
debug = click.option("--debug", is_flag=True, help="Show tracebacks.")
variables = click.option(
    "--var", multiple=True, metavar="K=V,…", help="Values of the bundle's variables."
)
HELP = {"help_option_names": ["-h", "--help"]}


ARGUMENTS = f"{__name__}.arguments"  # of the whole command, in the context's `meta`


class Group(click.Group):
    """Commands whose errors end with one sentence and exit code 1; `--debug` shows tracebacks."""

    def make_context(
        self,
        info_name: Optional[str],
        args: list[str],
        parent: Optional[click.Context] = None,
        **extra: Any,
    ) -> click.Context:
        """The context of a call, which remembers its arguments."""
        arguments = list(args)
        context = super().make_context(info_name, args, parent, **extra)
        context.meta[ARGUMENTS] = arguments
        return context

    def add_command(self, cmd: click.Command, name: Optional[str] = None) -> None:
        """Register a command.

        Raises:
            TypeError: it has no docstring to show as its help.
        """
        if not cmd.help:
            raise TypeError(f"the command {name or cmd.name} needs a docstring")
        super().add_command(cmd, name)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception as error:
            if "--debug" in sys.argv:
                raise
            click.echo(f"Error: {_sentence(error)}", err=True)
            sys.exit(1)


def combined(
    make: Callable[..., Any], *options: Callable[[Command], Command]
) -> Callable[[Command], Command]:
    """A decorator that adds options to a command, and passes them on as one object, `make(…)`.

    Args:
        make: its parameters are the names of the options.
        options: in the order of the help.
    """
    names = inspect.signature(make).parameters

    def decorate(command: Command) -> Command:
        @functools.wraps(command)
        def with_options(**values: Any) -> None:
            own = {name: values.pop(name) for name in names}
            command(make(**own), **values)

        for option in reversed(options):
            option(with_options)
        return with_options

    return decorate


def assignments(texts: Sequence[str], option: str) -> dict[str, str]:
    """`("a=1,b=2", "c=3")` as a mapping; a comma separates only where `name=` follows."""
    values: dict[str, str] = {}
    for text in texts:
        for part in re.split(r",(?=\s*[^\W\d]\w*\s*=)", text):
            name, equals, value = part.partition("=")
            if not equals or not name.strip().isidentifier():
                raise BundleError(
                    f"{option} {text!r} does not start with a name and `=`",
                    hint=f"write {option} name=value,other=value",
                )
            values[name.strip()] = value
    return values


def _sentence(error: Exception) -> str:
    """An error of this project as it is; of any other its type, its first paragraph and a hint."""
    known = error if isinstance(error, NbaError) else system_error(error)
    if known is not None:
        return str(known)
    first = str(error).split("\n\n", maxsplit=1)[0].strip()
    return f"{type(error).__name__}: {first}\n  Hint: run again with --debug for the traceback"
