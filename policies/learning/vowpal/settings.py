"""The settings of VowpalPolicy: types, defaults, ranges and documentation in one place."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from policies.columns import low_high, number
from policies.deciding import exploration as exploring
from policies.errors import LearningError, require_known

CB_TYPES = ("mtr", "dr", "ips", "dm", "sm")

GRID: tuple[dict[str, Any], ...] = (
    {"standardise": True, "cb_type": "mtr", "learning_rate": 0.5, "passes": 3, "bins": 8},
    {"standardise": True, "cb_type": "mtr", "learning_rate": 0.1, "passes": 3, "bins": 8},
    {"standardise": True, "cb_type": "mtr", "learning_rate": 0.1, "passes": 3},
    {"standardise": True, "cb_type": "mtr", "learning_rate": 0.02, "passes": 3},
    {"standardise": True, "cb_type": "mtr", "learning_rate": 0.005, "passes": 3},
    {"standardise": True, "cb_type": "dr", "learning_rate": 0.02, "passes": 1},
)
"""Bold to cautious. Where an action's reward is nearly certain (classes as actions) the bold ones
with bins win by far; on logs of rare rewards each of the cautious ones was the best on some. See
`benchmarks/selection.py`."""


def _setting(default: Any, read: Callable[[str, Any], Any]) -> Any:
    """A field whose value, unless it is a default of None, becomes `read(name, value)`."""
    return field(default=default, metadata={"read": read})


def _number(default: Any, kind: type, holds: Callable[[float], bool], text: str) -> Any:
    """A field of a number of this kind, int or float, for which `holds` is true, as `text` says."""

    def read(name: str, value: Any) -> Any:
        if kind is int and not isinstance(value, (int, np.integer)):
            raise LearningError(f"{name} must be a whole number, and is {value!r}")
        real = number(name, value, LearningError)
        if not holds(real):
            raise LearningError(f"{name} must be {text}, and is {real!r}")
        return kind(real)

    return _setting(default, read)


def _listed(name: str, values: Any) -> list[Any]:
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise LearningError(f"{name} must be a list, and is {values!r}")
    return list(values)


def _cb_type(name: str, value: Any) -> str:
    require_known(value, CB_TYPES, LearningError, f"unknown cb_type {str(value)!r}")
    return str(value)


def _pairs(name: str, values: Any) -> list[str]:
    pairs = [str(pair) for pair in _listed(name, values)]
    for pair in pairs:
        if sorted(pair) != ["a", "s"]:
            raise LearningError(
                f"interaction {pair!r} is not of one shared (s) and one action (a) namespace",
                hint='use ("sa",), which keeps the model linear, and bins for what is not',
            )
    return pairs


def _yes_or_no(name: str, value: Any) -> bool:
    if not isinstance(value, (bool, np.bool_)):
        raise LearningError(f"{name} must be True or False, and is {value!r}")
    return bool(value)


def _descriptions(name: str, given: Any) -> dict[str, dict[str, float | str]]:
    """Texts and numbers by name, by action."""
    given = {} if given is None else given
    maps = given.values() if isinstance(given, Mapping) else [given]
    if not all(isinstance(features, Mapping) for features in maps):
        raise LearningError(
            f"{name} must map each action to what describes it, and are {given!r}",
            hint='{"email": {"channel": "mail", "cost": 0.1}}',
        )

    def read(key: str, value: Any) -> float | str:
        return value if isinstance(value, str) else number(key, value, LearningError)

    return {
        action: {str(key): read(f"{action}.{key}", value) for key, value in features.items()}
        for action, features in given.items()
    }


@dataclass(frozen=True)
class VowpalSettings:
    """The arguments of VowpalPolicy beside the actions, checked, in plain JSON types.

    Args:
        cb_type: how a logged reward becomes costs of all actions. "mtr" regresses on logged actions
            with importance weights (Bietti et al. 2021, section 3.2); "ips" and "dr" on unbiased
            estimates of every action's cost; "dm" on logged actions without weights. "sm" follows
            the gradient of a softmax policy's value: its scores are preferences, not rewards.
        features: columns of the contexts to learn from; None = all.
        interactions: ("sa",) for weights per action, () for the same preferences for everybody.
        standardise: whether a number's mean is subtracted. Often better; without it the policy
            learns what Vowpal Wabbit itself learns from the plain numbers.
        bins: into how many equally filled bins numbers are also cut, so that scores can follow any
            curve; 0 for none.
        action_features: action id -> what describes it (texts and numbers); actions with a feature
            in common learn it together, and a new one starts with what it shares.
        learning_rate: step size.
        power_t: the power by which the step size decays.
        l1, l2: regularisation at each step.
        passes: how often the log is read.
        half_life: days after which a decision counts half as much as one of the newest day; None =
            all alike. Only "mtr" has such weights.
        bootstrap: a number by which each decision is counted 0, 1, 2 … times, Poisson with mean 1
            (Oza & Russell 2001); policies of several numbers make a bag, see `Averaged`. Only "mtr".
        max_weight: importance weights 1/p are cut there; None = nowhere.
        exploration: "greedy", "epsilon:0.1", "softmax:0.05", "squarecb:100".
        seed: of Vowpal Wabbit's own random numbers.
        reward_range: (low, high) that expected rewards are clipped to; None = the log's declared
            range, or else the one seen.
        bits: of the weight table (2**bits weights); None = enough to make collisions rare.

    Raises:
        LearningError: a value is of another type, out of its range, or contradicts another one.
    """

    cb_type: str = _setting("mtr", _cb_type)
    features: list[Any] | None = _setting(None, _listed)  # noqa: RUF009 - it makes a field
    interactions: list[str] = _setting(("sa",), _pairs)  # noqa: RUF009 - likewise
    standardise: bool = _setting(False, _yes_or_no)
    bins: int = _number(0, int, lambda x: x == 0 or 2 <= x <= 100, "0, or from 2 to 100")
    action_features: dict[str, dict[str, float | str]] = field(
        default_factory=dict, metadata={"read": _descriptions}
    )
    learning_rate: float = _number(0.5, float, lambda x: x > 0, "positive")
    power_t: float = _number(0.5, float, lambda x: x >= 0, "0 or more")
    l1: float = _number(0.0, float, lambda x: x >= 0, "0 or more")
    l2: float = _number(0.0, float, lambda x: x >= 0, "0 or more")
    passes: int = _number(1, int, lambda x: x >= 1, "1 or more")
    half_life: float | None = _number(
        None, float, lambda x: x > 0, "a positive number of days, or None"
    )
    bootstrap: int | None = _number(None, int, lambda x: x >= 0, "0 or more, or None")
    max_weight: float | None = _number(None, float, lambda x: x >= 1, "1 or more, or None")
    exploration: str = _setting("greedy", lambda name, value: str(value))
    seed: int = _number(0, int, lambda x: x >= 0, "0 or more")
    reward_range: list[float] | None = _setting(  # noqa: RUF009 - likewise
        None, lambda name, value: list(low_high(name, value, LearningError))
    )
    bits: int | None = _number(None, int, lambda x: 1 <= x <= 31, "from 1 to 31, or None")

    def __post_init__(self) -> None:
        for setting in fields(self):
            value = getattr(self, setting.name)
            if value is not None or setting.default is not None:
                read = setting.metadata["read"]
                object.__setattr__(self, setting.name, read(setting.name, value))
        for name in ("half_life", "bootstrap"):
            if getattr(self, name) is not None and self.cb_type != "mtr":
                what = f"{name} weighs regressions, and cb_type {self.cb_type!r} is none"
                raise LearningError(what, hint='use cb_type "mtr"')
        if self.cb_type == "sm" and exploring.needs_rewards(self.exploration):
            raise LearningError(
                f"{self.exploration!r} explores by expected rewards, and cb_type 'sm' has none",
                hint='use "mtr" or "dr", or explore with "epsilon:0.1"',
            )

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> VowpalSettings:
        """Settings by name.

        Raises:
            LearningError: an unknown name, with the closest known one; else as the class.
        """
        names = [setting.name for setting in fields(cls)]
        for name in given:
            require_known(name, names, LearningError, f"unknown setting {name!r}")
        return cls(**given)
