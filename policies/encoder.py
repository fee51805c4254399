"""Contexts as numbers, by columns: the same way in training and in scoring."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Optional, cast

import numpy as np
import numpy.typing as npt
import pandas as pd

from policies.errors import LearningError, require_known
from policies.log import Floats

Codes = npt.NDArray[np.int32]
KINDS = {
    "boolean": "boolean",
    "integer": "number",
    "floating": "number",
    "mixed-integer-float": "number",
    "decimal": "number",
    "string": "category",
    "categorical": "category",
}
LARGEST = 1e100  # of a number: beyond, squares leave what a float can hold
SATURATION = 5.0  # units of its scale at which a number is cut
STEPS = 10_000  # per unit: numbers are rounded to these, so their texts can be looked up
MIN_COUNT, MAX_LEVELS = 10, 100  # of a category's levels: rarer ones teach nothing, more are an id


def kind_of(column: pd.Series[Any]) -> str:
    """The kind of a column: number, boolean, category, or empty where all values are missing."""
    if column.isna().all():
        return "empty"
    inferred = pd.api.types.infer_dtype(column, skipna=True)
    if inferred not in KINDS:
        raise LearningError(
            f"column {column.name!r} holds {inferred} values, and a policy cannot learn from those",
            hint="give it numbers, booleans or strings, or leave it out of the features",
        )
    return KINDS[inferred]


@dataclass(frozen=True)
class Column:
    """How one column of contexts becomes columns of numbers.

    A number gives one column in units of its scale, and with bins one 0/1 column a bin; a boolean one 0/1
    column; a category one 0/1 column a level. Where values were missing when the encoder was
    fitted, one more 0/1 column says so. At most one of the 0/1 columns is 1.
    """

    name: Hashable
    kind: str
    missing: bool
    mean: float = 0.0  # what is subtracted: 0 unless numbers are standardised
    scale: float = 1.0
    levels: tuple[str, ...] = ()
    edges: tuple[float, ...] = ()  # of bins, in the column's own unit; bin j ends at edge j

    @property
    def n_indicators(self) -> int:
        """Columns that hold 0 or 1, of which a row has at most one 1; a number's own comes first."""
        bins = len(self.edges) + 1 if self.edges else 0
        own = {"boolean": 1, "category": len(self.levels), "number": bins}
        return own.get(self.kind, 0) + int(self.missing)

    @classmethod
    def fit(cls, column: pd.Series[Any], bins: int, standardise: bool) -> Column:
        """The encoding of a column, from the values it has."""
        kind, name = kind_of(column), _plain(column.name)
        if kind != "number":
            missing, levels = kind != "empty" and bool(column.isna().any()), []
            if kind == "category":
                counts = pd.Series(_strings(column)).value_counts()
                most = counts[counts >= MIN_COUNT].sort_index().nlargest(MAX_LEVELS)
                levels = sorted(str(level) for level in most.index)
            return cls(name, kind, missing, levels=tuple(levels))
        values = _numbers(column)
        known = values[np.isfinite(values)]
        size = float(np.sqrt(np.mean(known**2))) if known.size else 0.0
        mean, scale = 0.0, size or 1.0
        if standardise and known.size:
            mean, spread = float(known.mean()), float(known.std())
            scale = 1.0 if spread <= 1e-9 * abs(mean) else spread  # what is left is rounding
        edges: tuple[float, ...] = ()
        if bins and known.size:
            cuts = np.unique(np.quantile(known, np.arange(1, bins) / bins, method="lower"))
            edges = tuple(cuts[cuts < known.max()].tolist())
        return cls(name, kind, known.size < values.size, mean, scale, edges=edges)

    def encode(self, column: pd.Series[Any]) -> tuple[Optional[Floats], Optional[Codes]]:
        """Its scaled number, and which of its 0/1 columns is 1 (from 1 on; 0 is none).

        Either is None where the column has none of the kind.
        """
        kind = kind_of(column)
        if kind != self.kind and "empty" not in (kind, self.kind):
            raise LearningError(
                f"column {self.name!r} was a {self.kind} in training and is a {kind} now",
                hint="give it the type that it had in training, or train again",
            )
        number = values = None
        if self.kind == "number":
            values = _numbers(column)
            known = np.isfinite(values)
            scaled = (np.where(known, values, self.mean) - self.mean) / self.scale
            number = np.rint(np.clip(scaled, -SATURATION, SATURATION) * STEPS) / STEPS
        else:
            known = column.notna().to_numpy(dtype=bool)
        if not self.n_indicators:
            return number, None
        code = np.zeros(len(column), dtype=np.int32)
        if self.kind == "boolean":
            code += column.to_numpy(dtype=bool, na_value=False)
        elif self.levels:
            texts = pd.Index(_strings(column), dtype=object)
            code += 1 + pd.Index(self.levels, dtype=object).get_indexer(texts).astype(np.int32)
        elif self.edges:
            code += np.searchsorted(self.edges, cast("Floats", values)).astype(np.int32) + 1
        code[~known] = self.n_indicators if self.missing else 0
        return number, code


@dataclass(frozen=True, eq=False)
class Encoded:
    """n contexts as an encoder gives them, without the zeros.

    Attributes:
        n: rows.
        numbers: (column of the matrix, (n,) values) of every number.
        codes: (columns of the matrix, (n,) which of them is 1; 0 is none) of every set of 0/1
            columns.
    """

    n: int
    numbers: tuple[tuple[int, Floats], ...]
    codes: tuple[tuple[range, Codes], ...]


@dataclass(frozen=True)
class Encoder:
    """Contexts -> numbers, the same way in training and in scoring.

    Numbers are standardised, or only divided by their root mean square so that 0 stays 0; they
    saturate at 5 and are rounded to a ten-thousandth. Missing, infinite and unseen values become
    zeros, and "missing" has a 0/1 column of its
    own where training saw it. The matrix's columns are known by their place, so any name of a
    context column is safe.
    """

    columns: tuple[Column, ...]

    @classmethod
    def fit(
        cls,
        contexts: pd.DataFrame,
        columns: Sequence[Hashable] | None = None,
        *,
        bins: int = 0,
        standardise: bool = True,
    ) -> Encoder:
        """Learn the encoding of `columns` (default: all) from n rows of contexts.

        Args:
            contexts: the rows.
            columns: names.
            bins: into how many equally filled bins numbers are cut besides, so that a linear model
                can follow any curve; 0 for none.
            standardise: whether a number's mean is subtracted.

        Raises:
            LearningError: a column is absent, named twice, or holds what cannot be learned from.
        """
        names = [_plain(name) for name in (contexts.columns if columns is None else columns)]
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise LearningError(f"column {twice!r} is there twice", hint="rename one of the two")
        return cls(tuple(Column.fit(_column(contexts, name), bins, standardise) for name in names))

    @property
    def size(self) -> int:
        """Columns of the matrix (p)."""
        return sum((column.kind == "number") + column.n_indicators for column in self.columns)

    def encode(self, contexts: pd.DataFrame) -> Encoded:
        """The encoded contexts; `matrix` gives them with the zeros.

        Raises:
            LearningError: a column the encoder was fitted on is absent or changed its type.
        """
        numbers, codes, start = [], [], 0
        for column in self.columns:
            number, code = column.encode(_column(contexts, column.name))
            if number is not None:
                numbers.append((start, number))
                start += 1
            if code is not None:
                codes.append((range(start, start + column.n_indicators), code))
                start += column.n_indicators
        return Encoded(len(contexts), tuple(numbers), tuple(codes))

    def matrix(self, contexts: pd.DataFrame) -> Floats:
        """The (n, p) matrix of n contexts, column by column in memory; raises as `encode` does."""
        encoded, out = self.encode(contexts), np.zeros((len(contexts), self.size), order="F")
        for index, values in encoded.numbers:
            out[:, index] = values
        for columns, code in encoded.codes:
            rows = np.flatnonzero(code)
            out[rows, columns.start + code[rows] - 1] = 1.0
        return out

    def to_dict(self) -> dict[str, Any]:
        """The encoder as plain data for JSON."""
        return {"columns": [asdict(column) for column in self.columns]}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Encoder:
        """The encoder that `to_dict` described."""
        columns = []
        for column in data["columns"]:
            levels, edges = tuple(column["levels"]), tuple(column["edges"])
            columns.append(Column(**{**column, "levels": levels, "edges": edges}))
        return cls(tuple(columns))


def _plain(name: Hashable) -> Hashable:
    """A column's name as JSON can keep it."""
    name = name.item() if isinstance(name, np.generic) else name
    if not isinstance(name, (str, int, float)):
        what = f"the column name {name!r} is a {type(name).__name__}, and cannot be saved"
        raise LearningError(what, hint='name columns by texts: frame.columns = ["income", …]')
    return name


def _column(contexts: pd.DataFrame, name: Hashable) -> pd.Series[Any]:
    require_known(name, contexts.columns, LearningError, f"the contexts have no column {name!r}")
    column = contexts[name]
    if not isinstance(column, pd.Series):
        raise LearningError(f"column {name!r} is there twice", hint="rename one of the two")
    return column


def _numbers(column: pd.Series[Any]) -> Floats:
    try:
        if column.dtype == object:  # decimals, and numbers beside None
            column = column.where(column.notna(), np.nan).astype(np.float64)
        values = column.to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError, OverflowError) as error:
        raise LearningError(
            f"column {column.name!r} cannot be read as numbers: {error}",
            hint="give it plain numbers, or leave it out of the features",
        ) from error
    return np.where(np.isfinite(values), np.clip(values, -LARGEST, LARGEST), np.nan)


def _strings(column: pd.Series[Any]) -> npt.NDArray[np.object_]:
    """A category's values as str and None; a category type's own values may be of any type."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        names = np.array([*map(str, column.cat.categories), None], dtype=object)
        return cast("npt.NDArray[np.object_]", names[column.cat.codes.to_numpy()])
    return cast("npt.NDArray[np.object_]", column.astype(object).where(column.notna(), None).values)
