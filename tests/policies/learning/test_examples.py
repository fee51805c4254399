"""Contexts become numbers, and numbers become Vowpal Wabbit text, by columns."""

from __future__ import annotations

import json
import re
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from policies.errors import LearningError
from policies.learning.examples import (
    MAX_LEVELS,
    MIN_COUNT,
    SATURATION,
    Encoder,
    adf_lines,
    regression_lines,
)

N = 60


def contexts() -> pd.DataFrame:
    """Columns of every kind, in order: numbers, booleans and categories, some with gaps."""
    random = np.random.default_rng(0)
    frame = pd.DataFrame({"income": random.normal(40, 9, N), "visits": np.arange(N)})
    frame["rate"] = frame["income"].where(frame["visits"] % 3 > 0)
    frame["active"] = frame["visits"] % 2 == 0
    frame["consent"] = pd.array([True, None, False] * (N // 3), dtype="boolean")
    frame["segment"] = ["new", "old", None] * (N // 3)
    frame["tier"] = pd.Categorical([1, 2] * (N // 2))
    return frame


def test_kinds_give_their_columns_in_order() -> None:
    """A number gives one column, a boolean one, a category one a level, and a gap one more."""
    encoder = Encoder.fit(contexts())
    found = [(each.name, each.kind, each.n_numbers, each.n_indicators) for each in encoder.columns]
    assert found == [
        ("income", "number", 1, 0),
        ("visits", "number", 1, 0),
        ("rate", "number", 1, 1),
        ("active", "boolean", 0, 1),
        ("consent", "boolean", 0, 2),
        ("segment", "category", 0, 3),
        ("tier", "category", 0, 2),
    ]
    assert encoder.encode(contexts()).shape == (N, encoder.size) == (N, 12)


def test_numbers_are_standardised_by_training() -> None:
    """A number is measured in training's standard deviations from training's mean."""
    frame = pd.DataFrame({"x": [1.0, 3.0, 5.0, 7.0]})
    out = Encoder.fit(frame).encode(pd.DataFrame({"x": [4.0, 4.0 + np.sqrt(5.0)]}))
    np.testing.assert_allclose(out[:, 0], [0.0, 1.0])


def test_wild_numbers_saturate() -> None:
    """A number far outside what training saw moves no score further than 5 standard deviations."""
    encoder = Encoder.fit(pd.DataFrame({"x": np.arange(100.0)}))
    out = encoder.encode(pd.DataFrame({"x": [1e12, -1e12]}))
    assert out[:, 0].tolist() == [SATURATION, -SATURATION]


def test_missing_and_infinite_numbers_are_the_mean_and_say_so() -> None:
    """What is no finite number becomes 0, with the missing column set where training had gaps."""
    encoder = Encoder.fit(pd.DataFrame({"x": [1.0, 3.0, np.nan]}))
    out = encoder.encode(pd.DataFrame({"x": [np.nan, np.inf, 3.0]}))
    assert out.tolist() == [[0.0, 1.0], [0.0, 1.0], [1.0, 0.0]]


def test_constant_numbers_do_not_blow_up() -> None:
    """A column that training saw with one value only keeps its unit, rounding notwithstanding."""
    encoder = Encoder.fit(pd.DataFrame({"x": [0.1] * 1000}))
    assert encoder.encode(pd.DataFrame({"x": [1.1]}))[0, 0] == pytest.approx(1.0)


def test_unseen_levels_are_zeros_and_none_has_its_own() -> None:
    """A level never seen gives zeros; a missing one sets the missing column."""
    encoder = Encoder.fit(contexts(), ["segment"])
    out = encoder.encode(pd.DataFrame({"segment": ["old", "unheard", None, np.nan]}))
    assert out.tolist() == [[0, 1, 0], [0, 0, 0], [0, 0, 1], [0, 0, 1]]


def test_rare_levels_are_dropped_and_levels_are_capped() -> None:
    """Levels below the least count teach nothing, and an identifier does not explode the model."""
    frame = pd.DataFrame({"x": ["a"] * MIN_COUNT + ["b"] * (MIN_COUNT - 1)})
    assert Encoder.fit(frame).columns[0].levels == ("a",)
    many = pd.DataFrame({"x": [f"v{i}" for i in range(MAX_LEVELS + 5)] * MIN_COUNT})
    assert Encoder.fit(many).size == MAX_LEVELS


def test_a_batch_of_unknowns_keeps_the_encoding() -> None:
    """A batch in which every value of a column is missing is still a batch of that column."""
    frame = contexts()
    encoder = Encoder.fit(frame)
    nothing = pd.DataFrame({name: [None] for name in frame}, dtype=object)
    expected = [0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0]
    assert encoder.encode(nothing)[0].tolist() == expected
    assert encoder.encode(frame.iloc[:0]).shape == (0, encoder.size)


@pytest.mark.parametrize(
    "values",
    [
        pd.array([1, 2, None], dtype="Int64"),
        pd.Series([Decimal("1"), Decimal("2"), None], dtype=object),
        pd.Series([1, 2.0, None], dtype=object),
        pd.array([1.0, 2.0, None], dtype="float64[pyarrow]"),
    ],
)
def test_numbers_of_any_type_are_encoded_alike(values: object) -> None:
    """Nullable, Arrow, decimal and object numbers give the columns that floats give."""
    plain = pd.DataFrame({"x": [1.0, 2.0, np.nan]})
    found = Encoder.fit(pd.DataFrame({"x": values})).encode(pd.DataFrame({"x": values}))
    np.testing.assert_array_equal(found, Encoder.fit(plain).encode(plain))


def test_a_row_is_encoded_alike_in_every_batch() -> None:
    """Batches and row order change nothing of a row's numbers."""
    frame, encoder = contexts(), Encoder.fit(contexts())
    whole = encoder.encode(frame)
    order = np.random.default_rng(1).permutation(N)
    np.testing.assert_array_equal(encoder.encode(frame.iloc[order]), whole[order])
    parts = [encoder.encode(frame.iloc[i : i + 7]) for i in range(0, N, 7)]
    np.testing.assert_array_equal(np.vstack(parts), whole)


def test_json_round_trip() -> None:
    """An encoder that went through JSON is equal to itself and encodes alike."""
    encoder = Encoder.fit(contexts())
    again = Encoder.from_dict(json.loads(json.dumps(encoder.to_dict())))
    assert again == encoder
    np.testing.assert_array_equal(again.encode(contexts()), encoder.encode(contexts()))


def test_an_absent_column_is_named_with_the_closest() -> None:
    """Scoring without a column of training is an error that names it and the closest there is."""
    encoder = Encoder.fit(contexts())
    with pytest.raises(LearningError, match=r"no column 'income'[\s\S]*did you mean 'incomes'"):
        encoder.encode(contexts().rename(columns={"income": "incomes"}))


@pytest.mark.parametrize(("column", "now"), [("income", "12"), ("segment", 3), ("active", 1)])
def test_a_column_that_changed_its_type_is_refused(column: str, now: object) -> None:
    """A number that is a string today, or the reverse, is an error and never a silent zero."""
    encoder = Encoder.fit(contexts())
    with pytest.raises(LearningError, match=f"column '{column}' was a .* and is a .* now"):
        encoder.encode(contexts().assign(**{column: now}))


@pytest.mark.parametrize(
    "values", [pd.date_range("2026-01-01", periods=2), ["a", 1], [[1], [2]], [1j, 2j]]
)
def test_what_cannot_be_learned_from_is_refused(values: object) -> None:
    """Dates, mixtures, lists and complex numbers are errors that name the column."""
    with pytest.raises(LearningError, match="column 'x' holds"):
        Encoder.fit(pd.DataFrame({"x": values}))


def test_a_name_given_twice_is_refused() -> None:
    """Two columns of one name, in the frame or in the list, are an error that names it."""
    with pytest.raises(LearningError, match="column 'x' is there twice"):
        Encoder.fit(pd.DataFrame([[1.0, 2.0]], columns=["x", "x"]))
    with pytest.raises(LearningError, match="column 'x' is there twice"):
        Encoder.fit(pd.DataFrame({"x": [1.0]}), ["x", "x"])


def test_text_says_what_the_matrix_says() -> None:
    """The features read back from the text are the matrix, zeros left out or written."""
    encoder = Encoder.fit(contexts())
    matrix = encoder.encode(contexts())
    action = np.zeros(N, dtype=np.int64)
    text = bytes(regression_lines(encoder.text(matrix), action, np.ones(N), np.ones(N), 1))
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
        features = encoder.text(encoder.encode(frame))
        texts.append(bytes(regression_lines(features, ones.astype(np.int64), ones, ones, 2)))
    assert texts[0] == texts[1]


def test_regression_lines_are_cost_weight_features_action() -> None:
    """One decision is one line: cost, weight, the shared and the action namespace."""
    encoder = Encoder.fit(pd.DataFrame({"x": [1.0, 3.0], "b": [True, False]}))
    features = encoder.text(encoder.encode(pd.DataFrame({"x": [1.0, 3.0], "b": [True, False]})))
    lines = regression_lines(
        features, np.array([1, 0]), np.array([-1.0, 0.5]), np.array([2.0, 1e-7]), 2
    )
    assert bytes(lines) == b"-1 2 |s f0:-1 f1 |a a1\n0.5 1e-7 |s f0:1 |a a0\n"


def test_adf_lines_label_the_action_and_leave_out_what_is_not_eligible() -> None:
    """One decision is a shared line, a line an eligible action in order, and a blank line."""
    frame = pd.DataFrame({"b": [True, False]})
    encoder = Encoder.fit(frame)
    lines = adf_lines(
        encoder.text(encoder.encode(frame)),
        np.array([1, 2]),
        np.array([-1.0, 0.0]),
        np.array([0.5, 0.25]),
        np.array([[True, True, True], [True, False, True]]),
    )
    assert bytes(lines).decode() == (
        "shared |s f0\n|a a0\n0:-1:0.5 |a a1\n|a a2\n\n" "shared |s\n|a a0\n0:0:0.25 |a a2\n\n"
    )
