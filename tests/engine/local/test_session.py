"""The local session: Spark Connect, Delta, three-part names, no output, tables that last."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from engine.data.spark import register_tables, warehouse
from engine.errors import JobError, TableError
from engine.local import java
from engine.local.session import session

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import SparkSession

SCHEMA = "juan_dev.platform_test"
SCRIPT = """
import sys
from pathlib import Path
from engine.local.session import session, stop
spark = session(Path(sys.argv[1]), "juan_dev", cache=Path(sys.argv[2]))
{body}
stop(spark)
"""


@pytest.fixture
def schema(spark: SparkSession) -> str:
    """A schema for these tests."""
    spark.sql(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
    return SCHEMA


def test_it_is_a_connect_session_as_on_serverless(spark: SparkSession) -> None:
    """What serverless compute refuses fails here, too."""
    assert type(spark).__module__ == "pyspark.sql.connect.session"
    with pytest.raises(Exception, match=r"JVM_ATTRIBUTE_NOT_SUPPORTED|not supported"):
        _ = spark.sparkContext


def test_time_is_utc_and_casts_are_strict(spark: SparkSession) -> None:
    """The session's zone is UTC, and a failed cast is an error instead of a null."""
    assert spark.sql("SELECT current_timezone()").first()[0] == "UTC"  # type: ignore[index]
    with pytest.raises(Exception, match="CAST_INVALID_INPUT"):
        spark.sql("SELECT CAST('a' AS INT)").collect()


def test_tables_are_written_merged_and_read_by_three_part_names(
    spark: SparkSession, schema: str
) -> None:
    """saveAsTable makes Delta tables by default, and MERGE works in SQL."""
    table = f"{schema}.merged"
    spark.range(3).selectExpr("id", "0 AS v").write.mode("overwrite").saveAsTable(table)
    spark.sql(
        f"MERGE INTO {table} t USING (SELECT explode(array(2, 3)) id) s ON t.id = s.id "
        "WHEN MATCHED THEN UPDATE SET v = 1 WHEN NOT MATCHED THEN INSERT (id, v) VALUES (s.id, 2)"
    )
    assert [tuple(row) for row in spark.table(table).orderBy("id").collect()] == [
        (0, 0),
        (1, 0),
        (2, 1),
        (3, 2),
    ]
    assert spark.sql(f"DESCRIBE DETAIL {table}").first()["format"] == "delta"  # type: ignore[index]


def test_a_table_whose_creation_was_stopped_can_be_created(
    spark: SparkSession, schema: str
) -> None:
    """A folder without a commit and data goes; one with data and no log is an error, and stays."""
    database = warehouse(spark) / f"{schema.split('.')[1]}.db"
    for name in ("stopped", "damaged"):
        (database / name / "_delta_log").mkdir(parents=True)
        (database / name / "_delta_log" / ".00000000000000000000.json.1.tmp").write_text("")
    (database / "damaged" / "part-0.parquet").write_text("")
    with pytest.raises(Exception, match="WITHOUT_TXN_LOG"):
        register_tables(spark, "juan_dev")
    assert (database / "damaged" / "part-0.parquet").exists()
    shutil.rmtree(database / "damaged")
    register_tables(spark, "juan_dev")
    spark.sql(f"CREATE TABLE IF NOT EXISTS {schema}.stopped (id INT) USING DELTA")
    assert spark.table(f"{schema}.stopped").isEmpty()


def test_arrow_batches_reach_this_python(spark: SparkSession) -> None:
    """mapInArrow runs in workers with this interpreter, and closures travel to them."""

    def interpreter(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        import pyarrow as arrow

        for batch in batches:
            yield arrow.record_batch({"python": [sys.executable] * batch.num_rows})

    rows = spark.range(2).mapInArrow(interpreter, "python string").collect()
    assert {row["python"] for row in rows} == {sys.executable}


def test_a_second_call_gives_the_running_session(spark: SparkSession, tmp_path: Path) -> None:
    """The same folder gives the same session; another folder is refused."""
    root = Path(str(spark.conf.get("spark.sql.warehouse.dir")).replace("file:", "")).parent
    assert session(root, "juan_dev") is spark
    with pytest.raises(JobError, match="already running"):
        session(tmp_path, "juan_dev")


def test_a_name_that_would_need_quotes_is_refused(spark: SparkSession) -> None:
    """A catalog's name goes into SQL and settings, so it must be a plain name."""
    root = Path(str(spark.conf.get("spark.sql.warehouse.dir")).replace("file:", "")).parent
    with pytest.raises(TableError, match="is not a name"):
        session(root, "juan dev; --")


@pytest.mark.integration
def test_processes_start_beside_a_session(spark: SparkSession) -> None:
    """No process is lost to the session's connection when it starts, on any Python."""
    assert spark.range(1).count() == 1
    codes = [subprocess.run([sys.executable, "-Sc", ""], check=False).returncode for _ in range(50)]
    assert codes == [0] * 50


@pytest.mark.integration
@pytest.mark.slow
def test_tables_are_there_in_the_next_process_and_nothing_is_said(
    repository: Path, tmp_path: Path
) -> None:
    """Two sessions in two processes share the tables, and neither writes to the terminal."""
    write = (
        'spark.sql("CREATE SCHEMA juan_dev.s"); spark.range(5).write.saveAsTable("juan_dev.s.t")'
        '\ntry: spark.sql("SELECT nowhere")\nexcept Exception: pass'
    )
    read = 'assert spark.table("juan_dev.s.t").count() == 5'
    read += '\nspark.range(1).write.mode("overwrite").saveAsTable("juan_dev.s.t")'
    for body in (write, read):
        arguments = [
            sys.executable,
            "-c",
            SCRIPT.format(body=body),
            tmp_path / "it's",
            repository / ".local",
        ]
        answer = subprocess.run(
            arguments, cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert (answer.returncode, answer.stdout, answer.stderr) == (0, "", "")
    assert [each.name for each in tmp_path.iterdir()] == ["it's"]


@pytest.mark.parametrize(("text", "major"), [('"17.0.9"', 17), ('"1.8.0_402"', 8), ('"21"', 21)])
def test_the_version_of_a_java_is_asked_for(tmp_path: Path, text: str, major: int) -> None:
    """Old and new ways to write Java's version are understood."""
    fake = tmp_path / "java"
    fake.write_text(f"#!/bin/sh\necho 'openjdk version {text} 2024' >&2\n")
    fake.chmod(0o755)
    assert java._version(fake) == major


def test_a_java_that_is_too_old_gives_way_to_the_packaged_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With Java 11 on the machine the packaged runtime is used; with neither, the error says so."""
    old = tmp_path / "bin" / "java"
    old.parent.mkdir()
    old.write_text("#!/bin/sh\necho 'openjdk version \"11.0.2\"' >&2\n")
    old.chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(old.parent))
    monkeypatch.setattr(java, "_packaged_java", lambda: Path("/packaged/java"))
    shim = java.prepare_java(tmp_path / "cache") / "bin" / "java"
    assert 'exec "/packaged/java"' in shim.read_text()
    monkeypatch.setattr(java, "_packaged_java", lambda: None)
    with pytest.raises(JobError, match="Java 17 or later"):
        java.prepare_java(tmp_path / "cache")


@pytest.mark.integration
def test_the_front_drops_the_vector_module_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Arguments reach Java unchanged, spaces and quotes included, but for the one module."""
    real = tmp_path / "real"
    real.write_text('#!/bin/sh\nfor each do echo "<$each>"; done\n')
    real.chmod(0o755)
    monkeypatch.setattr(java, "_installed_java", lambda: real)
    shim = java.prepare_java(tmp_path / "cache") / "bin" / "java"
    arguments: list[Any] = [shim, "-Da=b c", "--add-modules=jdk.incubator.vector", "it's", "*"]
    said = subprocess.run(arguments, capture_output=True, text=True, check=True).stdout
    assert said.split("\n")[:-1] == ["<-Da=b c>", "<it's>", "<*>"]
