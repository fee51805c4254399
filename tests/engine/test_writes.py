"""Writes are announced before they are made, and files are written whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.writes import announce, watched, write_text


def test_a_watcher_hears_of_each_write_in_its_block_only() -> None:
    """Outside the block nobody listens."""
    heard: list[str] = []
    announce("before")
    with watched(heard.append):
        announce("one")
        announce("two")
    announce("after")
    assert heard == ["one", "two"]


def test_a_stopped_file_is_not_written(tmp_path: Path) -> None:
    """What a watcher raises comes before the file exists; afterwards no unfinished file is left."""

    def stop(write: str) -> None:
        raise InterruptedError(write)

    path = tmp_path / "reports" / "day.html"
    with watched(stop), pytest.raises(InterruptedError, match=r"write day\.html"):
        write_text(path, "page")
    assert not path.exists()
    write_text(path, "page")
    write_text(path, "other")
    assert path.read_text() == "other"
    assert list(path.parent.iterdir()) == [path]
