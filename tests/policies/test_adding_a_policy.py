"""docs/adding-a-policy.md does what it says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from policies.policy import POLICIES


def test_the_page_runs_from_top_to_bottom(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All Python of the page runs as it stands: the new policy decides, is promoted and loads."""
    text = (repository / "docs" / "adding-a-policy.md").read_text(encoding="utf-8")
    code = "\n".join(re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL))
    printed: list[Any] = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("policies.policy.POLICIES", dict(POLICIES))
    exec(compile(code, "adding-a-policy.md", "exec"), {"print": lambda *each: printed.append(each)})
    assert printed[1][0] == "promote"
    assert (tmp_path / "win-back" / "policy.json").is_file()
