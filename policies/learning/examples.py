"""Contexts as numbers, and numbers as Vowpal Wabbit text: both by columns, never by rows."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any, Union, cast

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from policies.errors import LearningError, did_you_mean

Floats = npt.NDArray[np.float64]
Pieces = list[Union[str, pa.Array]]  # text columns, and text that every row shares
KINDS = {
    "boolean": "boolean",
    "integer": "number",
    "floating": "number",
    "mixed-integer-float": "number",
    "decimal": "number",
    "string": "category",
    "empty": "empty",
}
SATURATION = (
    5.0  # standard deviations beyond which a number says no more: one wild value moves no score
)
STEPS = (
    10_000  # per standard deviation: numbers are rounded so, and their texts looked up, not made
)
MIN_COUNT, MAX_LEVELS = (
    10,
    100,
)  # of a category's levels: rarer ones teach nothing, more are an identifier


def kind_of(column: pd.Series[Any]) -> str:
    """What a column holds: number, boolean, category, or empty when nothing in it is known."""
    if column.isna().all():
        return "empty"
    if isinstance(column.dtype, pd.CategoricalDtype):
        return "category"
    if pd.api.types.is_bool_dtype(column.dtype):
        return "boolean"
    if pd.api.types.is_numeric_dtype(column.dtype) and column.dtype.kind != "c":
        return "number"
    found = pd.api.types.infer_dtype(column, skipna=True)
    if found not in KINDS:
        raise LearningError(
            f"column {column.name!r} holds {found} values, and a policy cannot learn from those",
            hint="give it numbers, booleans or strings, or leave it out of the features",
        )
    return KINDS[found]


@dataclass(frozen=True)
class Column:
    """How one column of contexts becomes columns of numbers.

    A number gives one standardised column; a boolean one 0/1 column; a category one 0/1 column a
    level. Where values were missing when the encoder was fitted, one more 0/1 column says so.
    """

    name: Hashable
    kind: str
    missing: bool
    mean: float = 0.0
    scale: float = 1.0
    levels: tuple[str, ...] = ()

    @property
    def n_numbers(self) -> int:
        """Columns that hold a standardised number (0 or 1); they come first."""
        return int(self.kind == "number")

    @property
    def n_indicators(self) -> int:
        """Columns that hold 0 or 1, of which a row has at most one 1; they come last."""
        return {"boolean": 1, "category": len(self.levels)}.get(self.kind, 0) + int(self.missing)

    @classmethod
    def fit(cls, column: pd.Series[Any]) -> Column:
        """The encoding of a column, from the values it has."""
        kind, name = kind_of(column), column.name
        if kind == "number":
            values = _numbers(column)
            known = values[np.isfinite(values)]
            mean, spread = (float(known.mean()), float(known.std())) if known.size else (0.0, 0.0)
            constant = spread <= 1e-9 * abs(mean)  # what is left is rounding
            return cls(name, kind, known.size < values.size, mean, 1.0 if constant else spread)
        missing = kind != "empty" and bool(column.isna().any())
        if kind != "category":
            return cls(name, kind, missing)
        counts = pd.Series(_strings(column)).value_counts()
        common = counts[counts >= MIN_COUNT].sort_index()
        kept = common.sort_values(ascending=False, kind="stable").index[:MAX_LEVELS]
        return cls(name, kind, missing, levels=tuple(sorted(str(level) for level in kept)))

    def encode(self, column: pd.Series[Any], out: Floats) -> None:
        """Fill `out` (n, n_numbers + n_indicators), which is all zeros, in place."""
        found = kind_of(column)
        if found != self.kind and "empty" not in (found, self.kind):
            raise LearningError(
                f"column {self.name!r} was a {self.kind} in training and is a {found} now",
                hint="give it the type that it had in training, or train again",
            )
        if self.kind == "number":
            values = _numbers(column)
            known = np.isfinite(values)
            standard = (np.where(known, values, self.mean) - self.mean) / self.scale
            out[:, 0] = np.rint(np.clip(standard, -SATURATION, SATURATION) * STEPS) / STEPS
        else:
            known = column.notna().to_numpy(dtype=bool)
            if self.kind == "boolean":
                out[:, 0] = column.to_numpy(dtype=bool, na_value=False)
            elif self.levels:
                levels = pd.Index(self.levels, dtype=object)
                codes = levels.get_indexer(pd.Index(_strings(column), dtype=object))
                rows = np.flatnonzero(codes >= 0)
                out[rows, codes[rows]] = 1.0
        if self.missing:
            out[:, -1] = ~known


@dataclass(frozen=True)
class Encoder:
    """Contexts -> a dense matrix of numbers, the same way in training and in scoring.

    Numbers are standardised, saturate at 5 standard deviations and are rounded to a ten-thousandth
    of one. Missing, infinite and unseen values become zeros, and "missing" has a 0/1 column of its
    own where training saw it. The matrix's columns have internal names (f0, f1 …), so any name of a
    context column is safe.
    """

    columns: tuple[Column, ...]

    @classmethod
    def fit(cls, contexts: pd.DataFrame, columns: Sequence[Hashable] | None = None) -> Encoder:
        """Learn the encoding of `columns` (default: all) from n rows of contexts.

        Raises:
            LearningError: a column is absent, named twice, or holds what cannot be learned from.
        """
        names = list(contexts.columns if columns is None else columns)
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise LearningError(f"column {twice!r} is there twice", hint="rename one of the two")
        return cls(tuple(Column.fit(_column(contexts, name)) for name in names))

    @property
    def size(self) -> int:
        """Columns of the matrix (p)."""
        return sum(column.n_numbers + column.n_indicators for column in self.columns)

    def encode(self, contexts: pd.DataFrame) -> Floats:
        """The (n, p) matrix of n contexts.

        Raises:
            LearningError: a column the encoder was fitted on is absent or changed its type.
        """
        out = np.zeros((len(contexts), self.size), order="F")
        for column, start, stop in self._spans():
            column.encode(_column(contexts, column.name), out[:, start:stop])
        return out

    def text(self, matrix: Floats) -> Pieces:
        """Pieces of text which, joined row by row, are the features of `encode`'s matrix."""
        pieces: Pieces = []
        for column, start, stop in self._spans():
            if column.n_numbers:
                step = np.rint((matrix[:, start] + SATURATION) * STEPS)
                pieces += [f" f{start}:", _take(_number_texts(), step)]
                start += 1
            if column.n_indicators:
                which = matrix[:, start:stop] @ np.arange(1.0, stop - start + 1)
                table = ["", *(f" f{index}" for index in range(start, stop))]
                pieces.append(_take(table, which))
        return pieces

    def to_dict(self) -> dict[str, Any]:
        """The encoder as plain data for JSON."""
        return {"columns": [asdict(column) for column in self.columns]}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Encoder:
        """The encoder that `to_dict` described."""
        return cls(
            tuple(Column(**{**each, "levels": tuple(each["levels"])}) for each in data["columns"])
        )

    def _spans(self) -> Iterator[tuple[Column, int, int]]:
        start = 0
        for column in self.columns:
            stop = start + column.n_numbers + column.n_indicators
            yield column, start, stop
            start = stop


def action_text(index: int) -> str:
    """The features of one action: its own name, in its own namespace."""
    return f"|a a{index}\n"


def regression_lines(
    features: Pieces,
    action: npt.NDArray[np.int64],
    cost: Floats,
    weight: Floats,
    n_actions: int,
) -> memoryview:
    """One importance-weighted regression line a decision: `cost weight |s … |a …`."""
    actions = _take([" " + action_text(index) for index in range(n_actions)], action)
    return _joined([_decimals(cost), " ", _decimals(weight), " |s", *features, actions])


def shared_lines(features: Pieces, n: int) -> list[str]:
    """The contexts' part of n examples, for asking a model row by row."""
    opening = _take(["|s"], np.zeros(n))
    return list(_rows([opening, *features]).to_pylist())


def adf_lines(
    features: Pieces,
    action: npt.NDArray[np.int64],
    cost: Floats,
    probability: Floats,
    eligible: npt.NDArray[np.bool_],
) -> memoryview:
    """Full `cb_adf` text: a shared line, a line an eligible action; the drawn one has a label."""
    label = _rows(["0:", _decimals(cost), ":", _decimals(probability), " "])
    pieces: Pieces = ["shared |s", *features, "\n"]
    for index in range(eligible.shape[1]):
        pieces.append(pc.if_else(pa.array(action == index), label, ""))
        pieces.append(_take(["", action_text(index)], eligible[:, index]))
    return _joined([*pieces, "\n"])


def _column(contexts: pd.DataFrame, name: Hashable) -> pd.Series[Any]:
    if name not in contexts.columns:
        raise LearningError(
            f"the contexts have no column {name!r}",
            hint=did_you_mean(str(name), map(str, contexts.columns)),
        )
    column = contexts[name]
    if not isinstance(column, pd.Series):
        raise LearningError(f"column {name!r} is there twice", hint="rename one of the two")
    return column


def _numbers(column: pd.Series[Any]) -> Floats:
    if column.dtype == object:
        column = column.astype(np.float64)  # decimals, and numbers beside None
    return column.to_numpy(dtype=np.float64, na_value=np.nan)


@lru_cache(maxsize=1)
def _number_texts() -> pa.StringArray:
    """The text of every number that an encoder gives: from -5 to 5 in steps of a ten-thousandth."""
    size = int(SATURATION * STEPS)
    return pc.cast(pa.array(np.arange(-size, size + 1) / STEPS), pa.string())


def _take(table: list[str] | pa.Array, which: npt.NDArray[Any]) -> pa.Array:
    return pa.array(table).take(pa.array(which.astype(np.int64)))


def _decimals(values: Floats) -> pa.Array:
    return pc.cast(pa.array(values.astype(np.float32)), pa.string())


def _strings(column: pd.Series[Any]) -> npt.NDArray[np.object_]:
    """A category's values as str and None; a category type's own values may be of any type."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        names = np.array([*map(str, column.cat.categories), None], dtype=object)
        return cast("npt.NDArray[np.object_]", names[column.cat.codes.to_numpy()])
    return cast("npt.NDArray[np.object_]", column.astype(object).where(column.notna(), None).values)


def _rows(pieces: Pieces) -> pa.StringArray:
    return pc.binary_join_element_wise(*pieces, "")


def _joined(pieces: Pieces) -> memoryview:
    """The rows' texts one after the other: the bytes as Arrow already holds them."""
    rows = _rows(pieces)
    ends = np.frombuffer(rows.buffers()[1], dtype=np.int32)
    return memoryview(rows.buffers()[2])[: int(ends[len(rows)])]
