"""The errors people meet: what happened, where, and one thing to do about it."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from typing import Optional


class NbaError(Exception):
    """What went wrong, where it went wrong, and a hint.

    Args:
        what: one sentence that says what happened.
        where: a file and line, a key path, a table or a column.
        hint: one action that mends it.
    """

    def __init__(
        self, what: str, *, where: Optional[str] = None, hint: Optional[str] = None
    ) -> None:
        self.what, self.where, self.hint = what, where, hint
        parts = [what, where and f"  in {where}", hint and f"  Hint: {hint}"]
        super().__init__("\n".join(filter(None, parts)))


class InvalidLogError(NbaError, ValueError):
    """A log of decisions breaks an invariant."""


class InvalidPolicyError(NbaError, ValueError):
    """A policy states something that is not a distribution over the eligible actions."""


class ModelFileError(InvalidPolicyError):
    """A saved policy cannot be used: a file is not the one that was saved, or features are gone."""


class PredicateError(NbaError, ValueError):
    """A predicate cannot be parsed, or asks for a column that is not there."""


class CatalogueError(NbaError, ValueError):
    """The catalogue of actions contradicts itself or the data."""


class CapacityError(NbaError, ValueError):
    """A scarce action cannot be given its floor within its capacity."""


class EvaluationError(NbaError, ValueError):
    """The log or the arguments do not allow an estimate."""


class LearningError(NbaError, ValueError):
    """A policy cannot learn from, or decide for, the given data."""


class TooFewDaysError(LearningError):
    """A log has too few matured days to fit, select and judge apart; more days mend it."""


@contextmanager
def located(where: str) -> Iterator[None]:
    """Errors raised within get this place as their `where`."""
    try:
        yield
    except NbaError as error:
        raise type(error)(error.what, where=where, hint=error.hint) from error


def require_known(
    name: object,
    known: Collection[object],
    error: type[NbaError],
    what: str,
    where: Optional[str] = None,
) -> None:
    """Raise `error(what)` unless `name` is one of `known`; the hint suggests the closest one."""
    if name not in known:
        raise error(what, where=where, hint=did_you_mean(str(name), known))


def did_you_mean(name: str, known: Iterable[object]) -> str:
    """A hint that names the closest known name, or lists them all."""
    names = [str(name) for name in known]
    close = difflib.get_close_matches(name, names, n=1)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"known here: {', '.join(names) or 'nothing'}"
