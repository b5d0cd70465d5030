"""The fixed ladder of batch shapes.

A batch is always one of a few sizes, what is left padded up to the next one: kernels chosen by shape, and so the last
bits of a logit, then depend on the shard alone and not on what else was left over; compiled models see few shapes.
"""

from __future__ import annotations

from collections.abc import Iterator

LADDER = (1, 4, 16, 50, 100, 250, 500)


def rungs(largest: int) -> tuple[int, ...]:
    """The batch sizes in use when no batch may exceed `largest`; `largest` itself is the top rung."""
    return (*(size for size in LADDER if size < largest), largest)


def padded(count: int, largest: int) -> int:
    """The smallest rung that holds `count` samples; `count` is at most `largest`."""
    return next(size for size in rungs(largest) if size >= count)


def batches(count: int, largest: int) -> Iterator[tuple[int, int, int]]:
    """Cut `count` samples into (start, stop, size): full batches of `largest`, then one padded to `size`."""
    for start in range(0, count, largest):
        stop = min(start + largest, count)
        yield start, stop, padded(stop - start, largest)
