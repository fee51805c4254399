"""Columns of tables as arrays: read by name and in order, with every mistake named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any, Union

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from policies.errors import InvalidLogError, LearningError, NbaError, did_you_mean, require_known

Array = npt.NDArray[Any]
Ints = npt.NDArray[np.int64]
Column = Union[str, Array, "pd.Series[Any]", Sequence[Any], None]

NO_DATES = ("boolean", "integer", "floating", "mixed-integer", "mixed-integer-float", "decimal")
ZONE = r"([T ].+?)(?:[Zz]|[+-]\d\d(?::?\d\d)?)$"  # of a time, which is left as it was written


def require(
    holds: Any,
    rule: str,
    hint: str | None = None,
    error: type[NbaError] = InvalidLogError,
    where: str | None = None,
    start: int = 0,
) -> None:
    """Raise `error`, naming the first rows, unless the rule holds in every row.

    Args:
        holds: (n,) bool.
        rule: what must hold, as a sentence without its full stop.
        hint: one action that mends it.
        error: the type to raise.
        where: whose rows they are.
        start: number of the first row.
    """
    if not holds.all():
        rows = np.flatnonzero(~holds) + start
        more = ", …" if len(rows) > 5 else ""
        first = f"row{'s' if len(rows) > 1 else ''} {', '.join(map(str, rows[:5]))}{more}"
        raise error(
            f"{rule}: {len(rows)} of {len(holds)} rows break it",
            where=f"{where}, {first}" if where else first,
            hint=hint,
        )


def number(name: str, value: Any, error: type[NbaError] = InvalidLogError) -> float:
    """A finite number; raises `error` for anything else."""
    is_number = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
    if not (is_number and np.isfinite(value)):
        raise error(f"{name} must be a number, and is {value!r}")
    return float(value)


def low_high(name: str, ends: Any, error: type[NbaError] = InvalidLogError) -> tuple[float, float]:
    """Two finite numbers, the lower one first; raises `error` for anything else."""
    if isinstance(ends, (str, bytes, Mapping, Set)):  # a text of two digits could be read as two
        raise error(f"{name} must be (low, high), not {ends!r}")
    try:
        low, high = (float(end) for end in ends)
    except (TypeError, ValueError) as cause:
        raise error(f"{name} must be (low, high), not {ends!r}") from cause
    if not (np.isfinite([low, high]).all() and low < high):
        raise error(f"{name} must be (low, high), low < high: {(low, high)}")
    return low, high


def by_action(
    values: Any,
    ids: Sequence[str],
    where: str | None = None,
    error: type[NbaError] = InvalidLogError,
) -> Any:
    """The columns of a frame in the order of the actions; anything else as it is.

    Raises:
        InvalidLogError: columns that are neither the actions nor unnamed (0, 1 …); or `error`.
    """
    if not isinstance(values, pd.DataFrame):
        return values
    names = [str(name) for name in values.columns]
    if names == [str(place) for place in range(len(ids))]:
        return values
    if sorted(names) != sorted(ids):
        what = f"columns {names} are not the actions {list(ids)}"
        raise error(what, where=where, hint="one column per action id")
    return values.iloc[:, [names.index(action_id) for action_id in ids]]


def as_array(name: str, value: Any, dtype: Any, shape: tuple[int, ...]) -> Any:
    """The value as a read-only array of this type and shape (None stays None)."""
    if value is None:
        return None
    if isinstance(value, (pa.Array, pa.ChunkedArray)):
        value = value.to_pandas(date_as_object=False, deduplicate_objects=False)
    _check_meaning(name, value, dtype)
    if dtype == "datetime64[D]":
        value = _dates(name, value)
    elif dtype is bool:
        value = _yes_or_no(name, value)
    try:
        array = np.asarray(value) if dtype is None else np.asarray(value, dtype=dtype)
    except (TypeError, ValueError) as error:
        kind = "dates" if dtype == "datetime64[D]" else "numbers"
        hint = f"convert the column to {kind} first"
        raise InvalidLogError(f"{name} cannot be read as {kind}: {error}", hint=hint) from error
    if array.shape != shape:
        raise InvalidLogError(f"{name} must have shape {shape}, and has {array.shape}")
    array = array.view()
    array.flags.writeable = False
    return array


def _check_meaning(name: str, value: Any, dtype: Any) -> None:
    """Refuse what numpy would read as a number, or as a date, that it is not."""
    if isinstance(value, np.ma.MaskedArray) and np.ma.getmaskarray(value).any():
        what = f"{name} has masked values, which are not known"
        raise InvalidLogError(what, hint="leave these rows out: array.compressed()")
    kind = getattr(getattr(value, "dtype", None), "kind", "O")
    given = {"c": "complex numbers", "m": "spans of time", "M": "dates"}.get(kind)
    wanted = "dates" if dtype == "datetime64[D]" else "numbers"
    if dtype is not None and given and given != wanted:
        raise InvalidLogError(f"{name} holds {given}, not {wanted}", hint="give the column meant")


def _yes_or_no(name: str, value: Any) -> Any:
    """Booleans, or numbers that are 0 or 1; anything else would count as True."""
    array = np.asarray(value)
    if array.dtype.kind != "b" and array.size:
        known = np.reshape(pd.Series(array.ravel()).isin([0, 1]), array.shape)
        if not known.all():
            what = f"{name} must hold True and False, and holds {array[~known].tolist()[0]!r}"
            raise InvalidLogError(what, hint="booleans, or 0 and 1")
    return array


def _dates(name: str, value: Any) -> Any:
    """Dates as they were written, without time zones; a plain number is none."""
    if getattr(getattr(value, "dtype", None), "tz", None) is not None:
        return pd.Series(value).dt.tz_localize(None).to_numpy()
    array = np.asarray(value)
    kind = pd.api.types.infer_dtype(array.ravel(), skipna=True) if array.size else "empty"
    if kind in NO_DATES:
        raise InvalidLogError(
            f"{name} holds numbers such as {array.flat[0]}, which could be any date",
            hint="pd.to_datetime(column, format=…) makes dates",
        )
    if kind == "string":
        texts = pd.Series(array.ravel()).str.replace(ZONE, r"\1", regex=True)
        try:
            return pd.to_datetime(texts, format="ISO8601").to_numpy()
        except (TypeError, ValueError) as error:
            raise InvalidLogError(
                f"{name} cannot be read as dates: {error}",
                hint="pd.to_datetime(column, format=…) says how they are written",
            ) from error
    if array.dtype == object:
        dates: list[Any] = [None if date is pd.NaT else date for date in array.flat]
        return [date.replace(tzinfo=None) if hasattr(date, "tzinfo") else date for date in dates]
    return value


def as_frame(contexts: Any, error: type[NbaError] = LearningError) -> pd.DataFrame:
    """Contexts as pandas: an Arrow table becomes a frame; raises `error` for anything else."""
    if isinstance(contexts, pa.Table):
        contexts = contexts.to_pandas(date_as_object=False)
    if not isinstance(contexts, pd.DataFrame):
        raise error(
            f"contexts must be a DataFrame, not a {type(contexts).__name__}",
            hint="pd.DataFrame(rows, columns=[…]) names what was known",
        )
    return contexts


def column_names(frame: pd.DataFrame | pa.Table) -> list[Any]:
    """The names of a table's columns."""
    return list(frame.column_names if isinstance(frame, pa.Table) else frame.columns)


def require_column(frame: pd.DataFrame | pa.Table, name: Any) -> None:
    """Raise InvalidLogError, with the closest name, unless the table has the column once."""
    names = column_names(frame)
    require_known(name, names, InvalidLogError, f"no column {name!r} in the frame")
    if names.count(name) > 1:
        raise InvalidLogError(
            f"the frame has {names.count(name)} columns {name!r}", hint="rename one"
        )


def take_columns(frame: pd.DataFrame | pa.Table, names: Sequence[str]) -> pd.DataFrame:
    """The columns of a table as pandas; raises as `require_column` does."""
    for name in names:
        require_column(frame, name)
    return as_frame(frame.select(names)) if isinstance(frame, pa.Table) else frame[list(names)]


def take_column(frame: pd.DataFrame | pa.Table, column: Column) -> Any:
    """The column of a table by its name; anything else as it is.

    Raises:
        InvalidLogError: no such column, or a pandas object whose index is not the frame's.
    """
    if isinstance(column, str):
        require_column(frame, column)
        return frame[column]
    index = frame.index if isinstance(frame, pd.DataFrame) else pd.RangeIndex(len(frame))
    if isinstance(column, (pd.Series, pd.DataFrame)) and not column.index.equals(index):
        # Rows numbered from 0 are in order too, unless the frame has these numbers in another one.
        plain = column.index.equals(pd.RangeIndex(len(column)))
        if not plain or index.isin(column.index).all():
            raise InvalidLogError(
                "a column comes with an index that is not the frame's: its order may be another",
                hint="in the frame's order: column.loc[frame.index], or .to_numpy()",
            )
    return column


@dataclass(frozen=True, eq=False)
class Entries:
    """The m actions that a column of n rows names: one a row, lists of them, or maps.

    Args:
        name: of the column.
        n: rows.
        row: (m,) each entry's row.
        actions: (m,) action ids in Arrow, as they are or as codes of a dictionary.
        values: (m,) probabilities; True without.
    """

    name: str
    n: int
    row: Ints
    actions: Any
    values: Any = True

    @property
    def ids(self) -> list[str]:
        """The distinct action ids, as texts."""
        coded = pa.types.is_dictionary(self.actions.type)
        distinct = self.actions.dictionary if coded else self.actions.unique().drop_null()
        return [str(action_id) for action_id in distinct.to_pylist()]

    def indices(self, action_ids: Sequence[str]) -> Ints:
        """(m,) the index of each entry among these actions.

        Raises:
            InvalidLogError: an action is missing or unknown; it names the first.
        """
        coded = pa.types.is_dictionary(self.actions.type)
        texts = (self.actions.dictionary if coded else self.actions).cast(pa.string())
        places = _whole(pc.index_in(texts, pa.array(action_ids, pa.string())))
        if coded:
            places = np.append(places, -1)[_whole(self.actions.indices)]
        if (places < 0).any():
            holds = ~np.isin(np.arange(self.n), self.row[places < 0])
            unknown = self.actions[int(np.argmax(places < 0))].as_py()
            if unknown is None:
                require(holds, f"{self.name} must not be missing")
            rule = f"unknown action id {str(unknown)!r} in {self.name}"
            require(holds, rule, hint=did_you_mean(str(unknown), action_ids))
        return places

    def matrix(self, action_ids: Sequence[str]) -> Array:
        """(n, k): the value of each entry, False or 0 elsewhere; raises as `indices` does."""
        matrix = np.zeros((self.n, len(action_ids)), dtype=np.asarray(self.values).dtype)
        matrix[self.row, self.indices(action_ids)] = self.values
        return matrix


def read_actions(name: str, column: Any) -> Entries:
    """A column of action ids, of pandas or of Arrow; a dictionary's codes are not decoded."""
    column = _in_one(column)
    if not isinstance(column, pa.Array):
        codes, values = pd.factorize(pd.Series(column).astype(object))
        column = _coded(codes, list(values))
    return Entries(name, len(column), np.arange(len(column)), column)


def read_lists(name: str, column: Any) -> Any:
    """A column of lists of action ids as `Entries`; None, or an (n, k) array, as it is.

    Raises:
        InvalidLogError: it holds something else, or a row is missing.
    """
    if column is None or _is_matrix(column):
        return column
    array = _nested(name, column)
    if not (pa.types.is_list(array.type) or pa.types.is_large_list(array.type)):
        raise InvalidLogError(f"{name} must hold lists of action ids, not {array.type}")
    row, (action_ids,) = _flat(array, array.values)
    return Entries(name, len(array), row, action_ids)


def read_maps(name: str, column: Any) -> Any:
    """A column of maps from action id to probability as `Entries`; of k numbers as an (n, k) array.

    None, or an (n, k) array, is given back as it is.

    Raises:
        InvalidLogError: it holds something else, or a row is missing.
    """
    if column is None or _is_matrix(column):
        return column
    array = _nested(name, column)
    n, kind = len(array), array.type
    try:
        if pa.types.is_map(kind):
            row, (action_ids, values) = _flat(array, array.keys, array.items)
            return Entries(name, n, row, action_ids, _floats(values))
        if pa.types.is_struct(kind):  # what Arrow makes of dicts: a field an action
            parts = [_floats(part) for part in array.flatten()]
            action_ids = _coded(np.repeat(np.arange(len(parts)), n), [part.name for part in kind])
            row, values = np.tile(np.arange(n), len(parts)), np.concatenate([[], *parts])
            return Entries(name, n, row, action_ids, values)
        return _floats(_flat(array, array.values)[1][0]).reshape(n, -1 if n else 0)
    except (AttributeError, TypeError, ValueError, pa.ArrowException) as error:
        raise _unread(name, error) from error


def _is_matrix(column: Any) -> bool:
    return isinstance(column, (np.ndarray, pd.DataFrame)) and column.ndim == 2


def _in_one(column: Any) -> Any:
    """A column of Arrow in one piece; any other as it is."""
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def _nested(name: str, column: Any) -> Any:
    """A column of lists or maps as one Arrow array; raises InvalidLogError where it is none."""
    try:
        array = _in_one(column)
        if not isinstance(array, pa.Array):
            rows = column.to_numpy() if isinstance(column, pd.Series) else list(column)
            first = rows[0] if len(rows) else ()
            if isinstance(first, (list, tuple)) and len(first) and isinstance(first[0], tuple):
                rows = [dict(pairs) for pairs in rows]
            array = pa.array(rows, from_pandas=True)
    except (TypeError, ValueError, pa.ArrowException) as error:
        raise _unread(name, error) from error
    require(np.asarray(array.is_valid()), f"{name} must not be missing")
    return array


def _flat(array: Any, *contents: Any) -> tuple[Ints, list[Any]]:
    """The row of each entry of lists or maps, and what the entries hold."""
    offsets = np.asarray(array.offsets)
    row = np.repeat(np.arange(len(array)), np.diff(offsets))
    return row, [content.slice(offsets[0], len(row)) for content in contents]


def _coded(codes: Ints, values: Sequence[Any]) -> pa.DictionaryArray:
    """Values of any type as texts by their codes, -1 where missing."""
    texts = pa.array([str(value) for value in values], pa.string())
    return pa.DictionaryArray.from_arrays(pa.array(codes, mask=codes < 0), texts)


def _whole(values: pa.Array) -> Ints:
    return np.asarray(values.fill_null(-1), dtype=np.int64)


def _floats(values: pa.Array) -> npt.NDArray[np.float64]:
    return np.asarray(values.cast(pa.float64()).fill_null(0.0))


def _unread(name: str, error: Exception) -> InvalidLogError:
    return InvalidLogError(
        f"{name} cannot be read: {error}",
        hint="eligible needs lists of action ids, distribution maps from id to probability",
    )
