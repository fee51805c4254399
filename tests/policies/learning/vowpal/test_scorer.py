"""The compiled scorer says what Vowpal Wabbit says, and the same in every batch."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.encoder import Encoded, Encoder
from policies.errors import LearningError
from policies.learning.vowpal.policy import VowpalPolicy
from policies.learning.vowpal.scorer import LinearScorer
from policies.learning.vowpal.settings import CB_TYPES
from policies.log import LoggedDecisions

Floats = npt.NDArray[np.float64]


def frame(random: np.random.Generator, n: int, levels: list[str]) -> pd.DataFrame:
    """Numbers of wild scales, a boolean and a category, with gaps."""
    out = pd.DataFrame({"x": random.normal(size=n), "money": np.exp(random.normal(5, 3, n))})
    out.loc[random.random(n) < 0.2, "money"] = np.nan
    out["flag"] = random.random(n) < 0.3
    out["level"] = random.choice(np.array([*levels, None], dtype=object), n)
    return out


@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    k=st.sampled_from([2, 3, 7, 50]),
    cb_type=st.sampled_from(CB_TYPES),
    passes=st.sampled_from([1, 2]),
    bins=st.sampled_from([0, 4]),
)
def test_compiled_scores_are_vowpal_wabbits(
    seed: int, k: int, cb_type: str, passes: int, bins: int
) -> None:
    """On frames with numbers, categories, missing and unseen values: equal to 1e-6 of the scale."""
    random = np.random.default_rng(seed)
    n, ids = 300, [f"action {i}" for i in range(k)]
    eligible = random.random((n, k)) < 0.8
    action = random.integers(k, size=n)
    eligible[np.arange(n), action] = True
    reward = random.normal(2, 5, n)
    log = LoggedDecisions(
        ids, action, random.uniform(0.05, 1, n), reward, eligible, frame(random, n, ["a", "b|c"])
    )
    described = {ids[0]: {"channel": "e mail"}, ids[-1]: {"channel": "e mail", "cost": 0.3}}
    policy = VowpalPolicy(
        ids,
        cb_type=cb_type,
        passes=passes,
        bins=bins,
        standardise=seed % 2 == 0,
        action_features=described,
        learning_rate=0.1,
    ).fit(log)
    today = frame(random, 20, ["a", "b|c", "unseen"])
    own = policy.vowpal_scores(today)
    assert own.shape == (20, k)
    known = np.isin(ids, [*described, *np.array(ids)[np.unique(action[log.choice])]])
    low, high = reward[log.choice].min(), reward[log.choice].max()
    expected, scores = policy.expected_reward(today), policy._scores(today)
    assert (expected is None) == (cb_type == "sm")  # which has preferences only
    if expected is not None:
        off = np.abs(expected - np.clip(own, low, high))[:, known]
        assert off.max() <= 1e-6 * np.abs(own).max()
    assert np.abs(scores - own)[:, known].max() <= 1e-6 * np.abs(own).max()
    assert (scores[:, ~known] < scores[:, known].min(axis=1, keepdims=True)).all()


def encoded(matrix: Floats) -> Encoded:
    """Rows of plain numbers, as an encoder gives them."""
    return Encoded(len(matrix), tuple(enumerate(matrix.T)), ())


def reads(text: str, size: int) -> Floats:
    """The (1, size) row that a text of features says."""
    row = np.zeros((1, size))
    for part in text.split():
        name, _, value = part.partition(":")
        row[0, int(name[1:])] = float(value or 1)
    return row


def test_a_model_that_is_not_linear_is_refused() -> None:
    """Weights that do not repeat the model's own scores are an error, not an approximation."""

    def quadratic(features: list[str]) -> Floats:
        rows = np.vstack([reads(each, 2) for each in features])
        return np.column_stack([rows[:, 0] ** 2, rows[:, 1]])

    with pytest.raises(LearningError, match="not linear in its features"):
        LinearScorer.read(quadratic, 2, encoded(np.array([[2.0, 1.0]])))


def test_a_model_that_gives_no_numbers_is_refused() -> None:
    """A model that diverged to NaN is an error."""
    with pytest.raises(LearningError, match="no finite scores"):
        LinearScorer.read(lambda rows: np.full((len(rows), 2), np.nan), 3, encoded(np.ones((1, 3))))


def test_reading_a_linear_model_is_exact() -> None:
    """Zeros and unit vectors give back the weights and biases of a linear model."""
    weights, bias = np.array([[1.0, -2.0], [0.5, 4.0]]), np.array([3.0, -1.0])

    def linear(features: list[str]) -> Floats:
        return np.vstack([reads(each, 2) for each in features]) @ weights.T + bias

    found = LinearScorer.read(linear, 2, encoded(np.array([[2.0, 4.5]])))
    np.testing.assert_array_equal(found.weights, weights)
    np.testing.assert_array_equal(found.bias, bias)


def test_scores_are_the_product_with_the_dense_matrix() -> None:
    """Numbers and 0/1 columns alike: scores are matrix times weights plus bias."""
    random = np.random.default_rng(1)
    shown = frame(random, 500, ["a", "b", "c"])
    encoder = Encoder.fit(shown, bins=6)
    scorer = LinearScorer(random.normal(size=(4, encoder.size)), random.normal(size=4))
    expected = encoder.matrix(shown) @ scorer.weights.T + scorer.bias
    np.testing.assert_allclose(scorer.scores(encoder.encode(shown)), expected, atol=1e-12)


def test_scores_do_not_depend_on_the_batch() -> None:
    """A row's scores are the same to the bit alone, in any batch and in any order."""
    random = np.random.default_rng(0)
    shown = frame(random, 97, ["a", "b", "c"])
    encoder = Encoder.fit(shown, bins=6)
    scorer = LinearScorer(random.normal(size=(5, encoder.size)), random.normal(size=5))
    whole = scorer.scores(encoder.encode(shown))
    alone = [scorer.scores(encoder.encode(shown.iloc[i : i + 1])) for i in range(len(shown))]
    assert np.array_equal(np.vstack(alone), whole)
    order = random.permutation(len(shown))
    assert np.array_equal(scorer.scores(encoder.encode(shown.iloc[order])), whole[order])
