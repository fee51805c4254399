"""The workflows of GitHub: valid, pinned, and without more rights than they need."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

FOLDER = ".github/workflows"


@pytest.fixture
def workflows(repository: Path) -> list[Path]:
    """The files of all workflows."""
    files = sorted((repository / FOLDER).glob("*.yml"))
    assert files
    return files


def run(program: str, *arguments: str) -> None:
    """Run a linter of the development environment."""
    found = shutil.which(program, path=str(Path(sys.executable).parent))
    if found is None:
        pytest.skip(f"{program} needs Python 3.10")
    answer = subprocess.run([found, *arguments], capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stdout + answer.stderr


@pytest.mark.integration
def test_workflows_follow_the_schema(workflows: list[Path]) -> None:
    """GitHub's own schema accepts each file."""
    run("check-jsonschema", "--builtin-schema", "vendor.github-workflows", *map(str, workflows))


@pytest.mark.integration
def test_workflows_are_safe(workflows: list[Path]) -> None:
    """A security linter finds nothing of medium or higher severity."""
    run("zizmor", "--offline", "--min-severity", "medium", *map(str, workflows))


def test_actions_are_pinned(workflows: list[Path]) -> None:
    """Each action of somebody else is named by a commit, with its version beside it."""
    for path in workflows:
        for used in re.findall(r"uses: (.+)", path.read_text(encoding="utf-8")):
            own = used.startswith("./")
            assert own or re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v\d[\d.]*", used), used


def test_a_pull_request_runs_what_the_project_runs(repository: Path) -> None:
    """The checks of a pull request are `.ci/run`, and the bundle's for every target."""
    check = yaml.safe_load((repository / FOLDER / "check.yml").read_text(encoding="utf-8"))
    steps = check["jobs"]["tests"]["steps"]
    assert {"run": ".ci/run"} in steps
    bundle = yaml.safe_load((repository / "databricks.yml").read_text(encoding="utf-8"))
    assert check["jobs"]["bundle"]["strategy"]["matrix"]["target"] == list(bundle["targets"])


def test_no_workflow_holds_a_secret(workflows: list[Path]) -> None:
    """The workspace trusts GitHub's own token (OIDC); nothing is stored that could leak."""
    for path in workflows:
        text = path.read_text(encoding="utf-8")
        assert "secrets." not in text
        assert "DATABRICKS_TOKEN" not in text
        if "databricks " in text:
            assert "DATABRICKS_AUTH_TYPE: github-oidc" in text
