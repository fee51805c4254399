"""A learner's settings: brought to their types and checked, all before anything is learned."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from policies.deciding import exploration as exploring
from policies.errors import LearningError, did_you_mean

CB_TYPES = ("mtr", "dr", "ips", "dm", "sm")
Rule = tuple[Callable[[Any], bool], str]
NUMBERS: dict[str, Rule] = {
    "learning_rate": (lambda x: x > 0, "positive"),
    "power_t": (lambda x: x >= 0, "0 or more"),
    "l1": (lambda x: x >= 0, "0 or more"),
    "l2": (lambda x: x >= 0, "0 or more"),
    "half_life": (lambda x: x > 0, "a positive number of days, or None"),
    "max_weight": (lambda x: x >= 1, "1 or more, or None"),
}
WHOLE: dict[str, Rule] = {
    "bins": (lambda x: x == 0 or 2 <= x <= 100, "0, or from 2 to 100"),
    "passes": (lambda x: x >= 1, "1 or more"),
    "seed": (lambda x: x >= 0, "0 or more"),
    "bootstrap": (lambda x: x >= 0, "0 or more, or None"),
    "bits": (lambda x: 1 <= x <= 31, "from 1 to 31, or None"),
}
MAY_BE_NONE = ("half_life", "max_weight", "bootstrap", "bits", "features", "reward_range")


def checked(given: Mapping[str, Any], action_ids: Sequence[str]) -> dict[str, Any]:
    """The settings of VowpalPolicy in plain JSON types, in the order given.

    Raises:
        LearningError: for the first that is of another type, out of its range, or at odds with
            another one.
    """
    settings = {name: _one(name, value, action_ids) for name, value in given.items()}
    for name in ("half_life", "bootstrap"):
        if settings[name] is not None and settings["cb_type"] != "mtr":
            raise LearningError(
                f"{name} weighs regressions, and cb_type {settings['cb_type']!r} is none",
                hint='use cb_type "mtr"',
            )
    if settings["cb_type"] == "sm" and exploring.needs_rewards(settings["exploration"]):
        raise LearningError(
            f"{settings['exploration']!r} explores by expected rewards, and cb_type 'sm' has none",
            hint='use "mtr" or "dr", or explore with "epsilon:0.1"',
        )
    return settings


def _one(name: str, value: Any, action_ids: Sequence[str]) -> Any:
    if value is None and name in MAY_BE_NONE:
        return None
    if name in NUMBERS:
        return _ruled(name, number(name, value), NUMBERS[name])
    if name in WHOLE:
        return _ruled(name, _whole(name, value), WHOLE[name])
    if name == "cb_type" and value not in CB_TYPES:
        raise LearningError(
            f"unknown cb_type {str(value)!r}", hint=did_you_mean(str(value), CB_TYPES)
        )
    if name == "action_features":
        return _descriptions(value, action_ids)
    if name == "interactions":
        return [_pair(each) for each in _listed(name, value)]
    if name == "features":
        return _listed(name, value)
    if name == "reward_range":
        return _range(value)
    if name == "standardise" and not isinstance(value, (bool, np.bool_)):
        raise LearningError(f"standardise must be True or False, and is {value!r}")
    return bool(value) if name == "standardise" else str(value)


def _ruled(name: str, value: Any, rule: Rule) -> Any:
    holds, text = rule
    if not holds(value):
        raise LearningError(f"{name} must be {text}, and is {value!r}")
    return value


def number(name: str, value: Any) -> float:
    """A finite number, or LearningError."""
    right = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
    if not (right and np.isfinite(value)):
        raise LearningError(f"{name} must be a number, and is {value!r}")
    return float(value)


def _whole(name: str, value: Any) -> int:
    if not isinstance(value, (int, np.integer)) or isinstance(value, bool):
        raise LearningError(f"{name} must be a whole number, and is {value!r}")
    return int(value)


def _listed(name: str, values: Any) -> list[Any]:
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise LearningError(f"{name} must be a list, and is {values!r}")
    return list(values)


def _pair(pair: Any) -> str:
    if sorted(str(pair)) != ["a", "s"]:
        raise LearningError(
            f"interaction {pair!r} is not of one shared (s) and one action (a) namespace",
            hint='use ("sa",), which keeps the model linear, and bins for what is not',
        )
    return str(pair)


def _range(declared: Any) -> list[float]:
    ends = [number("reward_range", each) for each in _listed("reward_range", declared)]
    if not (len(ends) == 2 and ends[0] < ends[1]):
        raise LearningError(f"reward_range must be (low, high), low < high: {declared!r}")
    return ends


def _descriptions(given: Any, action_ids: Sequence[str]) -> dict[str, dict[str, float | str]]:
    """Action features: texts and numbers by name, of known actions."""
    given = {} if given is None else given
    if not isinstance(given, Mapping) or not all(isinstance(e, Mapping) for e in given.values()):
        raise LearningError(
            f"action_features must map each action to what describes it, and are {given!r}",
            hint='{"email": {"channel": "mail", "cost": 0.1}}',
        )
    for action in given:
        if action not in action_ids:
            raise LearningError(
                f"action_features describe {action!r}, which is no action",
                hint=did_you_mean(str(action), action_ids),
            )
    return {
        action: {
            str(name): value if isinstance(value, str) else number(f"{action}.{name}", value)
            for name, value in features.items()
        }
        for action, features in given.items()
    }
