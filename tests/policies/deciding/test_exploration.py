"""From scores to distributions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from policies.deciding.exploration import parse
from policies.errors import InvalidPolicyError

SCORES = np.array([[0.1, 0.5, 0.5], [0.9, 0.2, 0.1], [0.0, 0.0, 7.0]])
ELIGIBLE = np.array([[True, True, True], [False, True, True], [True, True, False]])


def test_greedy_takes_the_best_eligible() -> None:
    """All mass is on the highest eligible score, and exact ties share it."""
    expected = [[0, 0.5, 0.5], [0, 1, 0], [0.5, 0.5, 0]]
    assert parse("greedy")(SCORES, ELIGIBLE).tolist() == expected


def test_epsilon_mixes_uniform_into_greedy() -> None:
    """With epsilon the uniform distribution over the eligible set gets that share."""
    result = parse("epsilon:0.3")(SCORES, ELIGIBLE)
    assert np.allclose(result, [[0.1, 0.45, 0.45], [0, 0.85, 0.15], [0.5, 0.5, 0]], atol=1e-15)


def test_softmax_is_exponential_in_the_score() -> None:
    """Odds between two eligible actions are exp(difference / temperature)."""
    result = parse("softmax:0.2")(SCORES, ELIGIBLE)
    assert np.isclose(result[0, 1] / result[0, 0], np.exp(0.4 / 0.2))
    assert result[1].tolist() == pytest.approx([0, 1 / (1 + np.exp(-0.5)), 1 / (1 + np.exp(0.5))])


def test_squarecb_tries_seldom_what_is_surely_worse() -> None:
    """Others get 1 / (m + gamma·gap), by hand, and the best the rest; gamma 0 is uniform."""
    scores = np.array([[0.5, 0.3, 0.1], [0.9, 0.2, 0.4]])
    eligible = np.array([[True, True, True], [False, True, True]])
    found = parse("squarecb:10")(scores, eligible)
    others = [1 / (3 + 2), 1 / (3 + 4)]
    assert found[0].tolist() == pytest.approx([1 - sum(others), *others])
    assert found[1].tolist() == pytest.approx([0, 1 / 4, 3 / 4])
    even = parse("squarecb:0")(scores, eligible)
    assert np.allclose(even, [[1 / 3, 1 / 3, 1 / 3], [0, 0.5, 0.5]])


@settings(max_examples=60, deadline=None)
@given(
    scores=arrays(float, (4, 3), elements=st.floats(-1e6, 1e6)),
    eligible=arrays(bool, (4, 3)).map(lambda mask: mask | np.eye(3, dtype=bool)[[0, 1, 2, 0]]),
    text=st.sampled_from(["greedy", "epsilon:0.2", "softmax:0.01", "softmax:1000", "squarecb:30"]),
)
def test_is_a_distribution(scores: np.ndarray, eligible: np.ndarray, text: str) -> None:
    """Every exploration gives rows that sum to 1 and nothing off the eligible set."""
    result = parse(text)(scores, eligible)
    assert np.allclose(result.sum(axis=1), 1, atol=1e-12)
    assert (result[~eligible] == 0).all()
    assert (result >= 0).all()


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("greddy", "did you mean 'greedy'"),
        ("greedy:1", "did you mean"),
        ("epsilon", "epsilon:NUMBER"),
        ("epsilon:1.5", "between 0 and 1"),
        ("softmax:0", "above 0"),
        ("softmax:nan", "above 0"),
        ("squarecb:-1", "0 or more"),
    ],
)
def test_refuses_what_it_does_not_know(text: str, hint: str) -> None:
    """An unknown name or a number out of range is refused with a hint."""
    with pytest.raises(InvalidPolicyError, match=hint):
        parse(text)
