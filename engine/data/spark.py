"""Everything that touches the JVM: the local Connect server, its catalog and its known tables.

The server runs in this very process, so that what serverless compute refuses (`sparkContext`,
RDDs, most settings) is refused on a laptop as well.
"""

from __future__ import annotations

import shutil
import signal
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def start(settings: Mapping[str, str]) -> SparkSession:
    """Start a Connect server in this process, on a free port, and connect to it.

    Args:
        settings: Spark's; most of them cannot be changed later.
    """
    from pyspark.sql.connect.session import SparkSession as ConnectSession

    # `builder.remote("local[2]")` does the same on a fixed port, which allows one run a machine.
    on_interrupt = signal.getsignal(signal.SIGINT)
    ConnectSession._start_connect_server("local[2]", dict(settings))
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, on_interrupt)  # Spark has put its own in its place
    port = _service().localPort()
    spark = ConnectSession.builder.remote(f"sc://localhost:{port}").getOrCreate()
    warehouse(spark)  # the server makes its side of the session at the first request
    return spark


def warehouse(spark: SparkSession) -> Path:
    """The folder of the session's tables."""
    return Path(str(spark.conf.get("spark.sql.warehouse.dir")).removeprefix("file:"))


def name_catalog(spark: SparkSession, catalog: str) -> None:
    """Make `catalog` another name of the session's own catalog (Delta's must delegate to one)."""
    manager = _service().sessionManager()
    key = manager.listActiveSessions().apply(0).key()
    server = manager.getIsolatedSessionIfPresent(key).get().session()
    catalogs = server.sessionState().catalogManager()
    catalogs.catalog(catalog).setDelegateCatalog(catalogs.v2SessionCatalog())


def register_tables(spark: SparkSession, catalog: str) -> None:
    """Register the tables in the warehouse: the catalog forgets them between sessions.

    A process that was killed while it created a table left a folder without a commit or data; it
    goes, so that the table can be created.
    """
    for log in sorted(warehouse(spark).glob("*.db/*/_delta_log")):
        if not any(log.glob("[0-9]*")) and not any(log.parent.glob("**/*.parquet")):
            shutil.rmtree(log.parent)
            continue
        schema, table = log.parent.parent.name[: -len(".db")], log.parent.name
        folder = str(log.parent).replace("'", "\\'")
        spark.sql(f"CREATE SCHEMA IF NOT EXISTS {catalog}.{schema}")
        spark.sql(
            f"CREATE TABLE IF NOT EXISTS {catalog}.{schema}.{table} USING delta LOCATION '{folder}'"
        )


def _service() -> Any:
    """The Connect server, as a Scala object."""
    from pyspark.sql import SparkSession as ClassicSession

    jvm: Any = ClassicSession._instantiatedSession._jvm
    name = "org.apache.spark.sql.connect.service.SparkConnectService$"
    return getattr(getattr(jvm, name), "MODULE$")
