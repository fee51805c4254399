"""Which version an alias stood for on a day, read from `promotions`, never from the live alias.

An alias move takes effect the day after its `as_of`; so a job run again for a past day sees what
it saw then.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Optional

import pandas as pd

from engine.data.tables import sql_list

if TYPE_CHECKING:
    from engine.data.tables import Tables

PREVIOUS_DAYS = 28


class AliasHistory:
    """The moves of one model's aliases, oldest first."""

    def __init__(self, moves: pd.DataFrame) -> None:
        self.moves = moves.sort_values(["as_of", "moved_at"], kind="stable")

    @classmethod
    def read(cls, tables: Tables, model_name: str) -> AliasHistory:
        """From the table `promotions`."""
        tables.ensure("promotions")
        rows = tables.read("promotions").where(f"model_name IN ({sql_list([model_name])})")
        return cls(rows.toPandas())

    def with_move(self, move: Mapping[str, Any]) -> AliasHistory:
        """With one more move."""
        naive = {**move, "moved_at": move["moved_at"].replace(tzinfo=None)}
        return AliasHistory(pd.DataFrame([*self.moves.to_dict("records"), naive]))

    def version(self, alias: str, as_of: dt.date, *, today: bool = False) -> Optional[str]:
        """The version in force on `as_of`; with `today`, moves of that very day count as well."""
        moved = self._moves(alias, as_of, today)
        return str(moved.iloc[-1]["to_version"]) if len(moved) else None

    def previous_champion(self, as_of: dt.date) -> Optional[Mapping[str, Optional[str]]]:
        """The last champion's move if its old version still keeps a share of customers.

        Returns:
            {"version": the version before, or None where the incumbent of the configuration was
            in force}; None when nothing was promoted in the last 28 days.
        """
        moved = self._moves("champion", as_of, today=False)
        if not len(moved) or (as_of - moved.iloc[-1]["as_of"]).days > PREVIOUS_DAYS:
            return None
        before = moved.iloc[-1]["from_version"]
        return {"version": None if pd.isna(before) else str(before)}

    def _moves(self, alias: str, as_of: dt.date, today: bool) -> pd.DataFrame:
        moves = self.moves[self.moves["alias"] == alias]
        days = moves["as_of"]
        return moves[(days <= as_of) if today else (days < as_of)]
