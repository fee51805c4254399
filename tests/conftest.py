"""Markers by folder, and one Spark session for all tests that ask for it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

TESTS = Path(__file__).parent
REPOSITORY = TESTS.parent
# Small data in one process: interpreted plans start sooner than compiled ones. For tests only.
FAST = {
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.sql.adaptive.enabled": "false",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Each test is `unit` or `integration`: by its folder, its own marker, or its use of Spark."""
    for item in items:
        if any(item.get_closest_marker(each) for each in ("unit", "integration")):
            continue
        folder = item.path.relative_to(TESTS).parts[0]
        uses_spark = "spark" in getattr(item, "fixturenames", ())
        item.add_marker("integration" if folder == "story" or uses_spark else "unit")


@pytest.fixture(scope="session")
def repository() -> Path:
    """The folder with databricks.yml."""
    return REPOSITORY


@pytest.fixture(scope="session")
def real_file(repository: Path) -> Path:
    """The real log, which is not part of the repository."""
    given = os.environ.get("NBA_HILLSTROM")
    path = Path(given) if given else repository.parent / "shared" / "data" / "hillstrom.csv.gz"
    if not path.is_file():
        pytest.skip("the Hillstrom log is not here; NBA_HILLSTROM=PATH says where it is")
    return path


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    """A local session with an empty warehouse and the catalog `juan_dev`."""
    from engine.local.session import session, stop

    root = tmp_path_factory.mktemp("spark") / "dev"
    running = session(root, "juan_dev", app="tests", cache=REPOSITORY / ".local")
    for name, value in FAST.items():
        running.conf.set(name, value)
    yield running
    stop(running)
