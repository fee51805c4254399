"""Predicates over features: a small SQL grammar, evaluated on arrays as Spark's `expr` would."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from functools import lru_cache, reduce
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import sqlglot
from numpy.typing import NDArray
from sqlglot import exp
from sqlglot.dialects.spark import Spark
from sqlglot.tokens import Token, TokenType

from policies.errors import NbaError, PredicateError, located, require_known

LONGEST = 2_000  # characters of a predicate
DEEPEST = 25  # parentheses and operators inside each other; the parser's stack holds about 40
_GRAMMAR = (
    "use columns, numbers, 'strings', DATE '2026-01-31', TRUE, FALSE, = <> < <= > >=, "
    "AND, OR, NOT, IN (…), BETWEEN, LIKE 'text%', IS [NOT] NULL, + - * / and parentheses"
)
_OPERATORS = {TokenType[name] for name in ("NOT", "IN", "BETWEEN", "IS", "EQ", "NEQ", "LT", "LIKE")}
_OPERATORS |= {TokenType[name] for name in ("LTE", "GT", "GTE", "PLUS", "DASH", "STAR", "SLASH")}
_APART = {TokenType.AND, TokenType.OR, TokenType.COMMA}  # none of its operands is inside another
_OPERANDS = {TokenType[name] for name in ("NUMBER", "STRING", "NULL", "TRUE", "FALSE")}
_SYNTAX = {TokenType.L_PAREN, TokenType.R_PAREN, *_OPERATORS, *_APART, *_OPERANDS}
_PAIRS = {(TokenType.DATE, TokenType.STRING), (TokenType.DOT, TokenType.NUMBER)}  # DATE '…', .5
_NAMES = (Spark.Parser.ID_VAR_TOKENS | {TokenType.IDENTIFIER}) - _SYNTAX
_COMPARISONS: dict[type[exp.Expression], Callable[..., Any]] = {
    exp.EQ: np.equal,
    exp.NEQ: np.not_equal,
    exp.LT: np.less,
    exp.LTE: np.less_equal,
    exp.GT: np.greater,
    exp.GTE: np.greater_equal,
}
_ARITHMETIC: dict[type[exp.Expression], Callable[..., Any]] = {
    exp.Add: np.add,
    exp.Sub: np.subtract,
    exp.Mul: np.multiply,
    exp.Div: np.divide,
}
_VALUES = (exp.Paren, exp.Column, exp.Literal, exp.Null, exp.Boolean, exp.Cast, exp.Neg)
_INFERRED = {  # what pandas calls a column's content: our kind, the dtype we compute in
    "integer": ("number", "int64"),
    "floating": ("number", "float64"),
    "mixed-integer-float": ("number", "float64"),
    "decimal": ("number", "float64"),
    "string": ("string", "object"),
    "boolean": ("boolean", "bool"),
    "date": ("date", "datetime64[us]"),
    "datetime": ("date", "datetime64[us]"),
    "datetime64": ("date", "datetime64[us]"),
}
_PLAIN = {"i": ("number", "int64"), "f": ("number", "float64"), "b": ("boolean", "bool")}
_FILLER = {"number": 0, "string": "", "boolean": False, "date": date(1970, 1, 1)}


class Value(NamedTuple):
    """The value of an expression in each row; booleans are False where null."""

    kind: str  # number, string, boolean, date, or null when it is null everywhere
    values: NDArray[Any]
    null: NDArray[np.bool_]


Reader = Callable[[str], Value]
_NOTHING = Value("null", np.asarray(False), np.asarray(True))


@dataclass(frozen=True)
class Predicate:
    """A condition such as ``age >= 18 AND country IN ('NL', 'BE')``, as SQL under ANSI reads it.

    Three-valued logic: what is null does not hold. NaN counts as null. Numbers compute as doubles
    (in Spark write ``1e-1`` rather than ``0.1`` where an integer column is multiplied, as ``0.1``
    is a decimal there). What Spark would answer only by converting types, or by failing in some
    row, is refused: comparing a string with a number, dividing by anything but a literal other
    than zero. Column names are case-sensitive,
    times are in UTC.

    Raises:
        PredicateError: the text is outside the grammar; it names the part.
    """

    text: str

    def __post_init__(self) -> None:
        self._value(lambda _: _NOTHING)

    @classmethod
    @lru_cache(maxsize=4096)
    def parse(cls, text: str) -> Predicate:
        """The predicate that `text` says."""
        return cls(text)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns it reads, sorted."""
        return tuple(sorted({column.name for column in _tree(self.text).find_all(exp.Column)}))

    def holds(self, frame: pd.DataFrame | Columns) -> NDArray[np.bool_]:
        """(n,) bool: the rows in which it is true, neither false nor null.

        Args:
            frame: n rows; `Columns` of them where several predicates read the same ones.

        Raises:
            PredicateError: a column is missing or of a type that cannot be compared so.
        """
        columns = frame if isinstance(frame, Columns) else Columns(frame)
        value = self._value(columns.read)
        return np.array(np.broadcast_to(value.values, len(columns.frame)), dtype=bool)

    def _value(self, read: Reader) -> Value:
        with located(self.text[:200]):
            try:
                return _condition(_tree(self.text), read)
            except RecursionError as error:  # the caller's stack is nearly full
                raise _too_deep() from error


class Columns:
    """A frame whose columns are each read once, however many predicates use them."""

    def __init__(self, frame: pd.DataFrame) -> None:
        self.frame = frame
        self._known: dict[str, Value] = {}

    def read(self, name: str) -> Value:
        """What `read_column` gives for a column of this frame."""
        if name not in self._known:
            self._known[name] = read_column(self.frame, name)
        return self._known[name]


def read_column(frame: pd.DataFrame, name: str) -> Value:
    """A column of any pandas dtype as kind, values and nulls (None, NaN, NaT and NA are null).

    Raises:
        PredicateError: the column is missing, or holds something else than numbers, strings,
            booleans or dates.
    """
    require_known(name, frame.columns, PredicateError, f"there is no column {name!r}")
    series = frame[name]
    if isinstance(series.dtype, np.dtype) and series.dtype.kind in _PLAIN:
        return _plain(series.to_numpy(), *_PLAIN[series.dtype.kind])
    if isinstance(series.dtype, pd.DatetimeTZDtype):
        series = series.dt.tz_convert(None)
    null = series.isna().to_numpy(dtype=bool)
    if null.all():
        return Value("null", np.zeros(len(null), dtype=bool), null)
    plain = isinstance(series.dtype, np.dtype)
    raw = series.to_numpy(copy=True) if plain else series.to_numpy(dtype=object, copy=True)
    inferred = pd.api.types.infer_dtype(raw, skipna=True)
    if inferred not in _INFERRED:
        raise PredicateError(
            f"the column {name!r} holds {inferred} values ({series.dtype})",
            hint="make it numbers, strings, booleans or dates",
        )
    kind, dtype = _INFERRED[inferred]
    if null.any():
        raw[null] = _FILLER[kind]
    return Value(kind, raw.astype(dtype, copy=False), null)


def _plain(raw: NDArray[Any], kind: str, dtype: str) -> Value:
    """A column of numpy's own numbers, where only NaN is null."""
    if raw.dtype.kind != "f":
        return Value(kind, raw.astype(dtype, copy=False), np.zeros(len(raw), dtype=bool))
    null = np.isnan(raw)
    if null.all():
        return Value("null", np.zeros(len(raw), dtype=bool), null)
    return Value(kind, np.where(null, 0.0, raw), null)


@lru_cache(maxsize=4096)
def _tree(text: str) -> exp.Expression:
    if len(text) > LONGEST:
        what = f"a predicate of {len(text):,} characters; the limit is {LONGEST:,}"
        raise PredicateError(what, hint="shorten it, or let a feature hold a part of it")
    try:
        trees = Spark().parser().parse(_tokens(text), text)
    except (NbaError, RecursionError):
        raise
    except Exception as error:  # a parser of all SQL fails in many ways on other text
        what = f"not a predicate: {(str(error) or type(error).__name__).splitlines()[0]}"
        raise PredicateError(what, hint=_GRAMMAR) from error
    if len(trees) != 1 or not isinstance(trees[0], exp.Expression):
        raise PredicateError("a predicate is one expression", hint=_GRAMMAR)
    return trees[0]


def _tokens(text: str) -> list[Token]:
    """The text's tokens, where every word that the grammar does not use names a column.

    The parser knows all of SQL: some keywords and types cost it exponential time, and every level
    costs it 20 frames. So it gets nothing but the grammar's own tokens, and not too many levels.
    """
    tokens: list[Token] = sqlglot.tokenize(text, read="spark")
    depth, operators = 0, 0
    for token, following in zip(tokens, [*tokens[1:], None]):
        kind = token.token_type
        led = following and (kind, following.token_type) in _PAIRS
        if kind in _NAMES and not led:
            token.token_type = TokenType.IDENTIFIER
        elif kind not in _SYNTAX and not led:
            what = f"{token.text!r} is outside the grammar of predicates"
            raise PredicateError(what, hint=_GRAMMAR)
        depth += (kind is TokenType.L_PAREN) - (kind is TokenType.R_PAREN)
        operators = 0 if kind in _APART else operators + (kind in _OPERATORS)
        if depth + operators > DEEPEST:
            raise _too_deep()
    return tokens


def _too_deep() -> PredicateError:
    what = f"parentheses and operators are nested deeper than the limit of {DEEPEST}"
    return PredicateError(what, hint="use IN (…), AND and OR, or let a feature hold a part of it")


def _evaluate(node: exp.Expression, read: Reader) -> Value:
    kind = type(node)
    if kind is exp.Paren:
        return _evaluate(node.this, read)
    if kind is exp.Not:
        value = _condition(node.this, read)
        return Value("boolean", ~value.values & ~value.null, value.null)
    if kind in (exp.And, exp.Or):
        parts = (_condition(part, read) for part in node.flatten(unnest=False))
        return reduce(_and if kind is exp.And else _or, parts)
    if kind in _COMPARISONS:
        return _compare(node, kind, _operand(node.this, read), _operand(node.expression, read))
    if kind is exp.Is and isinstance(node.expression, exp.Null):
        null = _operand(node.this, read).null
        return Value("boolean", null, np.zeros_like(null))
    if kind is exp.Between and not node.args.get("symmetric"):
        value = _operand(node.this, read)
        low, high = _operand(node.args["low"], read), _operand(node.args["high"], read)
        return _and(_compare(node, exp.GTE, value, low), _compare(node, exp.LTE, value, high))
    if kind is exp.In and node.expressions:
        value = _operand(node.this, read)
        items = (_operand(item, read) for item in node.expressions)
        return reduce(_or, (_compare(node, exp.EQ, value, item) for item in items))
    if kind is exp.Like:
        return _like(node, _operand(node.this, read), node.expression)
    if kind is exp.Neg:
        return _calculate(node, np.subtract, _literal("number", 0.0), _operand(node.this, read))
    if kind in _ARITHMETIC:
        values = _operand(node.this, read), _operand(node.expression, read)
        return _calculate(node, _ARITHMETIC[kind], *values)
    return _leaf(node, read)


def _leaf(node: exp.Expression, read: Reader) -> Value:
    if isinstance(node, exp.Column) and isinstance(node.this, exp.Identifier) and not node.table:
        return read(node.name)
    if isinstance(node, exp.Null):
        return _NOTHING
    if isinstance(node, exp.Boolean):
        return _literal("boolean", bool(node.this))
    text = node.this
    if isinstance(node, exp.Literal) and node.is_string:
        return Value("string", np.asarray(text, dtype=object), np.asarray(False))
    if isinstance(node, exp.Literal):
        exact = text.isdecimal() and int(text) < 2**63
        value = int(text) if exact else float(text)
        if not np.isfinite(value):
            raise _refused(node, "is not a finite number")
        return _literal("number", value)
    if isinstance(node, exp.Cast) and node.is_type("date") and isinstance(text, exp.Literal):
        return _literal("date", _date(text.name, node))
    raise _refused(node, "is outside the grammar of predicates", _GRAMMAR)


def _operand(node: exp.Expression, read: Reader) -> Value:
    """A condition needs parentheses here: parsers disagree on what ``a = b IN (c)`` means."""
    if not isinstance(node, (*_VALUES, *_ARITHMETIC)):
        raise _refused(node, "is not a value here", f"put it in parentheses, or {_GRAMMAR}")
    return _evaluate(node, read)


def _condition(node: exp.Expression, read: Reader) -> Value:
    value = _evaluate(node, read)
    if value.kind not in ("boolean", "null"):
        raise _refused(node, f"is a {value.kind}, not a condition")
    return Value("boolean", value.values & ~value.null, value.null)


def _and(a: Value, b: Value) -> Value:
    true = a.values & b.values
    false = (~a.values & ~a.null) | (~b.values & ~b.null)
    return Value("boolean", true, ~true & ~false)


def _or(a: Value, b: Value) -> Value:
    true = a.values | b.values
    return Value("boolean", true, (a.null | b.null) & ~true)


def _compare(node: exp.Expression, how: type[exp.Expression], a: Value, b: Value) -> Value:
    null = a.null | b.null
    if "null" in (a.kind, b.kind):
        return Value("boolean", np.zeros_like(null), np.ones_like(null))
    a, b = _as_date(node, a, b), _as_date(node, b, a)
    if a.kind != b.kind:
        raise _refused(node, f"compares a {a.kind} with a {b.kind}")
    return Value("boolean", _COMPARISONS[how](a.values, b.values) & ~null, null)


def _like(node: exp.Expression, value: Value, pattern: exp.Expression) -> Value:
    """% stands for any text and _ for one character; each different text is asked once."""
    if not (isinstance(pattern, exp.Literal) and pattern.is_string) or "\\" in pattern.name:
        raise _refused(node, "needs a text without backslashes after LIKE", "name LIKE 'a%'")
    if value.kind == "null":
        return Value("boolean", np.zeros_like(value.null), np.ones_like(value.null))
    if value.kind != "string":
        raise _refused(node, f"compares a {value.kind} with a string")
    marks = {"%": ".*", "_": "."}
    wanted = re.compile("".join(marks.get(each) or re.escape(each) for each in pattern.name), re.S)
    codes, texts = pd.factorize(np.atleast_1d(value.values))
    found = np.array([wanted.fullmatch(text) is not None for text in texts], dtype=bool)
    holds = found[codes].reshape(value.values.shape)
    holds = ~holds if node.args.get("negate") else holds  # NOT LIKE, as newer parsers say it
    return Value("boolean", holds & ~value.null, value.null)


def _as_date(node: exp.Expression, value: Value, other: Value) -> Value:
    """A string literal beside a date column is a date."""
    if (value.kind, other.kind) == ("string", "date") and value.values.ndim == 0:
        return _literal("date", _date(value.values.item(), node))
    return value


def _calculate(node: exp.Expression, how: Callable[..., Any], a: Value, b: Value) -> Value:
    for value in (a, b):
        if value.kind not in ("number", "null"):
            raise _refused(node, f"calculates with a {value.kind}")
    literal = b.values.ndim == 0 and b.kind == "number"
    if how is np.divide and not (literal and b.values):
        raise _refused(node, "may divide by zero", "divide by a literal other than zero")
    with np.errstate(all="ignore"):
        result = np.asarray(how(a.values.astype(np.float64), b.values.astype(np.float64)))
    return Value("number", result, a.null | b.null | np.isnan(result))


def _literal(kind: str, value: object) -> Value:
    return Value(kind, np.asarray(value), np.asarray(False))


def _date(text: str, node: exp.Expression) -> np.datetime64:
    try:
        return np.datetime64(date.fromisoformat(text), "us")
    except ValueError as error:
        raise _refused(node, f"needs a date such as 2026-01-31, not {text!r}") from error


def _refused(node: exp.Expression, problem: str, hint: str | None = None) -> PredicateError:
    text = node.sql(dialect="spark").replace("`", "")
    return PredicateError(f"{text!r} {problem}", hint=hint)
