"""Blocks of rows: each is worked on once, in order, and the first error is raised."""

from __future__ import annotations

import pytest

from policies.estimating import blocks


@pytest.mark.parametrize("large", [0, 10**9])
def test_every_row_is_in_one_block(monkeypatch: pytest.MonkeyPatch, large: int) -> None:
    """Results come in the order of the blocks, whatever the number of threads."""
    monkeypatch.setattr(blocks, "LARGE", large)
    found = blocks.map_blocks(lambda rows: (rows.start, rows.stop), 1_000, 97)
    assert found == [(start, min(start + 97, 1_000)) for start in range(0, 1_000, 97)]
    assert blocks.map_blocks(lambda rows: rows, 0, 97) == []


@pytest.mark.parametrize("large", [0, 10**9])
def test_the_first_error_is_raised(monkeypatch: pytest.MonkeyPatch, large: int) -> None:
    """The error of the first failing block is raised, also where a later one fails earlier."""
    monkeypatch.setattr(blocks, "LARGE", large)

    def fail(rows: slice) -> None:
        raise ValueError(rows.start)

    with pytest.raises(ValueError, match="^0$"):
        blocks.map_blocks(fail, 1_000, 97)
