"""A company's tables and files as Spark frames; what cannot be read as a whole is refused."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import reduce
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.errors import PySparkException
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import from_arrow_schema
from pyspark.sql.types import StringType, StructField, StructType

from engine.errors import SourceError
from engine.source_definitions import FILE_FORMATS, UpstreamTable

UNREAD = "_corrupt_record"  # the line of a CSV or JSON file that does not fit; null where it does


def read_table(
    spark: SparkSession, described: UpstreamTable, source_path: str, where: str
) -> DataFrame:
    """All rows of a table or of its files; `UNREAD` holds the lines that do not fit.

    Args:
        spark: the session.
        described: the table's place and format.
        source_path: the folder that files are relative to.
        where: the place of its description, for messages.

    Raises:
        SourceError: nothing is there, files are empty or of several formats, or do not fit.
    """
    if described.is_table:
        if not _exists(spark, described.place):
            hint = "correct `from`, or create the table"
            raise SourceError(f"There is no table {described.place}.", where=where, hint=hint)
        return spark.table(described.place)
    files = _files(described.place, source_path, where)
    form = described.format or _format_of(files, where)
    try:
        return _READERS[form](spark, described, files)
    except (PySparkException, pa.ArrowException, OSError, EOFError, zlib.error) as error:
        raise unreadable(error, described.place, where) from error


def _exists(spark: SparkSession, table: str) -> bool:
    try:
        return spark.catalog.tableExists(table)
    except PySparkException as error:
        if "NAMESPACE" in str(error) or "CATALOG" in str(error):  # there is no such catalog
            return False
        raise


def unreadable(error: Exception, place: str, where: str) -> SourceError:
    """What the error of a reader says, in its first line."""
    said = str(error).strip().splitlines() or [type(error).__name__]
    return SourceError(
        f"{place} cannot be read: {said[0][:300].rstrip('.')}.",
        where=where,
        hint="correct the files, or `format`, `delimiter` and `encoding`; nothing was written",
    )


def _files(place: str, source_path: str, where: str) -> list[Path]:
    """The files, and folders, that a place names."""
    if not source_path and not Path(place).is_absolute():
        what, hint = f"{place} is relative to source_path, which is empty.", "set source_path"
        raise SourceError(what, where=where, hint=f"{hint}: --params source_path=FOLDER")
    pattern = (Path(source_path) / place).absolute()
    start = Path(pattern.anchor)
    found = sorted(start.glob(str(pattern.relative_to(start))))
    if not found:
        hint = "check source_path and `from`"
        raise SourceError(f"No file matches {pattern}.", where=where, hint=hint)
    if (found[0] / "_delta_log").is_dir():
        return found
    files = [file for path in found for file in (_inside(path) if path.is_dir() else [path])]
    empty = [file for file in files if file.stat().st_size == 0]
    if not files or empty:
        what = f"The file {empty[0]} is empty." if empty else f"The folder {pattern} has no files."
        raise SourceError(what, where=where, hint="remove it, or deliver it again")
    return files


def _inside(folder: Path) -> Iterable[Path]:
    """The data files below a folder, without those of Spark's own."""
    for path in sorted(folder.rglob("*")):
        inner = path.relative_to(folder).parts
        if path.is_file() and not any(part.startswith(("_", ".")) for part in inner):
            yield path


def _format_of(files: Sequence[Path], where: str) -> str:
    if files[0].is_dir():
        return "delta"
    endings = {file.name.removesuffix(".gz").rsplit(".", 1)[-1].lower() for file in files}
    formats = {FILE_FORMATS.get(ending, "") for ending in endings}
    if len(formats) != 1 or formats == {""}:
        what = f"The format of {', '.join(sorted(endings))} files is not clear."
        hint = "write format: csv, parquet, jsonl or delta"
        raise SourceError(what, where=where, hint=hint)
    return formats.pop()


def _csv(spark: SparkSession, described: UpstreamTable, files: Sequence[Path]) -> DataFrame:
    options: dict[str, Any] = {
        "header": True,
        "sep": described.delimiter,
        "encoding": described.encoding,
        "multiLine": True,
        "escape": '"',
        "enforceSchema": False,  # else the columns of a second file are taken by position
    }
    parts = []
    for names in _grouped(files, _header):
        found = spark.read.csv(names, **options)
        schema = StructType([*found.schema.fields, StructField(UNREAD, StringType())])
        parts.append(
            spark.read.schema(schema).csv(
                names, mode="PERMISSIVE", columnNameOfCorruptRecord=UNREAD, **options
            )
        )
    return _united(parts)


def _header(file: Path) -> bytes:
    with gzip.open(file) if file.suffix == ".gz" else file.open("rb") as lines:
        return lines.readline().strip()


def _grouped(files: Sequence[Path], kind: Callable[[Path], object]) -> list[list[str]]:
    """The names of files of one kind together, so that a thousand files are few plans."""
    groups: dict[object, list[str]] = {}
    for file in files:
        groups.setdefault(kind(file), []).append(str(file))
    return list(groups.values())


def _jsonl(spark: SparkSession, described: UpstreamTable, files: Sequence[Path]) -> DataFrame:
    names = [str(file) for file in files]
    return spark.read.json(names, primitivesAsString=True, encoding=described.encoding)


def _delta(spark: SparkSession, described: UpstreamTable, files: Sequence[Path]) -> DataFrame:
    return _united([spark.read.format("delta").load(str(file)) for file in files])


def _parquet(spark: SparkSession, described: UpstreamTable, files: Sequence[Path]) -> DataFrame:
    """Spark refuses times in nanoseconds, which pandas writes: they are read as numbers."""
    parts = []
    for names in _grouped(files, lambda file: str(pq.read_schema(file).remove_metadata())):
        found = pq.read_schema(names[0])
        fine = {
            field.name: "TIMESTAMP" if field.type.tz else "TIMESTAMP_NTZ"
            for field in found
            if pa.types.is_timestamp(field.type) and field.type.unit == "ns"
        }
        empty = [field.name for field in found if pa.types.is_null(field.type)]
        read = spark.read.schema(_schema(found, fine, empty)).parquet(*names)
        moments = {
            name: F.expr(f"timestamp_micros({_quoted(name)} div 1000)").cast(kind)
            for name, kind in fine.items()
        }
        parts.append(_with(read, {**moments, **{name: F.lit(None) for name in empty}}))
    return _united(parts)


def _schema(found: pa.Schema, numbers: Collection[str], empty: Collection[str]) -> StructType:
    """What Spark reads a Parquet file as: whole numbers in some columns, others not at all."""
    fields = []
    for field in found:
        kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
        if field.name not in empty:
            fields.append(pa.field(field.name, pa.int64() if field.name in numbers else kind))
    return from_arrow_schema(pa.schema(fields), prefer_timestamp_ntz=True)


def _with(rows: DataFrame, columns: dict[str, Column]) -> DataFrame:
    return rows.withColumns(columns) if columns else rows


def _quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


def _united(parts: Sequence[DataFrame]) -> DataFrame:
    """All rows; a column that is a text in one part and a number in another is a text."""
    kinds: dict[str, set[str]] = {}
    for part in parts:
        for field in part.schema:
            kinds.setdefault(field.name, set()).add(field.dataType.typeName())
    texts = [
        name for name, found in kinds.items() if "string" in found and len(found - {"void"}) > 1
    ]
    alike = []
    for part in parts:
        own = [name for name in texts if name in part.columns]
        alike.append(_with(part, {name: F.col(_quoted(name)).cast("string") for name in own}))
    return reduce(lambda one, other: one.unionByName(other, allowMissingColumns=True), alike)


_READERS = {"csv": _csv, "jsonl": _jsonl, "parquet": _parquet, "delta": _delta}
