"""The batches in which a model under attack is asked: how large, and in which few shapes."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from ...devices import gpu_batch

PROCESSOR_BATCH = 100

LADDER = (*range(1, 40), *range(40, 100, 2), *range(100, 200, 5), *range(200, 400, 10), *range(400, 501, 20))
"""The batch shapes that a model sees, so that its rounding does not depend on what else is still alive.

Finer than the ladder of plain predictions: an active set shrinks through every size, for thousands of steps.
"""


def rungs(largest: int) -> tuple[int, ...]:
    """The shapes in use when no batch may exceed `largest`; `largest` itself is the top rung."""
    return (*(rung for rung in LADDER if rung < largest), largest)


def pieces(count: int, shapes: tuple[int, ...]) -> Iterator[tuple[int, int, int]]:
    """Cut `count` rows into (start, stop, shape) with little padding: an eighth of the rows left at most."""
    start = 0
    while start < count:
        left = count - start
        shape = next((s for s in shapes if left <= s <= left + left // 8), None)
        shape = shape or max(s for s in shapes if s <= left)
        yield start, min(start + shape, count), shape
        start += shape


def free_to_look(values: Tensor) -> bool:
    """Whether the host may look at values at no cost: on a CPU; elsewhere it would wait for all that runs there."""
    return values.device.type == "cpu"


def usual_batch(images: Tensor) -> int:
    """The largest batch where nobody names one: more on a GPU, which waits for the host between small ones."""
    if images.device.type == "cpu":
        return PROCESSOR_BATCH
    return gpu_batch(images.shape[-2] * images.shape[-1])
