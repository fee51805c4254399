"""Predicates: SQL's three-valued logic on arrays (tests/engine compares them with Spark's own)."""

from __future__ import annotations

import pickle
import sys
import time
from datetime import date
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.errors import PredicateError
from policies.predicates import DEEPEST, LONGEST, Predicate

ROWS: list[dict[str, Any]] = [
    {"i": 1, "x": 0.5, "n": 2, "s": "NL", "t": "a b", "f": True, "g": None, "d": date(2026, 1, 1)},
    {"i": -3, "x": None, "n": None, "s": None, "t": "BE", "f": None, "g": True, "d": None},
    {"i": 0, "x": 2.0, "n": 0, "s": "", "t": None, "f": False, "g": False, "d": date(2026, 3, 1)},
    {"i": 2, "x": -1.0, "n": 2, "s": "it's", "t": "NL", "f": True, "g": True, "d": None},
]
KINDS = {"number": "ixn", "string": "st", "boolean": "fg", "date": "de"}


def frame() -> pd.DataFrame:
    """The rows in eight columns of eight different dtypes."""
    rows = pd.DataFrame(ROWS)
    return pd.DataFrame(
        {
            "i": rows["i"].astype("int32"),
            "x": rows["x"].astype("float64"),
            "n": rows["n"].astype("Int64"),
            "s": rows["s"].astype(object),
            "t": rows["t"].astype("string"),
            "f": rows["f"].astype(object),
            "g": rows["g"].astype("boolean"),
            "d": pd.to_datetime(rows["d"]),
            "e": rows["d"].astype(object),
        }
    )


FRAME = frame()
LITERALS = {
    "number": st.sampled_from(
        [(-1, "-1"), (0, "0"), (1, "1"), (2, "2"), (0.5, "0.5"), (2e0, "2e0")]
    ),
    "string": st.sampled_from([("NL", "'NL'"), ("", "''"), ("it's", r"'it\'s'"), ("a b", '"a b"')]),
    "boolean": st.sampled_from([(True, "TRUE"), (False, "false")]),
    "date": st.sampled_from([(date(2026, 1, 1), "DATE '2026-01-01'")]),
}


def compare(how: str, a: Any, b: Any) -> bool | None:
    """One comparison of two values, None being null."""
    if a is None or b is None:
        return None
    answers = {"=": a == b, "<>": a != b, "<": a < b, "<=": a <= b, ">": a > b, ">=": a >= b}
    return answers[how]


def either(values: list[bool | None]) -> bool | None:
    """OR in three-valued logic."""
    return True if True in values else (None if None in values else False)


def negate(value: bool | None) -> bool | None:
    """NOT in three-valued logic."""
    return None if value is None else not value


def operands(kind: str) -> st.SearchStrategy[tuple[str, Any]]:
    """(text, row -> value) of a kind: a column, a literal, NULL, or arithmetic."""
    columns = st.sampled_from(KINDS[kind]).map(
        lambda name: (name, lambda row: row["d" if name == "e" else name])
    )
    literals = LITERALS[kind].map(lambda pair: (pair[1], lambda row: pair[0]))
    simple = st.one_of(columns, columns, literals, st.just(("NULL", lambda row: None)))
    return st.recursive(simple, arithmetic, max_leaves=4) if kind == "number" else simple


def arithmetic(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[str, Any]]:
    """Sums, differences, products, negations and quotients by a literal."""

    def build(how: str, a: Any, b: Any, by: float) -> tuple[str, Any]:
        def value(row: dict[str, Any]) -> Any:
            left, right = a[1](row), by if how == "/" else b[1](row)
            if left is None or right is None:
                return None
            done = {"+": left + right, "-": left - right, "*": left * right}
            return left / right if how == "/" else done[how]

        return f"({a[0]} {how} {by if how == '/' else b[0]})", value

    def minus(a: Any) -> tuple[str, Any]:
        return f"(- {a[0]})", lambda row: None if a[1](row) is None else -a[1](row)

    divisors = st.sampled_from([2, -4, 0.5])
    pairs = st.builds(build, st.sampled_from("+-*/"), inner, inner, divisors)
    return st.one_of(pairs, inner.map(minus))


@st.composite
def leaves(draw: Any) -> tuple[str, Any]:
    """A comparison, IN, BETWEEN, IS NULL, or a boolean column."""
    kind = draw(st.sampled_from(sorted(KINDS)))
    (a, left), (b, right), (c, third) = (draw(operands(kind)) for _ in range(3))
    how = draw(st.sampled_from(["=", "<>", "<", "<=", ">", ">=", "in", "between", "null", "bare"]))
    opposite = draw(st.booleans())
    word = "NOT " if opposite else ""
    if how == "bare":
        name = draw(st.sampled_from("fg"))
        return name, lambda row: row[name]
    if how == "null":
        return f"{a} IS {word}NULL", lambda row: (left(row) is None) != opposite
    if how == "in":

        def answer(row: dict[str, Any]) -> bool | None:
            return either([compare("=", left(row), each(row)) for each in (right, third)])

        text = f"{a} {word}IN ({b}, {c})"
    elif how == "between":

        def answer(row: dict[str, Any]) -> bool | None:
            ends = [compare("<", left(row), right(row)), compare(">", left(row), third(row))]
            return negate(either(ends))

        text = f"{a} {word}BETWEEN {b} AND {c}"
    else:
        return f"{a} {how} {b}", lambda row: compare(how, left(row), right(row))
    return text, (lambda row: negate(answer(row))) if opposite else answer


def joined(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[str, Any]]:
    """AND, OR and NOT of conditions."""

    def build(how: str, a: Any, b: Any) -> tuple[str, Any]:
        if how == "NOT":
            return f"NOT ({a[0]})", lambda row: negate(a[1](row))
        if how == "OR":
            return f"({a[0]} OR {b[0]})", lambda row: either([a[1](row), b[1](row)])
        return (
            f"(({a[0]}) AND {b[0]})",
            lambda row: negate(either([negate(a[1](row)), negate(b[1](row))])),
        )

    return st.builds(build, st.sampled_from(["AND", "OR", "NOT"]), inner, inner)


@settings(max_examples=200, deadline=None)
@given(st.recursive(leaves(), joined, max_leaves=5))
def test_equals_a_slow_reading_of_sql(case: tuple[str, Any]) -> None:
    """Any predicate of the grammar holds where a row-by-row reading in three-valued logic says."""
    text, truth = case
    expected = [truth(row) is True for row in ROWS]
    assert Predicate.parse(text).holds(FRAME).tolist() == expected, text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("NOT i = 1 AND i < 2 OR i = 2", [False, True, True, True]),
        ("i + 2 * 3 - 1 = 6", [True, False, False, False]),
        ("i / 2 = 0.5", [True, False, False, False]),
        ("s NOT IN ('NL', NULL)", [False] * 4),
        ("x = x", [True, False, True, True]),
        ("d > '2026-01-31'", [False, False, True, False]),
        ("'2026-01-01' = e", [True, False, False, False]),
        ("i = 1 IS NULL", [False] * 4),
        ("(i = 1) = f", [True, False, True, False]),
        ("i == 1 OR i != i", [True, False, False, False]),
        ("TRUE", [True] * 4),
        ("NULL", [False] * 4),
    ],
)
def test_reads_precedence_nulls_and_dates_like_sql(text: str, expected: list[bool]) -> None:
    """Hand-worked cases: precedence, a null in a list, NaN as null, a date beside a string."""
    assert Predicate.parse(text).holds(FRAME).tolist() == expected


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "one expression"),
        ("i > 1; s = 'x'", "';'"),
        ("i >", "not a predicate"),
        ("i + 1", "not a condition"),
        ("'x'", "not a condition"),
        ("lower(s) = 'nl'", "LOWER(s)"),
        ("s LIKE t", "after LIKE"),
        ("s LIKE 'N' || '%'", "'||'"),
        ("s LIKE 'a\\\\%'", "backslashes"),
        ("s ILIKE 'n%'", "ILIKE"),
        ("CASE WHEN f THEN g ELSE f END", "'WHEN'"),
        ("i IN (SELECT 1)", "'SELECT'"),
        ("i IN ()", "grammar"),
        ("customers.i = 1", "'.'"),
        ("i % 2 = 0", "%"),
        ("i <=> 1", "<=>"),
        ("i IS TRUE", "IS TRUE"),
        ("f = g IN (TRUE)", "parentheses"),
        ("1 < i < 3", "not a value"),
        ("i / x > 1", "divide"),
        ("i / 0 > 1", "divide"),
        ("i / (1 - 1) > 1", "divide"),
        ("i + '1' = 2", "calculates with a string"),
        ("1 = 'x'", "compares a number with a string"),
        ("d > DATE '2026-02-30'", "2026-02-30"),
        ("CAST(s AS INT) = 1", "'AS'"),
        ("i = :p", "':'"),
    ],
)
def test_refuses_what_is_outside_the_grammar(text: str, part: str) -> None:
    """What is outside the grammar is refused at parsing, with the part named."""
    with pytest.raises(PredicateError) as error:
        Predicate.parse(text)
    assert part in str(error.value)


def test_like_matches_whole_texts() -> None:
    """% is any text, line breaks too, _ one character; other signs stand for themselves; null is null."""
    frame = pd.DataFrame({"s": ["premium", "pre", "p.e", "", "a\nb", None, "pré"]})
    cases = {
        "pre%": [1, 1, 0, 0, 0, 0, 0],
        "pr_": [0, 1, 0, 0, 0, 0, 1],
        "%e%": [1, 1, 1, 0, 0, 0, 0],
        "p.e": [0, 0, 1, 0, 0, 0, 0],
        "": [0, 0, 0, 1, 0, 0, 0],
        "a%b": [0, 0, 0, 0, 1, 0, 0],
        "%": [1, 1, 1, 1, 1, 0, 1],
    }
    for pattern, expected in cases.items():
        found = Predicate.parse(f"s LIKE '{pattern}'").holds(frame)
        assert found.astype(int).tolist() == expected
        other = Predicate.parse(f"s NOT LIKE '{pattern}'").holds(frame)
        assert (found ^ other).tolist() == frame["s"].notna().tolist()
    with pytest.raises(PredicateError, match="compares a number with a string"):
        Predicate.parse("i LIKE '1%'").holds(FRAME)


def test_division_needs_a_literal_that_is_not_zero() -> None:
    """A quotient by a calculated zero would fail in Spark in some rows, so it is refused."""
    with pytest.raises(PredicateError, match="literal other than zero"):
        Predicate.parse("i / (2 - 2) = 1")


@pytest.mark.parametrize("text", ["s > 1", "i = 'x'", "f + 1 = 2", "d = 3", "e = s", "f = 'true'"])
def test_refuses_columns_of_other_types(text: str) -> None:
    """A column is never converted to another type to be compared."""
    with pytest.raises(PredicateError, match="compares a|calculates with a") as error:
        Predicate.parse(text).holds(FRAME)
    assert error.value.where == text


def test_names_the_closest_column() -> None:
    """A missing column is an error that names the closest one."""
    with pytest.raises(PredicateError, match="did you mean 'recency'"):
        Predicate.parse("recencey > 1").holds(pd.DataFrame({"recency": [1]}))


def test_lists_its_columns_and_travels() -> None:
    """A predicate lists the columns it reads and survives pickling."""
    predicate = Predicate.parse("b = 1 AND (a > 2 OR `my col` IS NULL)")
    assert predicate.columns == ("a", "b", "my col")
    assert pickle.loads(pickle.dumps(predicate)) == predicate


def test_keeps_large_integers_apart() -> None:
    """Integers beyond 2^53 compare exactly."""
    ids = pd.DataFrame({"i": [2**53, 2**53 + 1]})
    assert Predicate.parse(f"i = {2**53 + 1}").holds(ids).tolist() == [False, True]


def test_reads_categories_and_time_zones() -> None:
    """Categories read as what they name, and zoned times as UTC."""
    rows = pd.DataFrame(
        {
            "c": pd.Categorical(["x", None, "y"]),
            "z": pd.to_datetime(["2026-01-01 23:30"] * 3).tz_localize("America/New_York"),
        }
    )
    assert Predicate.parse("c >= 'x'").holds(rows).tolist() == [True, False, True]
    assert Predicate.parse("z > DATE '2026-01-02'").holds(rows).all()


def test_works_without_rows_and_refuses_odd_columns() -> None:
    """No rows give no answers, and a column of lists is refused."""
    assert Predicate.parse("i > 1").holds(FRAME[:0]).shape == (0,)
    with pytest.raises(PredicateError, match="holds mixed values"):
        Predicate.parse("i IS NULL OR i = 1").holds(pd.DataFrame({"i": [[1], [2]]}))


def test_leaves_the_frame_as_it_was() -> None:
    """Evaluating a predicate fills no null in the caller's frame."""
    rows = frame()
    Predicate.parse("x > 0 AND s = 'NL' AND n = 1 AND d > e AND g AND t < 'x' AND f").holds(rows)
    pd.testing.assert_frame_equal(rows, frame())
    assert np.isnan(rows["x"].iloc[1])


DEEPER, LONGER = f"deeper than the limit of {DEEPEST}", f"the limit is {LONGEST:,}"
HOSTILE = {
    "300 parentheses": ("(" * 300 + "f" + ")" * 300, DEEPER),
    "300 open parentheses": ("(" * 300, DEEPER),
    "26 parentheses": ("(" * 26 + "f" + ")" * 26, DEEPER),
    "400 NOTs": ("NOT " * 400 + "f", DEEPER),
    "2,000 NOTs": ("NOT " * 2_000 + "f", LONGER),
    "NOTs and parentheses": ("NOT (" * 100 + "f" + ")" * 100, DEEPER),
    "minus signs": ("- " * 500 + "i > 1", DEEPER),
    "plus signs": ("+ " * 500 + "i > 1", DEEPER),
    "sum of 300": (" + ".join("i" * 300) + " > 1", DEEPER),
    "equals 300 times": (" = ".join("i" * 300), DEEPER),
    "nested CASE": ("CASE WHEN " * 80 + "f" + " THEN g END" * 80, "WHEN"),
    "nested functions": ("abs(" * 100 + "i" + ")" * 100 + " > 1", DEEPER),
    "nested types": ("( TINYTEXT " * 40 + ")" * 40, DEEPER),
    "nested sets": ("( UNION " * 100, "'UNION'"),
    "nested selects": ("i IN (SELECT " * 60, "'SELECT'"),
    "nested brackets": ("[" * 500, "'['"),
    "nested types in CAST": ("CAST(i AS " + "ARRAY<" * 200, "'AS'"),
    "IN after IN": ("i" + " IN (1)" * 200, DEEPER),
    "IS NULL after IS NULL": ("i" + " IS NULL" * 200, DEEPER),
    "BETWEEN after BETWEEN": ("i" + " BETWEEN 1 AND 2" * 110, "BETWEEN"),
    "long list": ("i IN (" + "1, " * 700 + "1)", LONGER),
    "long text": ("s = '" + "x" * 1_000_000 + "'", LONGER),
    "dots": ("a" + ".a" * 500, "'.'"),
    "infinite number": ("i > 1e999", "'1e999' is not a finite number"),
    "number of 400 digits": ("i > " + "9" * 400, "is not a finite number"),
    "date that is none": ("d > DATE '2026-02-30'", "2026-02-30"),
    "date of year 0": ("d > DATE '0000-01-01'", "0000-01-01"),
    "unfinished text": ("s = 'x", "not a predicate"),
    "unfinished name": ("`s = 1", "not a predicate"),
    "unfinished comment": ("f /* and", "not a predicate"),
    "statements": ("f; DROP TABLE customers", "';'"),
    "template": ("{{ f }}", "{"),
    "parameter": ("i = ${x}", "$"),
    "only a comment": ("-- f", "one expression"),
    "closing first": (")" * 200, "not a predicate"),
    "commas": ("," * 2_000, "not a predicate"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_texts_are_refused_at_once(name: str) -> None:
    """A text that a parser of all SQL takes for ever, or fails in, is refused within a second."""
    text, what = HOSTILE[name]
    began = time.process_time()
    with pytest.raises(PredicateError) as error:
        Predicate(text)
    assert time.process_time() - began < 1
    assert type(error.value) is PredicateError
    assert what in error.value.what
    assert len(str(error.value.where)) <= 200


def test_long_lists_and_chains_are_read() -> None:
    """AND, OR and IN may be as long as the text: only what lies inside each other is limited."""
    ors, ands = " OR ".join(["i = 1"] * 220), " AND ".join(["i < 2"] * 200)
    assert Predicate(ors).holds(FRAME).tolist() == [True, False, False, False]
    assert Predicate(ands).holds(FRAME).tolist() == [True, True, True, False]
    assert Predicate("i IN (" + "1, " * 600 + "2)").holds(FRAME).tolist() == [
        True,
        False,
        False,
        True,
    ]
    nested = "(" * DEEPEST + "g" + ")" * DEEPEST
    assert Predicate(nested).holds(FRAME).tolist() == [False, True, False, True]


def test_a_caller_with_a_nearly_full_stack_gets_the_same_error() -> None:
    """Where Python's stack ends before the limit does, the error is the limit's."""

    def deeper(levels: int) -> None:
        if levels:
            deeper(levels - 1)
        else:
            Predicate("(" * (DEEPEST - 1) + "f" + ")" * (DEEPEST - 1))

    used, frame_ = 0, sys._getframe()
    while frame_.f_back is not None:
        used, frame_ = used + 1, frame_.f_back
    with pytest.raises(PredicateError, match="deeper than the limit"):
        deeper(sys.getrecursionlimit() - used - 200)


@pytest.mark.parametrize(
    "name", ["date", "year", "format", "percent", "row", "time", "value", "plan"]
)
def test_words_of_sql_may_name_columns(name: str) -> None:
    """A column may have the name of a type or a keyword that the grammar does not use."""
    rows = pd.DataFrame({name: [1, 3]})
    assert Predicate(f"{name} > 2 AND NOT {name} IS NULL").holds(rows).tolist() == [False, True]
