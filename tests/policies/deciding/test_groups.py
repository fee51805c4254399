"""Coins and groups."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from policies.deciding.groups import GROUPS, Groups, assign_groups, hashed_ids, uniforms
from policies.errors import InvalidPolicyError

IDS = np.array([f"customer-{i}" for i in range(200_000)], dtype=object)
SHARES = Groups(uniform=0.1, holdout=0.05, previous=0.2)
DAY = "2026-01-15"
PINNED_DAY = [0.5504823749872589, 0.22020226203352655]
PINNED_STICKY = [0.6460459226354827, 0.7173322152304981]


def codes(groups: Groups, day: str = DAY) -> np.ndarray:
    """The groups of everybody on a day."""
    return assign_groups(IDS, day, groups)


@settings(max_examples=30, deadline=None)
@given(order=st.permutations(range(12)), cut=st.integers(0, 12))
def test_neither_order_nor_batch_matters(order: list[int], cut: int) -> None:
    """A customer's number is the same in any order and in any split into batches."""
    expected = uniforms(IDS[:12], DAY, "s")[order]
    shuffled = IDS[order]
    parts = [uniforms(shuffled[:cut], DAY, "s"), uniforms(shuffled[cut:], DAY, "s")]
    assert np.array_equal(np.concatenate(parts), expected)


def test_never_changes_between_releases() -> None:
    """The numbers are pinned: a decision taken again years later is the same decision."""
    assert uniforms(["a", "b"], "2026-01-15", "draw").tolist() == PINNED_DAY
    assert uniforms(["a", "b"], None, "draw").tolist() == PINNED_STICKY


def test_is_uniform_and_independent() -> None:
    """Numbers are uniform in [0, 1), and unrelated between days, salts and neighbouring ids."""
    u = uniforms(IDS, DAY, "draw")
    assert 0 <= u.min() < u.max() < 1
    assert stats.kstest(u, "uniform").pvalue > 1e-3
    others = [uniforms(IDS, "2026-01-16", "draw"), uniforms(IDS, DAY, "x"), np.roll(u, 1)]
    for other in (*others, uniforms(IDS, None, "draw")):
        assert abs(np.corrcoef(u, other)[0, 1]) < 4 / np.sqrt(len(u))


def test_an_id_is_what_it_reads_as() -> None:
    """The same id gives the same number as object, numpy, pandas or integer; hashes pass through."""
    expected = uniforms(np.array(["7", "12"], dtype=object), DAY, "s")
    same = [np.array(["7", "12"]), pd.Series(["7", "12"], dtype="string"), np.array([7, 12])]
    for ids in (*same, ["7", "12"], hashed_ids(["7", "12"])):
        assert np.array_equal(uniforms(ids, DAY, "s"), expected)


def test_takes_a_day_for_each_row() -> None:
    """With one day per row, each number is that customer's on that day."""
    days = np.array(["2026-01-15", "2026-01-16", "1969-12-31"], dtype="M8[D]")
    expected = [uniforms(IDS[i : i + 1], day, "s")[0] for i, day in enumerate(days)]
    assert uniforms(IDS[:3], days, "s").tolist() == expected


def test_shares_are_as_asked() -> None:
    """Holdout and previous get their shares of all, uniform its share of the rest."""
    counts = np.bincount(codes(SHARES), minlength=4)
    rest = 1 - 0.05 - 0.2
    expected = np.array([rest * 0.9, rest * 0.1, 0.05, 0.2]) * len(IDS)
    assert GROUPS == ("policy", "uniform", "holdout", "previous")
    assert stats.chisquare(counts, expected).pvalue > 1e-3


def test_holdout_and_previous_stick_and_uniform_does_not() -> None:
    """Sticky groups are the same people every day; uniform is drawn anew, independently."""
    today, tomorrow = codes(SHARES), codes(SHARES, "2026-01-16")
    for name in ("holdout", "previous"):
        code = GROUPS.index(name)
        assert np.array_equal(today == code, tomorrow == code)
    both = ((today == 1) & (tomorrow == 1)).sum()
    assert both == pytest.approx(0.75 * 0.1 * 0.1 * len(IDS), rel=0.1)


def test_a_share_changes_without_moving_anyone_else() -> None:
    """More of previous takes nobody out of holdout, and the other way round."""
    more = codes(Groups(uniform=0.1, holdout=0.05, previous=0.4))
    assert np.array_equal(more == 2, codes(SHARES) == 2)
    assert (more[codes(SHARES) == 3] == 3).all()
    assert (codes(Groups(0.1, 0.05, 0.2, salt="again")) != codes(SHARES)).mean() > 0.2


@pytest.mark.parametrize("shares", [(-0.1, 0, 0), (0, 0.6, 0.6), (1.1, 0, 0), (float("nan"), 0, 0)])
def test_refuses_what_is_no_share(shares: tuple[float, float, float]) -> None:
    """Shares outside [0, 1], or sticky ones above 1 together, are refused."""
    with pytest.raises(InvalidPolicyError, match="not shares"):
        Groups(*shares)


def test_all_or_nothing() -> None:
    """A share of 1 takes everybody, a share of 0 nobody."""
    assert (codes(Groups(1.0, 0.0)) == 1).all()
    assert (codes(Groups(0.0, 1.0)) == 2).all()
    assert (codes(Groups(0.0, 0.0, 1.0)) == 3).all()
    assert (codes(Groups(0.0, 0.0)) == 0).all()
