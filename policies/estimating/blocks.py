"""Work on blocks of rows that stay in the processor's cache, by two threads where that pays."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from policies.log import Floats

# Fewer rows at once, and calls cost more than numbers; more, and temporaries leave the cache, or the
# allocator asks the system for each of them, which can cost twenty times the work itself.
ROWS = 8_192
MOST_ROWS, NUMBERS = 12_288, 98_304  # of a matrix: what fits into the cache of a core
LARGE = 500_000  # rows from which a second thread earns more than it costs


def block_rows(k: int) -> int:
    """How many rows of k numbers to take at once."""
    return max(1_024, min(MOST_ROWS, NUMBERS // max(k, 1)))


def each_block(n: int, size: int, work: Callable[[slice], None], *, alone: bool = False) -> None:
    """Call work(rows) for every block of `size` of n rows.

    It must write nothing but what belongs to these rows: then the number of threads changes no
    result. An error is the one that the first rows to break give. And it should sum products by
    einsum, not by `@`: from some 10,000 numbers on BLAS starts threads of its own, which wait for
    one another by spinning; on a busy machine that has cost forty times the work.

    Args:
        alone: whether `work` may only be called by one thread at a time.
    """
    starts = range(0, n, size)

    def some(part: range) -> None:
        for at in part:
            work(slice(at, min(at + size, n)))

    if alone or n < LARGE:
        some(starts)
        return
    middle = len(starts) // 2
    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(some, part) for part in (starts[:middle], starts[middle:])]:
            done.result()


class Moments(NamedTuple):
    """Of m columns, each (m,): how many numbers, their mean, and Σ (x − mean)²."""

    size: Floats
    mean: Floats
    square: Floats


def moments(
    n: int, size: int, columns: Callable[[slice], Iterable[Floats]], *, alone: bool = False
) -> Moments:
    """Moments of the columns that columns(rows) gives of every block of `size` of n > 0 rows.

    Merged from each block's own (Chan, Golub & LeVeque 1983), so that no column ever stands in
    memory whole, and nothing cancels. A mean of no numbers is 0. A list may hold a column twice at
    no cost; any other iterable is taken column by column, so that only one is in memory.
    """
    found: list[list[tuple[float, ...]]] = [[] for _ in range(0, n, size)]

    def work(rows: slice) -> None:
        found[rows.start // size] = _of_each(columns(rows))

    each_block(n, size, work, alone=alone)
    sizes, means, squares = np.moveaxis(np.array(found), -1, 0)
    total = sizes.sum(axis=0)
    mean = (sizes * means).sum(axis=0) / np.maximum(total, 1)
    return Moments(total, mean, (squares + sizes * (means - mean) ** 2).sum(axis=0))


def _of_each(columns: Iterable[Floats]) -> list[tuple[float, ...]]:
    """`_of` each column."""
    if not isinstance(columns, list):
        return [_of(values) for values in columns]
    known = {id(values): values for values in columns}
    sums = {name: _of(values) for name, values in known.items()}
    return [sums[id(values)] for values in columns]


def _of(values: Floats) -> tuple[float, ...]:
    """Size, mean, and squares around it."""
    mean = np.add.reduce(values) / max(len(values), 1)
    away = values - mean
    return len(values), mean, np.einsum("n,n->", away, away)
