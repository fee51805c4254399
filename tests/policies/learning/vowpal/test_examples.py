"""Encoded contexts become Vowpal Wabbit text by columns."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

from policies.encoder import Encoder
from policies.learning.vowpal.examples import (
    action_texts,
    adf_lines,
    feature_text,
    regression_lines,
    row_texts,
    unit_texts,
)

N = 60


def contexts() -> pd.DataFrame:
    """A number, one with gaps, a boolean and a category."""
    x = np.random.default_rng(0).normal(40, 9, N)
    gaps = np.where(np.arange(N) % 3 > 0, x, np.nan)
    segment = ["new", "old", None] * (N // 3)
    return pd.DataFrame({"x": x, "gaps": gaps, "active": x > 40, "segment": segment})


@pytest.mark.parametrize("bins", [0, 5])
def test_text_says_what_the_matrix_says(bins: int) -> None:
    """The features read back from the text are the matrix, zeros left out or written."""
    encoder = Encoder.fit(contexts(), bins=bins)
    encoded, matrix = encoder.encode(contexts()), encoder.matrix(contexts())
    action, ones = np.zeros(N, dtype=np.int64), np.ones(N)
    text = bytes(regression_lines(feature_text(encoded), ["|a a"], action, ones, ones))
    found = np.zeros_like(matrix)
    for row, line in enumerate(text.decode().splitlines()):
        for index, value in re.findall(r" f(\d+)(?::(\S+))?", line):
            found[row, int(index)] = float(value or 1)
    np.testing.assert_allclose(found, matrix, rtol=1e-6)


def test_names_and_levels_never_reach_the_text() -> None:
    """Columns called `3` or `a b:c|d`, and such levels, give the text that plain ones give."""
    plain = pd.DataFrame({"x": np.arange(20.0), "y": ["u", "v"] * 10})
    odd = plain.rename(columns={"x": "3", "y": "a b:c|d"}).replace({"u": "|s 1:2\n", "v": "|z"})
    texts = []
    for frame in (plain, odd):
        encoder, ones = Encoder.fit(frame), np.ones(20)
        features, action = feature_text(encoder.encode(frame)), ones.astype(np.int64)
        texts.append(bytes(regression_lines(features, ["|a x", "|a y"], action, ones, ones)))
    assert texts[0] == texts[1]


def test_regression_lines_are_cost_weight_features_action() -> None:
    """One decision is one line: cost, weight, the shared and the action namespace."""
    frame = pd.DataFrame({"x": [1.0, 3.0], "b": [True, False]})
    lines = regression_lines(
        feature_text(Encoder.fit(frame).encode(frame)),
        action_texts(["a0", "a1"]),
        np.array([1, 0]),
        np.array([-1.0, 0.5]),
        np.array([2.0, 1e-7]),
    )
    assert bytes(lines) == b"-1 2 |s f0:-1 f1 |a a.a1\n0.5 1e-7 |s f0:1 |a a.a0\n"


def test_adf_lines_label_the_action_and_leave_out_what_is_not_eligible() -> None:
    """One decision is a shared line, a line an eligible action in order, and a blank line."""
    frame = pd.DataFrame({"b": [True, False]})
    lines = adf_lines(
        feature_text(Encoder.fit(frame).encode(frame)),
        action_texts(["a0", "a1", "a2"]),
        np.array([1, 2]),
        np.array([-1.0, 0.0]),
        np.array([0.5, 0.25]),
        np.array([[True, True, True], [True, False, True]]),
    )
    assert bytes(lines).decode() == (
        "shared |s f0\n|a a.a0\n0:-1:0.5 |a a.a1\n|a a.a2\n\n"
        "shared |s\n|a a.a0\n0:0:0.25 |a a.a2\n\n"
    )


def test_rows_and_units_are_texts_of_their_own() -> None:
    """A row's text is what stands in its line; units are the zeros and one text a column."""
    frame = pd.DataFrame({"x": [1.0, 3.0], "b": [True, False]})
    assert row_texts(Encoder.fit(frame).encode(frame)) == [" f0:-1 f1", " f0:1"]
    assert unit_texts(2) == ["", " f0", " f1"]


def test_an_action_is_its_name_and_what_describes_it() -> None:
    """Own names, texts and numbers never meet, and what Vowpal Wabbit reads as syntax is escaped."""
    described = {"a:b|c d": {"group": "offer now", "cost": 0.5}, "7": {"group": "7"}}
    assert action_texts(["a:b|c d", "7", "other"], described) == [
        "|a a.a%3Ab%7Cc%20d c.group.offer%20now n.cost:0.5",
        "|a a.7 c.group.7",
        "|a a.other",
    ]
    assert len(set(action_texts(["a.b", "a%2Eb", "a%2eb"]))) == 3
