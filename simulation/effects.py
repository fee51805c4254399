"""The effect of an action on the visit probability, by customer segment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from policies.catalogue import Action
from policies.deciding.groups import uniforms
from simulation.customers import TRAITS, Floats, Ints

LOWEST_UPLIFT = -0.015  # of a segment; times the largest taste it keeps p_visit above its lower end


@dataclass(frozen=True)
class Effect:
    """The uplift of the day's visit probability, before fatigue and taste.

    A segment's uplift is base + age_band + region + plan, each in the order of
    `customers.TRAITS`. Sized after e-mail tests on retail customers (Hillstrom 2008: +.045 and
    +.077 on .106); push, text and calls vary more from segment to segment.
    """

    base: float
    age_band: tuple[float, ...] = (0.0, 0.0, 0.0, 0.0)
    region: tuple[float, ...] = (0.0, 0.0, 0.0, 0.0)
    plan: tuple[float, ...] = (0.0, 0.0, 0.0)

    def of(self, traits: Mapping[str, Ints]) -> Floats:
        """(n,) uplift of each customer's segment."""
        parts = [np.array(getattr(self, name))[traits[name]] for name in TRAITS]
        return np.asarray(np.maximum(sum(parts, np.array(self.base)), LOWEST_UPLIFT))

    @classmethod
    def seeded(cls, action: Action) -> Effect:
        """The effect of an action without a declared one: drawn from its id and channel."""
        names = [f"{action.id}:{action.channel}:{number}" for number in range(12)]
        u = 2 * uniforms(np.array(names, dtype=object), None, "effect") - 1
        spread = np.repeat([0.04, 0.05, 0.01, 0.03], [1, 4, 4, 3]) * u
        base = 0.06 + float(spread[0])
        return cls(base, tuple(spread[1:5]), tuple(spread[5:9]), tuple(spread[9:]))
