"""Lineages of versions: which version scores a day, when a trial ends, and which step comes next."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Optional

from policies.judging.aliases import AliasHistory


class TrainedVersion(NamedTuple):
    """A version of a lineage.

    Args:
        number: names the version.
        lineage: `recipe@day`, the day being that of the lineage's first version.
        as_of: the day of the training.
        trained_through: first day whose decisions the version may score.
    """

    number: str
    lineage: str
    as_of: dt.date
    trained_through: dt.date


class RecordedVerdict(NamedTuple):
    """What the gate said on a day: may `candidate` take `to_alias`?"""

    as_of: dt.date
    candidate: str
    to_alias: str
    verdict: str

    @property
    def ends_trial(self) -> bool:
        """A rejection ends a trial, and so does the promotion to champion."""
        return (self.verdict, self.to_alias) == ("promote", "champion") or self.verdict == "reject"


@dataclass(frozen=True)
class Lineage:
    """A recipe on trial; its versions follow one another and share their evidence.

    Args:
        name: `recipe@day`, the day being `started`.
        started: the day of the first version's training.
        versions: (number, trained_through) of each, oldest first; a version may score decisions
            from the day trained_through on.
    """

    name: str
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

    def scoring_after(self, last: Optional[dt.date], days: Iterable[dt.date]) -> dict[dt.date, str]:
        """The days that are still to be scored, and by which version.

        Args:
            last: the last day that is frozen already, if any.
            days: matured decision days, oldest first.
        """
        scored = ((day, self.scoring(day)) for day in days if last is None or day > last)
        return {day: number for day, number in scored if number is not None}


class Step(NamedTuple):
    """The question to the gate: may this version take this alias from the incumbent?

    Args:
        alias: `staging` or `champion`.
        version: the candidate's, which would get the alias.
        incumbent: the policy that it is compared with.
        tried: how many lineages have been tried, this one included.
    """

    alias: str
    version: str
    incumbent: str
    tried: int


def lineages(versions: Iterable[TrainedVersion], as_of: dt.date) -> list[Lineage]:
    """The lineages that had started by `as_of`, in order of their first version.

    Args:
        versions: oldest first.
        as_of: versions of later days are not known.
    """
    known: dict[str, Lineage] = {}
    for version in versions:
        if version.as_of <= as_of:
            lineage = known.get(version.lineage, Lineage(version.lineage, version.as_of, ()))
            trained = (*lineage.versions, (version.number, version.trained_through))
            known[version.lineage] = replace(lineage, versions=trained)
    return list(known.values())


def on_trial(
    known: Sequence[Lineage],
    verdicts: Iterable[RecordedVerdict],
    as_of: dt.date,
    trial_days: int,
) -> Optional[Lineage]:
    """The newest lineage, unless an earlier day's verdict or the time limit ended its trial.

    Args:
        known: lineages in order.
        verdicts: all that are recorded; those of `as_of` and later do not count yet.
        as_of: the day.
        trial_days: how long a lineage may be on trial.
    """
    if not known or (as_of - known[-1].started).days >= trial_days:
        return None
    own = {number for number, _ in known[-1].versions}
    ended = any(
        verdict.ends_trial and verdict.candidate in own and verdict.as_of < as_of
        for verdict in verdicts
    )
    return None if ended else known[-1]


def next_step(
    known: Sequence[Lineage],
    lineage: Lineage,
    incumbent: str,
    history: AliasHistory,
    as_of: dt.date,
) -> Step:
    """Staging comes first; the version that holds it is the one that may become champion."""
    staged, tried = history.version("staging", as_of), known.index(lineage) + 1
    if staged in {number for number, _ in lineage.versions}:
        return Step("champion", str(staged), incumbent, tried)
    return Step("staging", lineage.newest, incumbent, tried)
