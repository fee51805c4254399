"""A company's tables and files as Spark frames; what cannot be read as a whole is refused."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from functools import reduce
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession
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
    except (PySparkException, pa.ArrowException) as error:
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
    pattern = Path(source_path) / place
    start = Path(pattern.anchor)  # "" where the path is relative
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
    for file in files:
        found = spark.read.csv(str(file), **options)
        schema = StructType([*found.schema.fields, StructField(UNREAD, StringType())])
        parts.append(
            spark.read.schema(schema).csv(
                str(file), mode="PERMISSIVE", columnNameOfCorruptRecord=UNREAD, **options
            )
        )
    return _united(parts)


def _jsonl(spark: SparkSession, described: UpstreamTable, files: Sequence[Path]) -> DataFrame:
    names = [str(file) for file in files]
    return spark.read.json(names, primitivesAsString=True, encoding=described.encoding)


def _delta(spark: SparkSession, described: UpstreamTable, files: Sequence[Path]) -> DataFrame:
    return _united([spark.read.format("delta").load(str(file)) for file in files])


def _parquet(spark: SparkSession, described: UpstreamTable, files: Sequence[Path]) -> DataFrame:
    """Spark refuses times in nanoseconds, which pandas writes: they are read as numbers."""
    groups: dict[tuple[tuple[str, str], ...], list[str]] = {}
    for file in files:
        schema = pq.read_schema(file)
        fine = [
            (field.name, "TIMESTAMP" if field.type.tz else "TIMESTAMP_NTZ")
            for field in schema
            if pa.types.is_timestamp(field.type) and field.type.unit == "ns"
        ]
        key = (*fine, *((name, "") for name in (sorted(schema.names) if fine else ())))
        groups.setdefault(key, []).append(str(file))
    parts = []
    for key, names in groups.items():
        numbers = {name: kind for name, kind in key if kind}
        if not numbers:
            parts.append(spark.read.option("mergeSchema", True).parquet(*names))
            continue
        read = spark.read.schema(_schema(names[0], numbers)).parquet(*names)
        moments = {
            name: F.timestamp_micros(F.floor(F.col(f"`{name}`") / 1000).cast("bigint")).cast(kind)
            for name, kind in numbers.items()
        }
        parts.append(read.withColumns(moments))
    return _united(parts)


def _schema(file: str, numbers: Collection[str]) -> StructType:
    """What Spark reads a Parquet file as, with whole numbers in these columns."""
    found = pq.read_schema(file)
    for index, field in enumerate(found):
        if field.name in numbers:
            found = found.set(index, pa.field(field.name, pa.int64()))
        elif pa.types.is_dictionary(field.type):
            found = found.set(index, pa.field(field.name, field.type.value_type))
    return from_arrow_schema(found, prefer_timestamp_ntz=True)


def _united(parts: Sequence[DataFrame]) -> DataFrame:
    return reduce(lambda one, other: one.unionByName(other, allowMissingColumns=True), parts)


_READERS = {"csv": _csv, "jsonl": _jsonl, "parquet": _parquet, "delta": _delta}
