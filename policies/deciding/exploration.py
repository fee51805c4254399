"""From scores to a distribution over the eligible actions."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from policies.errors import InvalidPolicyError, did_you_mean

Exploration = Callable[[NDArray[np.float64], NDArray[np.bool_]], NDArray[np.float64]]


def uniform(eligible: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(n, k): every eligible action of a row alike."""
    return eligible / np.count_nonzero(eligible, axis=1, keepdims=True)


def greedy(scores: NDArray[np.float64], eligible: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(n, k): all mass on the highest eligible score; exact ties share it."""
    masked = np.where(eligible, scores, -np.inf)
    return uniform(eligible & (masked == masked.max(axis=1, keepdims=True)))


def epsilon_greedy(
    scores: NDArray[np.float64], eligible: NDArray[np.bool_], *, epsilon: float
) -> NDArray[np.float64]:
    """(n, k): greedy with probability 1 - epsilon, else uniform over the eligible set."""
    return (1 - epsilon) * greedy(scores, eligible) + epsilon * uniform(eligible)


def softmax(
    scores: NDArray[np.float64], eligible: NDArray[np.bool_], *, temperature: float
) -> NDArray[np.float64]:
    """(n, k): proportional to exp(score / temperature) over the eligible set."""
    masked = np.where(eligible, scores, -np.inf)
    weights = np.exp((masked - masked.max(axis=1, keepdims=True)) / temperature)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def parse(text: str) -> Exploration:
    """The exploration that a configuration names: "greedy", "epsilon:0.1" or "softmax:0.05".

    Returns:
        A function of scores (n, k) and eligible sets (n, k) that gives a distribution (n, k).

    Raises:
        InvalidPolicyError: the name is unknown or its number out of range.
    """
    name, _, number = text.partition(":")
    if name == "greedy" and not number:
        return greedy
    if name not in ("epsilon", "softmax"):
        raise _unknown(text, did_you_mean(name, ("greedy", "epsilon", "softmax")))
    try:
        value = float(number)
    except ValueError:
        raise _unknown(text, f"write {name}:NUMBER") from None
    if name == "epsilon":
        if not 0 <= value <= 1:
            raise _unknown(text, "epsilon is a share between 0 and 1")
        return partial(epsilon_greedy, epsilon=value)
    if not 0 < value < np.inf:
        raise _unknown(text, "a temperature is above 0, in units of the score")
    return partial(softmax, temperature=value)


def _unknown(text: str, hint: str) -> InvalidPolicyError:
    return InvalidPolicyError(f"{text!r} is no exploration", where="exploration", hint=hint)
