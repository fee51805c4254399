"""The Spark session: the platform's own on Databricks, Spark Connect with Delta elsewhere.

The only module that touches the JVM. A local session is served by this very process, so that
what serverless compute refuses (`sparkContext`, RDDs, most settings) is refused here as well.
"""

from __future__ import annotations

import logging
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

from engine import environment
from engine.data.java import delta_jars, prepare_java
from engine.errors import JobError, TableError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


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
        JobError: Java or Delta's jars are missing and cannot be had, or another local session
            with another root is running in this process.
        TableError: `catalog` is not a plain name.
    """
    from pyspark.sql import SparkSession

    if environment.on_databricks():
        return SparkSession.builder.getOrCreate()
    root, cache = root.resolve(), (cache or root.parent).resolve()
    running = SparkSession.getActiveSession()
    if running is None:
        running = _start(root, catalog, app, cache)
    elif _warehouse(running) != root / "warehouse":
        raise JobError(
            "a Spark session with another folder is already running in this process",
            where=str(_warehouse(running).parent),
            hint="stop it first: engine.data.spark.stop(spark)",
        )
    _name_catalog(running, catalog)
    _register_tables(running, root, catalog)
    return running


def stop(spark: SparkSession) -> None:
    """End a local session quietly; its JVM ends with this process. No effect on Databricks."""
    if not environment.on_databricks():
        spark.stop()


def _warehouse(spark: SparkSession) -> Path:
    return Path(str(spark.conf.get("spark.sql.warehouse.dir")).removeprefix("file:"))


def _start(root: Path, catalog: str, app: str, cache: Path) -> SparkSession:
    """Start Spark and its Connect server here, on a free port, with all settings from the start."""
    # Read when gRPC is imported. Up to Python 3.10 a process starts by a fork, which gRPC's own care
    # for forks aborts once in a hundred times.
    environment.provide({"GRPC_ENABLE_FORK_SUPPORT": "0"})
    from pyspark.sql import SparkSession as ClassicSession
    from pyspark.sql.connect.session import SparkSession as ConnectSession

    root.mkdir(parents=True, exist_ok=True)
    java = prepare_java(cache)
    environment.provide(
        {
            "PYSPARK_PYTHON": sys.executable,
            "PYSPARK_DRIVER_PYTHON": sys.executable,
            "SPARK_LOCAL_REMOTE": "1",  # session.stop() then stops the server, too
            "SPARK_CONNECT_MODE_ENABLED": "1",
        }
    )
    for chatty in ("SQLQueryContextLogger", "DataFrameQueryContextLogger", "pyspark.sql.connect"):
        logging.getLogger(chatty).setLevel(logging.CRITICAL)  # these errors are raised, too
    # `builder.remote("local[2]")` does the same on a fixed port, which allows one run a machine.
    settings = _settings(root, catalog, app, delta_jars(cache, java))
    with environment.altered(
        JAVA_HOME=str(java),
        SPARK_LOCAL_IP="127.0.0.1",
        SPARK_HOME=None,
        SPARK_REMOTE=None,
        SPARK_CONF_DIR=None,
        PYSPARK_SUBMIT_ARGS=None,
    ):
        ConnectSession._start_connect_server("local[2]", dict(settings))
    jvm: Any = ClassicSession._instantiatedSession._jvm
    port = _companion(jvm, "SparkConnectService").localPort()
    spark = ConnectSession.builder.remote(f"sc://localhost:{port}").getOrCreate()
    _warehouse(spark)  # the server makes its side of the session at the first request
    return spark


def _settings(root: Path, catalog: str, app: str, jars: list[Path]) -> dict[str, str]:
    delta = "org.apache.spark.sql.delta.catalog.DeltaCatalog"
    log4j2 = (Path(__file__).parent / "log4j2.properties").as_uri()
    return {
        "spark.app.name": app,
        "spark.jars": ",".join(map(str, jars)),
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.memory": "2g",
        "spark.driver.extraJavaOptions": f"-Dlog4j2.configurationFile={log4j2}"
        " -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Duser.timezone=UTC",
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
        f"spark.sql.catalog.{_plain(catalog)}": delta,
    }


def _plain(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise TableError(
            f"{name!r} is not a name for a catalog, schema or table",
            hint="use letters, digits and underscores, and no digit first",
        )
    return name


def _companion(jvm: Any, name: str) -> Any:
    return getattr(getattr(jvm, f"org.apache.spark.sql.connect.service.{name}$"), "MODULE$")


def _name_catalog(spark: SparkSession, catalog: str) -> None:
    """Make `catalog` another name of the session's own catalog (Delta's needs one to lean on)."""
    from pyspark.sql import SparkSession as ClassicSession

    jvm: Any = ClassicSession._instantiatedSession._jvm
    manager = _companion(jvm, "SparkConnectService").sessionManager()
    key = manager.listActiveSessions().apply(0).key()
    server = manager.getIsolatedSessionIfPresent(key).get().session()
    catalogs = server.sessionState().catalogManager()
    catalogs.catalog(_plain(catalog)).setDelegateCatalog(catalogs.v2SessionCatalog())


def _register_tables(spark: SparkSession, root: Path, catalog: str) -> None:
    """Tell the catalog, which forgets between sessions, of the tables that lie in the warehouse."""
    for log in sorted((root / "warehouse").glob("*.db/*/_delta_log")):
        schema, table = log.parent.parent.name[: -len(".db")], log.parent.name
        place = str(log.parent).replace("'", "\\'")
        spark.sql(f"CREATE SCHEMA IF NOT EXISTS {catalog}.{schema}")
        spark.sql(
            f"CREATE TABLE IF NOT EXISTS {catalog}.{schema}.{table} USING delta LOCATION '{place}'"
        )
