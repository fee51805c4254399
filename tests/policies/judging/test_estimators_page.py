"""docs/estimators.md tells of every estimator and interval there is."""

from __future__ import annotations

from pathlib import Path

import pytest

from policies.estimating.estimators import ESTIMATORS
from policies.judging.question import INTERVALS


@pytest.mark.parametrize("name", ESTIMATORS)
def test_every_estimator_has_a_row(repository: Path, name: str) -> None:
    """Each estimator has its row: contribution, bias and variance, when it fails, source."""
    lines = (repository / "docs" / "estimators.md").read_text(encoding="utf-8").splitlines()
    [row] = [line for line in lines if line.startswith(f"| `{name}` |")]
    assert len([cell for cell in row.strip("|").split(" | ") if cell.strip()]) == 5


def test_the_example_runs(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The code at the top of the page works as it stands."""
    text = (repository / "docs" / "estimators.md").read_text(encoding="utf-8")
    code = text.split("```python\n")[1].split("```")[0]
    exec(compile(code, "docs/estimators.md", "exec"), {})
    said = capsys.readouterr().out
    assert "effective_n" in said
    assert "Comparison(difference=" in said


def test_every_interval_is_explained(repository: Path) -> None:
    """Each interval is named in the table of intervals."""
    text = (repository / "docs" / "estimators.md").read_text(encoding="utf-8")
    for name in INTERVALS:
        assert f"`{name}`" in text, name
