"""What serverless compute refuses is not used, and some walls that imports cannot express."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

SPARK = Path("engine/data/spark.py")
FORBIDDEN = {
    "sparkContext": r"\bsparkContext\b",
    "RDDs": r"\.rdd\b",
    "the JVM": r"_jsparkSession|_jvm\b|_jdf\b",
    "persist": r"\.persist\(",
    "cache": r"\.cache\(\)",
    "DeltaTable": r"\bdelta\.tables\b|\bDeltaTable\b",
    "settings": r"\bspark\.conf\.set\(",
    "stages of models": r"transition_model_version_stage|get_latest_versions|\bstages?=",
}


def sources(repository: Path, *folders: str) -> dict[Path, str]:
    """Every Python file below `folders`, by its path in the repository."""
    files = [each for folder in folders for each in (repository / folder).rglob("*.py")]
    return {each.relative_to(repository): each.read_text(encoding="utf-8") for each in files}


def users(repository: Path, pattern: str, *folders: str) -> list[str]:
    """Places that match `pattern`, as file:line."""
    return [
        f"{path}:{number}"
        for path, text in sources(repository, *folders).items()
        for number, line in enumerate(text.splitlines(), start=1)
        if re.search(pattern, line) and not line.lstrip().startswith("#")
    ]


@pytest.mark.parametrize("what", FORBIDDEN)
def test_spark_is_used_as_serverless_allows(repository: Path, what: str) -> None:
    """No engine code and no notebook uses what serverless compute refuses."""
    found = users(repository, FORBIDDEN[what], "engine", "notebooks")
    assert [each for each in found if not each.startswith(str(SPARK))] == []


def test_the_patterns_find_what_they_are_for(repository: Path) -> None:
    """The search is alive: the one module that touches the JVM is found by it."""
    assert {each.split(":")[0] for each in users(repository, FORBIDDEN["the JVM"], "engine")} == {
        str(SPARK)
    }


def test_the_environment_is_read_in_one_module(repository: Path) -> None:
    """Only engine.environment touches the process's environment variables."""
    found = users(
        repository, r"\bos\.(environ|getenv|putenv)\b", "engine", "policies", "simulation"
    )
    assert {each.split(":")[0] for each in found} == {"engine/environment.py"}


def test_dbutils_stays_in_notebooks_and_the_runner(repository: Path) -> None:
    """Engine code takes parameters; only notebooks and the local runner know dbutils."""
    found = users(repository, r"\bdbutils\b", "engine", "policies", "simulation")
    assert {each.split(":")[0] for each in found} <= {
        "engine/local/notebook.py",
        "engine/local/run.py",
    }


def test_notebooks_are_thin_and_need_no_path(repository: Path) -> None:
    """A notebook has under 80 lines and imports the installed wheel, without touching sys.path.

    A logged model adds the code that it brings.
    """
    notebooks = sources(repository, "notebooks")
    assert {
        path: text.count("\n") for path, text in notebooks.items() if text.count("\n") >= 80
    } == {}
    found = users(repository, r"sys\.path", "notebooks", "engine")
    assert {each.split(":")[0] for each in found} == {"engine/models/served.py"}


def test_the_jobs_notebooks_do_not_branch(repository: Path) -> None:
    """A notebook of a job does the same wherever it runs: it has no conditions and no loops that
    could end it early, and asks nothing of the machine.
    """
    branches = (ast.If, ast.IfExp, ast.Try, ast.While)
    for path in (repository / "notebooks").glob("0*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        found = [node for node in ast.walk(tree) if isinstance(node, branches)]
        assert not found, f"{path.name}:{found[0].lineno}"
    asked = r"on_databricks|local_root|os\.environ|DATABRICKS_RUNTIME|platform\."
    assert users(repository, asked, "notebooks") == []


def test_notebooks_display_frames_and_figures(repository: Path) -> None:
    """`display` of a Python list fails on a workspace where the list is empty."""
    assert users(repository, r"display\(\s*[\[{(]", "notebooks") == []


def test_no_registry_host_is_written_down(repository: Path) -> None:
    """Where packages come from is the machine's business; no code names a host of a registry."""
    hosts = r"repo1?\.maven|maven\.org|pypi\.org|pythonhosted|repos\.spark"
    assert (
        users(repository, hosts, "engine", "policies", "simulation", "notebooks", "scripts") == []
    )
