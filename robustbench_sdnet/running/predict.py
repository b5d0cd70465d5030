"""Predictions: float32 logits, checked, in the batch shapes of a fixed ladder.

A batch is always one of a few sizes, what is left padded up to the next one: kernels chosen by shape, and so the last
bits of a logit, then depend on the shard alone and not on what else was left over; compiled models see few shapes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from ..attacks.engine.losses import negative_margin
from ..errors import ModelError
from ..zoo.nets.layout import laid_out
from ..zoo.others.guard import named_errors

Classifier = Callable[[Tensor], Tensor]
SAFETY = 4.0
FIRST = 16  # calls of every screened batch that are repeated in any case, to measure the error on
LADDER = (1, 4, 16, 50, 100, 250, 500)


def batches(count: int, largest: int) -> Iterator[tuple[int, int, int]]:
    """Cut `count` samples into (start, stop, size): full batches of `largest`, then one padded to the next `size`."""
    rungs = (*(size for size in LADDER if size < largest), largest)
    for start in range(0, count, largest):
        stop = min(start + largest, count)
        yield start, stop, next(size for size in rungs if size >= stop - start)


def pad(values: Tensor, size: int) -> Tensor:
    """Images, or one value each, the last one repeated up to `size`."""
    lacking = size - len(values)
    return torch.cat([values, values[-1:].expand(lacking, *values.shape[1:])]) if lacking else values


def checked(output: Tensor, count: int, name: str) -> Tensor:
    """The output of a model, if it is finite logits of shape (count, classes); else a ModelError."""
    if not isinstance(output, Tensor) or output.ndim != 2 or len(output) != count or output.shape[1] < 2:
        shape = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
        raise ModelError(f"{name} must return logits of shape ({count}, classes), got {shape}.")
    if not bool(torch.isfinite(output).all()):
        raise ModelError(f"{name} returned NaN or infinite logits. Check its weights and its normalisation.")
    return output


def predict(model: Classifier, images: Tensor, *, batch_size: int, name: str = "the model") -> Tensor:
    """Logits (n, classes) of images (n, 3, h, w), in batches of the ladder's shapes.

    Raises:
        ModelError: the model, by its `name`, raised, or its output is not finite numbers of shape (n, classes).
    """
    with named_errors(name), torch.no_grad():
        logits = []
        for start, stop, size in batches(len(images), batch_size):
            batch = laid_out(model, pad(images[start:stop], size))
            logits.append(checked(model(batch), size, name)[: stop - start])
    return torch.cat(logits)


def classes_of(model: Classifier, images: Tensor, name: str) -> int:
    """How many classes a model knows, by its logits on the first image; errors are those of `predict`."""
    return predict(model, images[:1], batch_size=1, name=name).shape[1]


def screened(low: Tensor, exact: Callable[[Tensor], Tensor]) -> tuple[Tensor, int]:
    """Logits of a batch in bfloat16, their close calls repeated in float32.

    A prediction is decided by the gap between the two largest logits, and bfloat16 moves that gap by little. So the
    closest calls are passed again in float32; the largest change of a gap seen there, times `SAFETY`, is the gap below
    which every other call is repeated too, until none is left. Decisions are then those of float32 unless some gap
    moved by more than `SAFETY` times what the closest calls moved.

    Args:
        low: (n, classes) logits from bfloat16, as float32.
        exact: from row indices (m,) to their float32 logits (m, classes).

    Returns:
        (n, classes) logits, exact in the rows that were repeated, and how many those are.
    """
    logits, n = low.clone(), len(low)
    first, second = low.topk(2, dim=1).values.unbind(1)
    gap = first - second
    order = gap.argsort(stable=True)
    done, target = 0, min(FIRST, n)
    while done < target:
        rows = order[done:target]
        logits[rows] = exact(rows)
        winner = low[rows].argmax(1)
        # The winner's lead is negative where float32 decides otherwise.
        error = float((negative_margin(logits[rows], winner) + gap[rows]).abs().max())
        done, target = target, max(target, int((gap < SAFETY * error).sum()))
    return logits, done
