"""YAML that remembers its lines."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.documents import dotted, read_document
from engine.errors import ConfigError

TEXT = """\
# a comment
reward:
  outcomes:
    visit: 1.0
actions:
  - id: a
    cost: 1
  - {id: b,
     cost: 2}
"""


def written(folder: Path, text: str) -> Path:
    """A file with this text."""
    path = folder / "some.yml"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        (("reward",), 2),
        (("reward", "outcomes", "visit"), 4),
        (("actions", 0), 6),
        (("actions", 0, "cost"), 7),
        (("actions", 1, "cost"), 9),
    ],
)
def test_every_key_knows_its_line(tmp_path: Path, keys: tuple[str, ...], line: int) -> None:
    """A key path leads to the line its key stands on, in block and in flow style."""
    document = read_document(written(tmp_path, TEXT))
    assert document.where(keys) == f"{document.path}:{line}, {dotted(keys)}"
    assert document.data["actions"][1] == {"id": "b", "cost": 2}


def test_a_key_that_is_not_there_points_to_the_nearest_one(tmp_path: Path) -> None:
    """Where a key is missing the place is that of the section it should stand in."""
    document = read_document(written(tmp_path, TEXT))
    where = document.where(("reward", "outcomes", "click"))
    assert where == f"{document.path}:3, reward.outcomes.click"
    assert document.where(("gate",)) == f"{document.path}:1, gate"
    assert document.where(()) == f"{document.path}:1"


def test_key_paths_are_written_with_dots_and_brackets() -> None:
    """Names are joined by dots, places in a list stand in brackets."""
    assert dotted(("actions", 3, "valid_to")) == "actions[3].valid_to"


@pytest.mark.parametrize(
    ("text", "what", "line"),
    [
        ("a: 1\nb: [1,\n", "not valid YAML", 3),
        ("a: 1\n\tb: 2\n", "not valid YAML", 2),
        ("- a\n- b\n", "must hold a mapping", 1),
        ("", "must hold a mapping", 1),
        ("a:\n  b: 1\n  c: 2\n  b: 3\n", "a.b stands twice", 4),
    ],
)
def test_what_is_no_document_is_refused(tmp_path: Path, text: str, what: str, line: int) -> None:
    """No YAML, no mapping, or a key that stands twice: an error that points to the line."""
    path = written(tmp_path, text)
    with pytest.raises(ConfigError, match=what) as caught:
        read_document(path)
    assert str(caught.value.where) == f"{path}:{line}"


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    """A missing file is a configuration error with a hint, not a traceback."""
    with pytest.raises(ConfigError, match=r"no file gone\.yml") as caught:
        read_document(tmp_path / "gone.yml")
    assert caught.value.hint == "check conf_dir"
