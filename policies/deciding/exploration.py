"""From scores to a distribution over the eligible actions."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from policies.errors import InvalidPolicyError, did_you_mean

Explore = Callable[[NDArray[np.float64], NDArray[np.bool_]], NDArray[np.float64]]


def uniform(eligible: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(n, k): every eligible action of a row alike."""
    return np.where(eligible, 1 / np.count_nonzero(eligible, axis=1, keepdims=True), 0.0)


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


def squarecb(
    scores: NDArray[np.float64], eligible: NDArray[np.bool_], *, gamma: float
) -> NDArray[np.float64]:
    """(n, k): 1 / (m + gamma·gap) for each of m eligible actions but the best, which gets the rest.

    A gap is how far an expected reward is below the highest: what is surely worse is seldom tried.
    gamma is in 1 / reward units. Source: Abe & Long (1999); Foster & Rakhlin (2020), SquareCB.
    """
    masked = np.where(eligible, scores, -np.inf)
    best = masked.argmax(axis=1)
    rows = np.arange(len(scores))
    gap = np.where(eligible, masked[rows, best][:, None] - scores, 0.0)
    size = np.count_nonzero(eligible, axis=1)[:, None]
    chances = np.where(eligible, 1 / (size + gamma * gap), 0.0)
    chances[rows, best] = 0.0
    chances[rows, best] = 1 - chances.sum(axis=1)
    return chances


_NUMBERED: dict[
    str, tuple[Callable[..., NDArray[np.float64]], str, Callable[[float], bool], str]
] = {
    "epsilon": (epsilon_greedy, "epsilon", lambda x: 0 <= x <= 1, "a share between 0 and 1"),
    "softmax": (softmax, "temperature", lambda x: 0 < x < np.inf, "above 0, in units of the score"),
    "squarecb": (squarecb, "gamma", lambda x: 0 <= x < np.inf, "0 or more, in 1 / reward units"),
}


def parse(text: str) -> Explore:
    """The exploration that a configuration names.

    "greedy", "epsilon:0.1" (epsilon), "softmax:0.05" (temperature) or "squarecb:100" (gamma).

    Returns:
        A function of scores (n, k) and eligible sets (n, k) that gives a distribution (n, k).

    Raises:
        InvalidPolicyError: the name is unknown or its number out of range.
    """
    name, _, number = text.partition(":")
    if name == "greedy" and not number:
        return greedy
    if name not in _NUMBERED:
        raise _unknown(text, did_you_mean(name, ("greedy", *_NUMBERED)))
    explore, parameter, holds, rule = _NUMBERED[name]
    try:
        value = float(number)
    except ValueError:
        raise _unknown(text, f"write {name}:NUMBER") from None
    if not holds(value):
        raise _unknown(text, f"{parameter} is {rule}")
    return partial(explore, **{parameter: value})


def needs_rewards(text: str) -> bool:
    """Whether an exploration reads distances between scores, which must then be bounded rewards."""
    return text.partition(":")[0] in ("softmax", "squarecb")


def _unknown(text: str, hint: str) -> InvalidPolicyError:
    return InvalidPolicyError(f"{text!r} is no exploration", where="exploration", hint=hint)
