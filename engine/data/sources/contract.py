"""Rows of a company in the engine's columns and types; those that do not fit, with the reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from engine.data.sources.reading import UNREAD
from engine.errors import SourceError
from engine.source_definitions import UpstreamTable
from policies.errors import require_known

REASON, ROW = "_reason", "_row"
_NUMBER = r"^\s*[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?\s*$"
_WHOLE = r"^\s*[+-]?\d{1,18}\s*$"
_DAY = r"\d{4}-\d{2}-\d{2}"
_MOMENT = rf"^\s*{_DAY}([ T]\d{{2}}:\d{{2}}(:\d{{2}}(\.\d+)?)?)?"
_OFFSET = r"\s?(Z|[+-]\d{2}:?\d{2})\s*$"
_TRUE, _FALSE = ("true", "t", "yes", "y", "1", "1.0"), ("false", "f", "no", "n", "0", "0.0")
_NOUNS = {
    "string": "text",
    "double": "number",
    "float": "number",
    "bigint": "whole number",
    "int": "whole number",
    "boolean": "yes or no",
    "date": "date",
    "timestamp": "time",
    "list": "list",
    "map": "map from names to numbers",
}
_NUMERIC = ("tinyint", "smallint", "int", "bigint", "float", "double", "decimal")
_MAP = "map<string,double>"
_LARGEST = {"int": 2**31 - 1, "bigint": 2**63 - 1}
FIRST_YEAR, LAST_YEAR = 1900, 2200  # of times and dates


@dataclass(frozen=True)
class Wanted:
    """A column that a table must, or may, have.

    Args:
        kind: an SQL type, `list` of names, `map` from names to numbers, or `any` for what it is.
        required: whether a row without it breaks the contract.
        optional: whether the column itself may be missing.
    """

    kind: str
    required: bool = False
    optional: bool = False


def conform(
    raw: DataFrame,
    described: UpstreamTable,
    wanted: Mapping[str, Wanted],
    rules: Mapping[str, Column],
    where: str,
) -> DataFrame:
    """The rows in the wanted columns, with `_row`, what they were; `_reason` says why one does not fit.

    Args:
        raw: as it was read.
        described: its column map and time zone.
        wanted: column of the engine -> what it must be.
        rules: reason -> whether a row in the wanted columns breaks it; null breaks nothing.
        where: the place of the description, for messages.

    Raises:
        SourceError: a column is not there.
    """
    types = {field.name: field.dataType.simpleString() for field in raw.schema}
    values, broken = {}, {}
    if UNREAD in types:
        broken["the line cannot be read"] = F.col(UNREAD).isNotNull()
    for name, want in wanted.items():
        source = described.columns.get(name, name)
        if isinstance(source, bool):
            values[name] = F.lit(source)
            continue
        if source not in types and want.optional and name not in described.columns:
            values[name] = F.lit(None).cast(_sql_type(want.kind))
            continue
        known = [column for column in types if column != UNREAD]
        what = f"{described.place} has no column {source!r} for {name}."
        require_known(source, known, SourceError, what, f"{where}, columns")
        given = _blank_as_null(_column(source), types[source])
        value = _typed(given, types[source], want.kind, described.time_zone)
        noun = _NOUNS.get(want.kind, "value")
        broken[f"{name} is no {noun}"] = given.isNotNull() & value.isNull()
        if types[source] == "string":
            broken[f"{name} has characters of another encoding"] = given.contains("\ufffd")
        if want.kind in ("timestamp", "date"):
            outside = (F.year(value) < FIRST_YEAR) | (F.year(value) > LAST_YEAR)
            broken[f"{name} lies outside the years {FIRST_YEAR} to {LAST_YEAR}"] = outside
        if want.required:
            broken[f"{name} is missing"] = given.isNull()
        values[name] = value
    reasons = [F.when(holds, F.lit(reason)) for reason, holds in broken.items()]
    rows = raw.select(
        *(value.alias(name) for name, value in values.items()),
        F.coalesce(*reasons).alias(REASON) if reasons else F.lit(None).cast("string").alias(REASON),
        F.to_json(F.struct(*map(_column, types))).alias(ROW),
    )
    own = [F.when(holds, F.lit(reason)) for reason, holds in rules.items()]
    return rows.withColumn(REASON, F.coalesce(REASON, *own))


def _column(name: str) -> Column:
    """A column of any name."""
    quoted = name.replace("`", "``")
    return F.col(f"`{quoted}`")


def _sql_type(kind: str) -> str:
    return {"list": "array<string>", "map": _MAP, "any": "string"}.get(kind, kind)


def _blank_as_null(column: Column, kind: str) -> Column:
    return F.when(F.trim(column) != "", column) if kind == "string" else column


def _typed(column: Column, given: str, kind: str, zone: str) -> Column:
    """The value in its type; null where it cannot be read as one."""
    base = given.split("(")[0]
    if base == "void":  # a column of a file in which it is always empty
        return F.lit(None).cast(_sql_type(kind))
    if kind == "any":
        return column
    if kind == "list":
        return _list(column, given)
    if kind == "map":
        return _map(column, given)
    if kind == "string":
        return _text(column, base)
    if kind in ("double", "float"):
        number = _number(column, base).cast(kind)
        return F.when(F.abs(number) < float("inf"), number)
    if kind in ("bigint", "int"):
        return _whole(column, base, _LARGEST[kind]).cast(kind)
    if kind == "boolean":
        text = F.lower(F.trim(column.cast("string")))
        return F.when(text.isin(*_TRUE), True).when(text.isin(*_FALSE), False)
    moment = _moment(column, base, zone)
    if kind == "date" and base == "date":
        return column
    local = F.from_utc_timestamp(moment, zone) if kind == "date" else moment
    return local.cast(kind)


def _text(column: Column, given: str) -> Column:
    """Whole numbers are written without a point: ids with gaps are floats in many files."""
    if given in ("float", "double", "decimal"):
        whole = (F.floor(column) == column) & (F.abs(column) < 1e15)
        shown = F.when(whole, column.cast("bigint").cast("string"))
        return shown.otherwise(F.when(~F.isnan(column.cast("double")), column.cast("string")))
    return column.cast("string") if given == "string" or _plain(given) else F.lit(None)


def _plain(given: str) -> bool:
    return given in (*_NUMERIC, "boolean", "date", "timestamp", "timestamp_ntz")


def _number(column: Column, given: str) -> Column:
    if given == "string":
        return F.when(column.rlike(_NUMBER), F.trim(column).try_cast("double"))
    if given in _NUMERIC:
        return column.cast("double")
    return F.lit(None).cast("double")


def _whole(column: Column, given: str, largest: int) -> Column:
    if given == "string":
        number = F.when(column.rlike(_WHOLE), F.trim(column).try_cast("bigint"))
        number = F.coalesce(number, _whole(_number(column, given), "double", largest))
    elif given in ("float", "double", "decimal"):
        exact = (F.floor(column) == column) & (F.abs(column) < 2.0**63)
        number = F.when(exact, column).try_cast("bigint")
    else:
        number = column.try_cast("bigint") if given in _NUMERIC else F.lit(None).cast("bigint")
    return F.when(F.abs(number) <= largest, number)


def _moment(column: Column, given: str, zone: str) -> Column:
    """An instant; what has no zone of its own is local time."""
    if given == "string":
        text = F.trim(column)
        with_zone = text.rlike(_MOMENT + _OFFSET)
        instant = F.when(with_zone, text.try_cast("timestamp"))
        local = F.when(text.rlike(_MOMENT + r"\s*$"), text.try_cast("timestamp"))
        return F.coalesce(instant, F.to_utc_timestamp(local, zone))
    if given == "timestamp":
        return column
    if given in ("timestamp_ntz", "date"):
        return F.to_utc_timestamp(column.cast("timestamp"), zone)
    return F.lit(None).cast("timestamp")


def _list(column: Column, given: str) -> Column:
    """Names from an array, or from a text with commas, semicolons or bars between them."""
    if given.startswith("array<"):
        return column.cast("array<string>")
    if given != "string":
        return F.lit(None).cast("array<string>")
    bare = F.regexp_replace(column, r"""[\[\]"']""", "")
    return F.transform(F.split(bare, r"[,;|]"), F.trim)


def _map(column: Column, given: str) -> Column:
    """Numbers by name from a map, a record, or a text of JSON; without those that are null."""
    if given.startswith("struct<"):
        column = F.from_json(F.to_json(column), _MAP)
    elif given == "string":
        column = F.from_json(column, _MAP)
    elif given.startswith("map<"):
        column = column.cast(_MAP)
    else:
        return F.lit(None).cast(_MAP)
    return F.map_filter(column, lambda _, value: value.isNotNull())
