"""Work on blocks of rows that stay in the processor's cache, by two threads where that pays."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

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
    result. An error is the one that the first rows to break give.

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
