"""Work on blocks of rows that stay in the processor's cache, by two threads where that pays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

# Block size. Smaller: call overhead dominates. Larger: temporaries fall out of cache, or the
# allocator asks the system for each of them (up to 20 times slower).
ROWS = 8_192
MOST_ROWS, NUMBERS = 12_288, 98_304  # of a matrix: what fits into the cache of a core
LARGE = 500_000  # rows from which a second thread earns more than it costs

Result = TypeVar("Result")


def block_rows(k: int) -> int:
    """How many rows of k numbers to take at once."""
    return max(1_024, min(MOST_ROWS, NUMBERS // max(k, 1)))


def map_blocks(
    work: Callable[[slice], Result], n: int, size: int, *, alone: bool = False
) -> list[Result]:
    """work(rows) of every block of `size` of n rows, in order.

    `work` may only write its own rows, so results do not depend on threads. The first failing
    block's error is raised. Sum products by einsum, not by `@`: from some 10,000 numbers on BLAS
    starts threads of its own, which wait for one another by spinning; on a busy machine that has
    cost forty times the work.

    Args:
        work: what to do with the rows of a slice.
        n, size: rows, and rows of a block.
        alone: whether `work` may only be called by one thread at a time.
    """
    blocks = [slice(start, min(start + size, n)) for start in range(0, n, size)]

    def results(part: Sequence[slice]) -> list[Result]:
        return [work(rows) for rows in part]

    if alone or n < LARGE:
        return results(blocks)
    middle = len(blocks) // 2
    with ThreadPoolExecutor(2) as pool:
        halves = [pool.submit(results, part) for part in (blocks[:middle], blocks[middle:])]
        return [result for half in halves for result in half.result()]
