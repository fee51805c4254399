"""The funnel: the actions that rules leave each customer, and the first rule that blocks each other."""

from __future__ import annotations

from datetime import date
from typing import Any, Union

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from policies.catalogue import NO_CHANNEL, PREDICATE_KEYS, Action, Catalogue
from policies.errors import CatalogueError, located, require_known
from policies.log import Bools
from policies.predicates import Columns, Predicate

RULES = ("not_valid", "no_consent", "not_eligible", "not_applicable", "not_suitable")
NOT_VALID = 1
RULE_OF = dict(zip(PREDICATE_KEYS, RULES[2:]))

Codes = NDArray[np.int8]  # of groups, reasons and rules
Day = Union[str, date, np.datetime64, NDArray[np.datetime64]]


def funnel(catalogue: Catalogue, frame: pd.DataFrame, date: Day) -> Codes:
    """Apply validity, consent and predicates, in this order, to every customer and action.

    Args:
        catalogue: k actions with their rules.
        frame: n rows with `consent_<channel>` (bool; null is no consent) and the features.
        date: the day of the decision, or (n,) days.

    Returns:
        (n, k): 0 is eligible, else 1 + the place in `RULES` of the first rule that blocks.

    Raises:
        CatalogueError: a consent column is missing or not boolean.
        PredicateError: a predicate's column is missing; it names the action and the key.
    """
    days, columns = as_days(date), Columns(frame)
    holds: dict[str, Bools] = {}
    blocked = np.zeros((len(catalogue.actions), len(frame)), dtype=np.int8)
    for action, row in zip(catalogue.actions, blocked):
        passes = {"not_valid": _valid(action, days), "no_consent": _consents(action, columns)}
        for key, text in action.predicates.items():
            if text not in holds:
                with located(f"action {action.id}, {key}: {text}"):
                    holds[text] = Predicate.parse(text).holds(columns)
            passes[RULE_OF[key]] = holds[text]
        for code in range(len(RULES), 0, -1):
            fails = ~passes.get(RULES[code - 1], np.asarray(True))
            if fails.ndim or fails:  # one answer for all rows is mostly yes
                row[fails] = code
    # Each action's n values lie together in memory, so reductions over actions are k passes of n.
    return blocked.T


def as_days(date: Day) -> NDArray[np.datetime64]:
    """A day, or (n,) days, as datetime64[D]."""
    return np.asarray(date, dtype="datetime64[D]")


def _valid(action: Action, days: NDArray[np.datetime64]) -> NDArray[Any]:
    """Whether the day is within the action's dates; an unknown day (NaT) is within none."""
    begun = action.valid_from is None or days >= as_days(action.valid_from)
    return np.asarray(begun & (action.valid_to is None or days <= as_days(action.valid_to)))


def _consents(action: Action, columns: Columns) -> NDArray[Any]:
    if action.channel == NO_CHANNEL:
        return np.asarray(True)
    name, where = f"consent_{action.channel}", f"action {action.id}, channel"
    known = [column for column in map(str, columns.frame.columns) if column.startswith("consent_")]
    require_known(name, known, CatalogueError, f"the customers have no column {name!r}", where)
    consent = columns.read(name)
    if consent.kind not in ("boolean", "null"):
        what = f"the column {name!r} holds {consent.kind} values, not booleans"
        raise CatalogueError(what, where=where)
    return np.asarray(consent.values & ~consent.null)
