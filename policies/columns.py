"""Columns of tables as arrays: read by name and in order, with every mistake named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Union

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from policies.errors import InvalidLogError, NbaError, did_you_mean

Array = npt.NDArray[Any]
Ints = npt.NDArray[np.int64]
Column = Union[str, Array, "pd.Series[Any]", Sequence[Any], None]

NO_DATES = ("boolean", "integer", "floating", "mixed-integer", "mixed-integer-float", "decimal")
ZONE = r"([T ].+?)(?:[Zz]|[+-]\d\d(?::?\d\d)?)$"  # of a time, which is left as it was written


def require(holds: Any, rule: str, hint: str | None = None) -> None:
    """Raise InvalidLogError unless the rule holds in every row."""
    if not holds.all():
        rows = np.flatnonzero(~holds)
        first = ", ".join(str(each) for each in rows[:5])
        raise InvalidLogError(
            f"{rule}: {len(rows)} of {len(holds)} rows break it",
            where=f"row{'s' if len(rows) > 1 else ''} {first}{', …' if len(rows) > 5 else ''}",
            hint=hint,
        )


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
    names = [str(each) for each in values.columns]
    if names == [str(each) for each in range(len(ids))]:
        return values
    if sorted(names) != sorted(ids):
        raise error(
            f"columns {names} are not the actions {list(ids)}",
            where=where,
            hint="one column per action id",
        )
    return values.iloc[:, [names.index(each) for each in ids]]


def as_array(name: str, value: Any, dtype: Any, shape: tuple[int, ...]) -> Any:
    """The value as a read-only array of this type and shape (None stays None)."""
    if value is None:
        return None
    if dtype == "datetime64[D]":
        value = _dates(name, value)
    elif dtype is np.bool_:
        value = _yes_or_no(name, value)
    try:
        array = np.asarray(value) if dtype is None else np.asarray(value, dtype=dtype)
    except (TypeError, ValueError) as error:
        kind = "dates" if dtype == "datetime64[D]" else "numbers"
        raise InvalidLogError(
            f"{name} cannot be read as {kind}: {error}", hint=f"convert the column to {kind} first"
        ) from error
    if array.shape != shape:
        raise InvalidLogError(f"{name} must have shape {shape}, and has {array.shape}")
    array = array.view()
    array.flags.writeable = False
    return array


def _yes_or_no(name: str, value: Any) -> Any:
    """Booleans, or numbers that are 0 or 1; anything else would be taken for True."""
    array = np.asarray(value)
    if array.dtype.kind != "b" and array.size:
        known = np.reshape(pd.Series(array.ravel()).isin([0, 1]), array.shape)
        if not known.all():
            raise InvalidLogError(
                f"{name} must hold True and False, and holds {array[~known].tolist()[0]!r}",
                hint="booleans, or 0 and 1",
            )
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
        return [_local(each) for each in array.flat]
    return value


def _local(date: Any) -> Any:
    if date is pd.NaT:
        return None
    return date if getattr(date, "tzinfo", None) is None else date.replace(tzinfo=None)


def known_column(frame: pd.DataFrame, column: str) -> str:
    """The name of a column that is there, or an error that names the closest."""
    if column not in frame.columns:
        raise InvalidLogError(
            f"no column {column!r} in the frame", hint=did_you_mean(column, frame.columns)
        )
    return column


def taker(frame: pd.DataFrame) -> Any:
    """A function that gives a column by name, and anything else as it is."""

    def taken(column: Column) -> Any:
        if isinstance(column, str):
            return frame[known_column(frame, column)]
        if isinstance(column, (pd.Series, pd.DataFrame)) and not _aligned(
            column.index, frame.index
        ):
            raise InvalidLogError(
                "a column comes with an index that is not the frame's: its order may be another",
                hint="in the frame's order: column.loc[frame.index], or .to_numpy()",
            )
        return column

    return taken


def _aligned(own: pd.Index[Any], of_frame: pd.Index[Any]) -> bool:
    """Whether rows with an index of their own are in the frame's order, as far as one can see.

    Rows numbered from 0 are, unless the frame's index holds the same numbers in another order.
    """
    plain = own.equals(pd.RangeIndex(len(own)))
    return own.equals(of_frame) or (plain and not of_frame.isin(own).all())


def action_indices(chosen: pd.Series[Any], ids: tuple[str, ...]) -> Ints:
    """(n,) index of every action id, or an error that names the first unknown one."""
    require(chosen.notna(), "the action must not be missing")
    codes, seen = pd.factorize(chosen)
    places = np.append(pd.Index(ids).get_indexer(pd.Index([str(each) for each in seen])), -1)
    found = np.asarray(places[codes], dtype=np.int64)
    if (found < 0).any():
        first = str(chosen.iloc[int(np.argmax(found < 0))])
        require(found >= 0, f"unknown action id {first!r}", hint=did_you_mean(first, ids))
    return found


def action_lists(column: Any) -> Any:
    """A column of lists as (row of each entry, entries' distinct ids, code of each entry)."""
    if column is None or (isinstance(column, np.ndarray) and column.ndim == 2):
        return column
    try:
        arrow = pa.array(np.asarray(column, dtype=object), from_pandas=True)
        if not (pa.types.is_list(arrow.type) or pa.types.is_large_list(arrow.type)):
            raise InvalidLogError(f"eligible must hold lists of action ids, not {arrow.type}")
        require(~np.asarray(arrow.is_null()), "eligible must not be missing")
        coded = arrow.flatten().cast(pa.string()).dictionary_encode()
    except pa.ArrowException as error:
        raise InvalidLogError(f"eligible cannot be read as lists of action ids: {error}") from error
    rows = np.repeat(np.arange(len(arrow)), np.asarray(arrow.value_lengths()))
    return rows, coded.dictionary.to_pylist(), np.asarray(coded.indices)


def eligible_matrix(lists: Any, ids: tuple[str, ...], n: int) -> Any:
    """(n, k) bool from what `action_lists` gave."""
    if not isinstance(lists, tuple):
        return lists
    rows, names, codes = lists
    for name in names:
        if name not in ids:
            raise InvalidLogError(
                f"unknown action id {name!r} among the eligible", hint=did_you_mean(str(name), ids)
            )
    places = np.array([ids.index(name) for name in names], dtype=np.int64)
    matrix = np.zeros((n, len(ids)), dtype=bool)
    matrix[rows, places[codes] if len(names) else codes] = True
    return matrix


def probability_maps(column: Any) -> Any:
    """A column of maps as {action id: (n,) probabilities}; of arrays, as an (n, k) array."""
    if column is None or (isinstance(column, np.ndarray) and column.ndim == 2):
        return column
    values = np.asarray(column, dtype=object)
    first = values[0] if len(values) else ()
    try:
        if isinstance(first, (list, tuple)) and len(first) and isinstance(first[0], tuple):
            values, first = np.array([dict(each) for each in values], dtype=object), {}
        if not isinstance(first, Mapping):
            return np.array([np.asarray(each, dtype=np.float64) for each in values])
        arrow = pa.array(values)
        parts = dict(zip((each.name for each in arrow.type), arrow.flatten()))
        floats = {name: part.cast(pa.float64()).fill_null(0.0) for name, part in parts.items()}
        return {name: np.asarray(part) for name, part in floats.items()}
    except (TypeError, ValueError, pa.ArrowException) as error:
        raise InvalidLogError(
            f"distribution cannot be read: {error}",
            hint="each row needs a map from action id to probability, or k numbers",
        ) from error


def distribution_matrix(maps: Any, ids: tuple[str, ...]) -> Any:
    """(n, k) probabilities from what `probability_maps` gave."""
    if not isinstance(maps, Mapping):
        return maps
    for name in maps:
        if name not in ids:
            raise InvalidLogError(
                f"unknown action id {name!r} in distribution", hint=did_you_mean(str(name), ids)
            )
    n = len(next(iter(maps.values())))
    columns = [maps.get(each, np.zeros(n)) for each in ids]
    return np.column_stack(columns)
