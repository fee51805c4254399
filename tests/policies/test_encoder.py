"""Contexts become numbers by columns, the same way in training and in scoring."""

from __future__ import annotations

import json
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from policies.encoder import MAX_LEVELS, MIN_COUNT, SATURATION, Encoder
from policies.errors import LearningError

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
    found = [(each.name, each.kind, each.n_indicators) for each in encoder.columns]
    assert found == [
        ("income", "number", 0),
        ("visits", "number", 0),
        ("rate", "number", 1),
        ("active", "boolean", 1),
        ("consent", "boolean", 2),
        ("segment", "category", 3),
        ("tier", "category", 2),
    ]
    assert [Encoder((each,)).size - each.n_indicators for each in encoder.columns] == [1] * 3 + [
        0
    ] * 4
    assert encoder.matrix(contexts()).shape == (N, encoder.size) == (N, 12)


def test_numbers_are_standardised_by_training() -> None:
    """A number is measured in training's standard deviations from training's mean."""
    frame = pd.DataFrame({"x": [1.0, 3.0, 5.0, 7.0]})
    out = Encoder.fit(frame).matrix(pd.DataFrame({"x": [4.0, 4.0 + np.sqrt(5.0)]}))
    np.testing.assert_allclose(out[:, 0], [0.0, 1.0])


def test_numbers_may_keep_their_zero() -> None:
    """Without standardising, a number is in units of its root mean square, and 0 and gaps are 0."""
    frame = pd.DataFrame({"x": [0.0, 3.0, 4.0, 0.0]})
    encoder = Encoder.fit(frame, standardise=False)
    np.testing.assert_allclose(encoder.matrix(frame)[:, 0], [0, 1.2, 1.6, 0])
    assert encoder.matrix(pd.DataFrame({"x": [np.nan, 2.5]})).tolist() == [[0.0], [1.0]]
    zeros = Encoder.fit(pd.DataFrame({"x": [0.0, 0.0]}), standardise=False)
    assert zeros.matrix(pd.DataFrame({"x": [0.5]})).tolist() == [[0.5]]


def test_wild_numbers_saturate() -> None:
    """A number far outside what training saw moves no score further than 5 standard deviations."""
    encoder = Encoder.fit(pd.DataFrame({"x": np.arange(100.0)}))
    out = encoder.matrix(pd.DataFrame({"x": [1e12, -1e12]}))
    assert out[:, 0].tolist() == [SATURATION, -SATURATION]


def test_missing_and_infinite_numbers_are_the_mean_and_say_so() -> None:
    """What is no finite number becomes 0, with the missing column set where training had gaps."""
    encoder = Encoder.fit(pd.DataFrame({"x": [1.0, 3.0, np.nan]}))
    out = encoder.matrix(pd.DataFrame({"x": [np.nan, np.inf, 3.0]}))
    assert out.tolist() == [[0.0, 1.0], [0.0, 1.0], [1.0, 0.0]]


def test_constant_numbers_do_not_blow_up() -> None:
    """A column that training saw with one value only keeps its unit, rounding notwithstanding."""
    encoder = Encoder.fit(pd.DataFrame({"x": [0.1] * 1000}))
    assert encoder.matrix(pd.DataFrame({"x": [1.1]}))[0, 0] == pytest.approx(1.0)


def test_unseen_levels_are_zeros_and_none_has_its_own() -> None:
    """A level never seen gives zeros; a missing one sets the missing column."""
    encoder = Encoder.fit(contexts(), ["segment"])
    out = encoder.matrix(pd.DataFrame({"segment": ["old", "unheard", None, np.nan]}))
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
    assert encoder.matrix(nothing)[0].tolist() == expected
    assert encoder.matrix(frame.iloc[:0]).shape == (0, encoder.size)


@pytest.mark.parametrize(
    "values",
    [
        pd.array([1, 2, None], dtype="Int64"),
        pd.Series([Decimal("1"), Decimal("2"), None], dtype=object),
        pd.Series([1, 2.0, None], dtype=object),
        pd.Series([1, 2.0, pd.NA], dtype=object),
        pd.array([1.0, 2.0, None], dtype="float64[pyarrow]"),
    ],
)
def test_numbers_of_any_type_are_encoded_alike(values: object) -> None:
    """Nullable, Arrow, decimal and object numbers give the columns that floats give."""
    plain = pd.DataFrame({"x": [1.0, 2.0, np.nan]})
    found = Encoder.fit(pd.DataFrame({"x": values})).matrix(pd.DataFrame({"x": values}))
    np.testing.assert_array_equal(found, Encoder.fit(plain).matrix(plain))


def test_a_row_is_encoded_alike_in_every_batch() -> None:
    """Batches and row order change nothing of a row's numbers."""
    frame, encoder = contexts(), Encoder.fit(contexts())
    whole = encoder.matrix(frame)
    order = np.random.default_rng(1).permutation(N)
    np.testing.assert_array_equal(encoder.matrix(frame.iloc[order]), whole[order])
    parts = [encoder.matrix(frame.iloc[i : i + 7]) for i in range(0, N, 7)]
    np.testing.assert_array_equal(np.vstack(parts), whole)


def test_json_round_trip() -> None:
    """An encoder that went through JSON is equal to itself and encodes alike."""
    encoder = Encoder.fit(contexts())
    again = Encoder.from_dict(json.loads(json.dumps(encoder.to_dict())))
    assert again == encoder
    np.testing.assert_array_equal(again.matrix(contexts()), encoder.matrix(contexts()))


@pytest.mark.parametrize("field", ["name", "kind", "missing", "levels", "edges"])
def test_a_damaged_encoder_is_not_read(field: str) -> None:
    """A saved column that lacks a field is an error, not a column with another meaning."""
    saved = Encoder.fit(contexts()).to_dict()
    del saved["columns"][0][field]
    with pytest.raises((KeyError, TypeError), match=field):
        Encoder.from_dict(saved)


def test_an_absent_column_is_named_with_the_closest() -> None:
    """Scoring without a column of training is an error that names it and the closest there is."""
    encoder = Encoder.fit(contexts())
    with pytest.raises(LearningError, match=r"no column 'income'[\s\S]*did you mean 'incomes'"):
        encoder.matrix(contexts().rename(columns={"income": "incomes"}))


@pytest.mark.parametrize(("column", "now"), [("income", "12"), ("segment", 3), ("active", 1)])
def test_a_column_that_changed_its_type_is_refused(column: str, now: object) -> None:
    """A number that is a string today, or the reverse, is an error and never a silent zero."""
    encoder = Encoder.fit(contexts())
    with pytest.raises(LearningError, match=f"column '{column}' was a .* and is a .* now"):
        encoder.matrix(contexts().assign(**{column: now}))


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


def test_bins_are_equally_filled_and_follow_the_number() -> None:
    """With 4 bins a number has its standardised column, then the 0/1 column of its quarter."""
    frame = pd.DataFrame({"x": np.arange(100.0)})
    encoder = Encoder.fit(frame, bins=4)
    matrix = encoder.matrix(frame)
    assert encoder.size == 5
    np.testing.assert_array_equal(matrix[:, :1], Encoder.fit(frame).matrix(frame))
    assert matrix[:, 1:].sum(axis=0).tolist() == [25, 25, 25, 25]
    np.testing.assert_array_equal(matrix[:, 1:].argmax(axis=1), np.arange(100) // 25)


def test_bins_of_few_values_are_those_values() -> None:
    """A number of two values has two bins, however many were asked for, and a gap its own column."""
    frame = pd.DataFrame({"x": [0.0, 0.0, 0.0, 9.0, np.nan]})
    encoder = Encoder.fit(frame, bins=8)
    assert encoder.matrix(frame)[:, 1:].tolist() == [[1, 0, 0]] * 3 + [[0, 1, 0], [0, 0, 1]]
    constant = Encoder.fit(pd.DataFrame({"x": [3.0] * 20}), bins=8)
    assert constant.size == 1


def test_a_sentinel_does_not_erase_bins() -> None:
    """Values far out, such as 1e9 for "unknown", leave the bins of all others as they are."""
    x = np.append(np.arange(99.0), 1e9)
    matrix = Encoder.fit(pd.DataFrame({"x": x}), bins=4).matrix(pd.DataFrame({"x": x}))
    assert matrix[:, 1:].sum(axis=0).tolist() == [25, 25, 25, 25]
    huge = pd.DataFrame({"x": [1e308, -1e308, 1e200, 0.0] * 5})
    for standardise in (True, False):
        found = Encoder.fit(huge, bins=3, standardise=standardise).matrix(huge)
        assert np.isfinite(found).all()
        assert found[0, 0] > found[3, 0] > found[1, 0]


def test_names_are_texts_or_numbers() -> None:
    """Numpy's integers are names that JSON keeps; tuples and dates are refused by name."""
    encoder = Encoder.fit(pd.DataFrame(np.ones((3, 2)), columns=np.array([0, 2])))
    again = Encoder.from_dict(json.loads(json.dumps(encoder.to_dict())))
    assert again == encoder
    for name in (("a", "b"), pd.Timestamp("2026-01-01"), None):
        frame = pd.DataFrame({"x": [1.0, 2.0]})
        frame.columns = pd.Index([name], dtype=object, tupleize_cols=False)
        with pytest.raises(LearningError, match="the column name .* cannot be saved"):
            Encoder.fit(frame)


@pytest.mark.parametrize("values", [[1, 10**400], [1, "x", 2.0]])
def test_what_is_no_number_is_refused(values: list[object]) -> None:
    """Numbers beyond a float's reach and mixtures are errors that name the column."""
    with pytest.raises(LearningError, match="column 'x'"):
        Encoder.fit(pd.DataFrame({"x": pd.Series(values, dtype=object)}))


def test_a_gap_that_training_did_not_know_is_in_no_bin() -> None:
    """A missing number is the mean, and in no bin, where training had no gaps."""
    encoder = Encoder.fit(pd.DataFrame({"x": np.arange(100.0)}), bins=4)
    assert encoder.matrix(pd.DataFrame({"x": [np.nan]})).tolist() == [[0.0] * 5]
