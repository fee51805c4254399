"""Blocks of rows: what they add up to is what the whole columns give."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from policies.estimating import blocks


@pytest.mark.parametrize("large", [0, 10**9])
def test_moments_are_those_of_the_whole(monkeypatch: pytest.MonkeyPatch, large: int) -> None:
    """Moments merged over blocks equal numpy's, far from 0 and with blocks that are empty, too."""
    monkeypatch.setattr(blocks, "LARGE", large)
    rng = np.random.default_rng(0)
    values, few = 1e7 + rng.random(1_000), rng.random(1_000) < 0.01

    def columns(rows: slice) -> list[Any]:
        return [values[rows], values[rows][few[rows]], np.empty(0)]

    found = blocks.moments(1_000, 97, columns)
    for at, whole in enumerate((values, values[few])):
        assert found.size[at] == len(whole)
        assert found.mean[at] == pytest.approx(whole.mean(), rel=1e-15)
        assert found.square[at] == pytest.approx(whole.var() * len(whole), rel=1e-6)
    assert found.size[2] == found.square[2] == found.mean[2] == 0


def test_a_column_given_twice_is_summed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a list the same array counts in each of its places, and is worked on in one."""
    worked, plain = [], blocks._of

    def counted(values: np.ndarray) -> tuple[float, ...]:
        worked.append(len(values))
        return plain(values)

    monkeypatch.setattr(blocks, "_of", counted)
    x, y = np.random.default_rng(0).normal(size=(2, 50))

    def columns(rows: slice) -> list[np.ndarray]:
        same = x[rows]
        return [same, y[rows], same]

    found = blocks.moments(50, 20, columns)
    assert worked == [20, 20, 20, 20, 10, 10]
    np.testing.assert_allclose(found.mean, [x.mean(), y.mean(), x.mean()])
    assert found.square[0] == found.square[2]
