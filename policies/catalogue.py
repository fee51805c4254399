"""Actions and the catalogue of them: what could be done for a customer, and under which rules."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

import numpy as np
from numpy.typing import NDArray

from policies.errors import CatalogueError, located, require_known
from policies.predicates import Predicate

NO_CHANNEL = "none"
PREDICATE_KEYS = ("eligible_when", "applicable_when", "suitable_when")


@dataclass(frozen=True)
class Action:
    """One thing that can be done for a customer.

    Args:
        id: the name it is logged under.
        name: what people call it.
        group: the family it belongs to.
        channel: what a contact needs consent for; "none" contacts nobody.
        valid_from: first day on which it may be drawn; None is always.
        valid_to: last day on which it may be drawn, inclusive; None is always.
        value: what a success is worth, in the catalogue's currency.
        cost: what taking it costs, in the catalogue's currency.
        eligible_when: predicate over features: may we?
        applicable_when: predicate over features: does it make sense now?
        suitable_when: predicate over features: is it good for them?
        features: what describes the action itself.
    """

    id: str
    name: str
    group: str
    channel: str = NO_CHANNEL
    valid_from: date | None = None
    valid_to: date | None = None
    value: float = 0.0
    cost: float = 0.0
    eligible_when: str | None = None
    applicable_when: str | None = None
    suitable_when: str | None = None
    features: Mapping[str, float | str] = field(default_factory=dict, hash=False)

    @property
    def predicates(self) -> dict[str, str]:
        """The predicates it has, by key, in the order in which they apply."""
        texts = {key: getattr(self, key) for key in PREDICATE_KEYS}
        return {key: text for key, text in texts.items() if text is not None}


@dataclass(frozen=True)
class Catalogue:
    """The actions to choose from, in the column order of every (n, k) array.

    Args:
        currency: of every value and cost.
        actions: at least the one that contacts nobody.
        no_contact: id of the action that is eligible for everybody on every day.

    Raises:
        CatalogueError: ids repeat, `no_contact` is missing or restricted, dates or amounts make
            no sense.
        PredicateError: a predicate cannot be parsed; it names the action and the key.
    """

    currency: str
    actions: tuple[Action, ...]
    no_contact: str = "no_contact"

    def __post_init__(self) -> None:
        object.__setattr__(self, "actions", tuple(self.actions))
        ids = self.action_ids
        repeated = sorted({action_id for action_id in ids if ids.count(action_id) > 1})
        if repeated:
            raise CatalogueError(f"action ids repeat: {', '.join(repeated)}", where="the catalogue")
        action = self.actions[self.index(self.no_contact)]
        dated = action.valid_from is not None or action.valid_to is not None
        if dated or action.predicates or action.channel != NO_CHANNEL:
            raise CatalogueError(
                f"the action {self.no_contact!r} is restricted",
                where=f"action {self.no_contact}",
                hint="no contact is eligible for everybody on every day: remove its predicates "
                f"and dates, and give it the channel {NO_CHANNEL!r}",
            )
        for action in self.actions:
            where = f"action {action.id}"
            if action.valid_from and action.valid_to and action.valid_from > action.valid_to:
                what = f"valid_from {action.valid_from} is after valid_to {action.valid_to}"
                raise CatalogueError(what, where=where)
            if not np.isfinite([action.value, action.cost]).all() or action.cost < 0:
                what = "value and cost are amounts, not NaN or infinite, and no cost is negative"
                raise CatalogueError(what, where=where)
            for key, text in action.predicates.items():
                with located(f"{where}, {key}: {text[:200]}"):
                    Predicate.parse(text)

    @property
    def action_ids(self) -> tuple[str, ...]:
        """The k ids, in column order."""
        return tuple(action.id for action in self.actions)

    @property
    def costs(self) -> NDArray[np.float64]:
        """(k,) cost of taking each action once, in the catalogue's currency."""
        return np.array([action.cost for action in self.actions], dtype=np.float64)

    @property
    def channels(self) -> tuple[str, ...]:
        """The k channels, in column order."""
        return tuple(action.channel for action in self.actions)

    @property
    def contact_channels(self) -> tuple[str, ...]:
        """The channels that need consent, sorted."""
        return tuple(sorted(set(self.channels) - {NO_CHANNEL}))

    @property
    def action_features(self) -> dict[str, dict[str, float | str]]:
        """What describes each action to a learner: group, channel, and its own features."""
        return {
            action.id: {"group": action.group, "channel": action.channel, **action.features}
            for action in self.actions
        }

    def index(self, action_id: str) -> int:
        """The column of an action.

        Raises:
            CatalogueError: there is no such action; it names the closest.
        """
        what = f"there is no action {action_id!r}"
        require_known(action_id, self.action_ids, CatalogueError, what, "the catalogue")
        return self.action_ids.index(action_id)

    @property
    def hash(self) -> str:
        """12 hexadecimal digits that change when anything in the catalogue does."""
        text = json.dumps(vars(self), sort_keys=True, separators=(",", ":"), default=_plain)
        return hashlib.sha256(text.encode()).hexdigest()[:12]


def _plain(value: object) -> object:
    if isinstance(value, Action):
        return vars(value)
    return dict(value) if isinstance(value, Mapping) else str(value)
