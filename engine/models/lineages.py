"""Lineages: recipes on trial, whose versions follow one another and share their evidence."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Optional

import pandas as pd


@dataclass(frozen=True)
class Lineage:
    """A recipe from the day it was chosen on.

    Args:
        name: `recipe@day`, the day being its first version's as_of.
        recipe: what all its versions have in common.
        started: its first version's as_of.
        versions: (number, trained_through) of each, oldest first; a version may score decisions
            from the day trained_through on.
    """

    name: str
    recipe: str
    started: dt.date
    versions: tuple[tuple[str, dt.date], ...]

    @property
    def newest(self) -> str:
        """The number of the newest version."""
        return self.versions[-1][0]

    def scoring(self, day: dt.date) -> Optional[str]:
        """The newest version that was fixed before `day`; None where none was."""
        fixed = [number for number, through in self.versions if through <= day]
        return fixed[-1] if fixed else None


def lineages(versions: Iterable[tuple[str, Mapping[str, str]]], as_of: dt.date) -> list[Lineage]:
    """The lineages that had started by `as_of`, in order of their first version.

    Args:
        versions: number and tags of every registered version, oldest first.
        as_of: versions of later days are not known.
    """
    found: dict[str, Lineage] = {}
    for number, tags in versions:
        day = dt.date.fromisoformat(tags["as_of"])
        if day > as_of:
            continue
        one = (number, dt.date.fromisoformat(tags["trained_through"]))
        name = tags["lineage"]
        before = found.get(name, Lineage(name, tags["recipe"], day, ()))
        found[name] = Lineage(name, before.recipe, before.started, (*before.versions, one))
    return list(found.values())


def on_trial(
    known: list[Lineage], verdicts: pd.DataFrame, as_of: dt.date, trial_days: int
) -> Optional[Lineage]:
    """The newest lineage, unless an earlier day's verdict or the time limit ended its trial.

    A rejection ends a trial, and so does the promotion to champion.

    Args:
        known: lineages in order.
        verdicts: rows of the table `verdicts`.
        as_of: verdicts of this day and later do not count yet.
        trial_days: how long a lineage may be on trial.
    """
    if not known or (as_of - known[-1].started).days >= trial_days:
        return None
    own = verdicts["candidate"].isin([number for number, _ in known[-1].versions])
    champion = (verdicts["verdict"] == "promote") & (verdicts["to_alias"] == "champion")
    ended = own & (champion | (verdicts["verdict"] == "reject")) & (verdicts["as_of"] < as_of)
    return None if ended.any() else known[-1]
