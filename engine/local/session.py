"""The Spark session: Spark Connect with Delta on a laptop, the platform's own on Databricks."""

from __future__ import annotations

import logging
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Optional

from engine import environment
from engine.data import spark as server
from engine.errors import JobError, TableError
from engine.local.java import delta_jars, prepare_java
from engine.temporary import own_folder

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def session(
    root: Path, catalog: str, *, app: str = "nba", cache: Optional[Path] = None
) -> SparkSession:
    """The session in which everything runs; call it as often as you like.

    Args:
        root: folder of a local run; tables live in `root/warehouse`. Unused on Databricks.
        catalog: first part of the three-part table names, as on Databricks.
        app: the name Spark shows.
        cache: folder for the Java front and Delta's jars; `root`'s parent by default.

    Raises:
        JobError: Java or Delta's jars are missing and cannot be fetched, or another local session
            with another root is running in this process.
        TableError: `catalog` is not a plain name.
    """
    from pyspark.sql import SparkSession

    if environment.on_databricks():
        return SparkSession.builder.getOrCreate()
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", catalog):
        raise TableError(
            f"{catalog!r} is not a name for a catalog",
            hint="use letters, digits and underscores, and no digit first",
        )
    root, cache = root.resolve(), (cache or root.parent).resolve()
    running = SparkSession.getActiveSession()
    if running is None:
        running = _start(root, catalog, app, cache)
    elif server.warehouse(running) != root / "warehouse":
        raise JobError(
            "a Spark session with another folder is already running in this process",
            where=str(server.warehouse(running).parent),
            hint="stop it first: engine.local.session.stop(spark)",
        )
    server.name_catalog(running, catalog)
    server.register_tables(running, catalog)
    return running


def stop(spark: SparkSession) -> None:
    """End a local session quietly; its JVM ends with this process. No effect on Databricks."""
    if not environment.on_databricks():
        spark.stop()


def _start(root: Path, catalog: str, app: str, cache: Path) -> SparkSession:
    """Start Spark with the Java, the jars and the variables that it needs."""
    environment.provide(
        # gRPC reads this when it is imported. Up to Python 3.10 a process starts by a fork, which
        # gRPC's own care for forks aborts once in a hundred times.
        GRPC_ENABLE_FORK_SUPPORT="0",
        SPARK_LOCAL_REMOTE="1",  # session.stop() then stops the server, too
        SPARK_CONNECT_MODE_ENABLED="1",
    )
    for name in ("SQLQueryContextLogger", "DataFrameQueryContextLogger", "pyspark.sql.connect"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # these errors are raised, too
    root.mkdir(parents=True, exist_ok=True)
    java = prepare_java(cache)
    with environment.altered(
        JAVA_HOME=str(java),
        LC_ALL="C.UTF-8",  # with a plain C Java cannot name files outside of ASCII
        PYSPARK_PYTHON=sys.executable,
        PYSPARK_DRIVER_PYTHON=sys.executable,
        SPARK_LOCAL_IP="127.0.0.1",
        SPARK_HOME=None,
        SPARK_REMOTE=None,
        SPARK_CONF_DIR=None,
        SPARK_LOCAL_DIRS=None,
        PYSPARK_SUBMIT_ARGS=None,
    ):
        return server.start(_settings(root, catalog, app, delta_jars(cache, java)))


def _settings(root: Path, catalog: str, app: str, jars: list[Path]) -> dict[str, str]:
    delta = "org.apache.spark.sql.delta.catalog.DeltaCatalog"
    shuffled = own_folder(root / "spark")  # customers' rows: for this user's eyes, and not to stay
    shuffled.mkdir(mode=0o700, parents=True)
    log4j2 = (Path(__file__).parent / "log4j2.properties").as_uri()
    return {
        "spark.app.name": app,
        "spark.local.dir": str(shuffled),
        "spark.jars": ",".join(map(str, jars)),
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.memory": "2g",
        "spark.driver.extraJavaOptions": f"-Dlog4j2.configurationFile={log4j2}"
        " -XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=192m -XX:+UseSerialGC -Duser.timezone=UTC",
        "spark.sql.connect.serverStacktrace.enabled": "false",
        "spark.connect.grpc.binding.address": "127.0.0.1",
        "spark.connect.grpc.binding.port": "0",
        "spark.default.parallelism": "2",
        "spark.sql.shuffle.partitions": "2",
        "spark.sql.sources.parallelPartitionDiscovery.parallelism": "2",
        "spark.databricks.delta.snapshotPartitions": "2",
        "spark.sql.execution.arrow.pyspark.enabled": "true",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.ansi.enabled": "true",
        "spark.sql.sources.default": "delta",
        "spark.sql.warehouse.dir": str(root / "warehouse"),
        "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
        "spark.sql.catalog.spark_catalog": delta,
        f"spark.sql.catalog.{catalog}": delta,
    }
