"""Which version an alias stood for on a day, from the recorded moves."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import NamedTuple, Optional

import pandas as pd

PREVIOUS_DAYS = 28  # for which a share of customers stays with the champion before


class Move(NamedTuple):
    """An alias move, recorded on `as_of`; it takes effect on the day after.

    `from_version` is None where the incumbent of the configuration was in force.
    """

    as_of: dt.date
    alias: str
    from_version: Optional[str]
    to_version: str


class AliasHistory:
    """The moves of one model's aliases.

    Aliases are read from the recorded moves and never from the live alias, so a job run again for
    a past day sees what it saw then.

    Args:
        moves: in the order in which they were recorded; a later move of the same day counts.
    """

    def __init__(self, moves: Iterable[Move] = ()) -> None:
        self.moves = sorted(moves, key=lambda move: move.as_of)

    @classmethod
    def from_frame(cls, promotions: pd.DataFrame) -> AliasHistory:
        """From rows of the table `promotions`."""
        rows = promotions.sort_values("moved_at", kind="stable")[list(Move._fields)]
        rows = rows.astype(object).where(rows.notna(), None)
        return cls(Move(*row) for row in rows.itertuples(index=False))

    def with_move(self, move: Move) -> AliasHistory:
        """This history and one more move."""
        return AliasHistory([*self.moves, move])

    def version(self, alias: str, as_of: dt.date, *, today: bool = False) -> Optional[str]:
        """The version in force on `as_of`, or None.

        Args:
            alias: `candidate`, `staging` or `champion`.
            as_of: the day.
            today: count the moves of that day as well.
        """
        move = self._last_move(alias, as_of + dt.timedelta(days=int(today)))
        return None if move is None else move.to_version

    def holds(self, as_of: dt.date, alias: str, version: str) -> bool:
        """Whether the version took the alias on that day, or had it when the day began."""
        taken = {move.to_version for move in self.moves if move[:2] == (as_of, alias)}
        return version in {*taken, self.version(alias, as_of)}

    def previous_champion(self, as_of: dt.date) -> Optional[Move]:
        """The last champion's move, if it took effect in the last 28 days."""
        move = self._last_move("champion", as_of)
        recent = move is not None and (as_of - move.as_of).days <= PREVIOUS_DAYS
        return move if recent else None

    def _last_move(self, alias: str, before: dt.date) -> Optional[Move]:
        moves = [move for move in self.moves if move.alias == alias and move.as_of < before]
        return moves[-1] if moves else None
