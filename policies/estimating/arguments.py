"""Checks of arguments that several functions take."""

from __future__ import annotations

from typing import Any

import numpy as np

from policies.errors import EvaluationError

MOST_FOLDS = 100


def number(name: str, value: Any) -> float:
    """The value of an argument, when it is a number.

    Raises:
        EvaluationError: it is a text, None, or something else.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)):
        raise EvaluationError(f"{name} must be a number, not {value!r}", hint="5 % is 0.05")
    return float(value)


def check_seed(seed: Any) -> None:
    """Raise unless `seed` is a whole number that seeds a generator.

    Raises:
        EvaluationError: not a whole number from 0 to 2³² − 1.
    """
    whole = isinstance(seed, (int, np.integer)) and not isinstance(seed, bool)
    if not (whole and 0 <= seed < 2**32):
        raise EvaluationError(
            f"seed must be a whole number, not {seed!r}", hint="0 is as good as any below 2**32"
        )


def check_confidence(confidence: Any) -> float:
    """The confidence, when it is one.

    Raises:
        EvaluationError: no number, or outside (0, 1).
    """
    value = number("confidence", confidence)
    if not 0 < value < 1:
        raise EvaluationError(
            f"confidence must lie strictly between 0 and 1, not {value}",
            hint="0.95 is usual; 95 is not",
        )
    return value


def check_folds(folds: Any) -> None:
    """Raise unless `folds` is a number of folds.

    Raises:
        EvaluationError: not a whole number between 2 and 100.
    """
    if not isinstance(folds, (int, np.integer)) or not 2 <= folds <= MOST_FOLDS:
        raise EvaluationError(f"folds must be a whole number from 2 to {MOST_FOLDS}, not {folds!r}")
