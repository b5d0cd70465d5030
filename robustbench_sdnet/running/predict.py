"""Predictions: float32 logits, checked, in the batch shapes of a fixed ladder.

A batch is always one of a few sizes, what is left padded up to the next one: kernels chosen by shape, and so the last
bits of a logit, then depend on the shard alone and not on what else was left over; compiled models see few shapes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from ..errors import ModelError
from ..zoo.nets.layout import laid_out
from ..zoo.others.guard import named_errors

Classifier = Callable[[Tensor], Tensor]
LADDER = (1, 4, 16, 50, 100, 250, 500)


def batches(count: int, largest: int) -> Iterator[tuple[int, int, int]]:
    """Cut `count` samples into (start, stop, size): full batches of `largest`, then one padded to the next `size`."""
    rungs = (*(size for size in LADDER if size < largest), largest)
    for start in range(0, count, largest):
        stop = min(start + largest, count)
        yield start, stop, next(size for size in rungs if size >= stop - start)


def logits(model: Classifier, images: Tensor, *, size: int, name: str = "the model") -> Tensor:
    """Logits of at most `size` images, computed in a batch of exactly `size`.

    Args:
        images: (n, 3, h, w), n <= size; the rest of the batch repeats the last image and is thrown away.
        name: the model, for messages.

    Returns:
        (n, classes) logits.

    Raises:
        ModelError: the model raised, or its output is not finite numbers of shape (n, classes).
    """
    with named_errors(name), torch.no_grad():
        return checked(model(laid_out(model, pad(images, size))), size, name)[: len(images)]


def pad(images: Tensor, size: int) -> Tensor:
    """The images, the last one repeated up to `size`."""
    lacking = size - len(images)
    return torch.cat([images, images[-1:].expand(lacking, -1, -1, -1)]) if lacking else images


def checked(found: Tensor, count: int, name: str) -> Tensor:
    """The output of a model, if it is finite logits of shape (count, classes)."""
    if not isinstance(found, Tensor) or found.ndim != 2 or len(found) != count or found.shape[1] < 2:
        shape = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
        raise ModelError(f"{name} must return logits of shape ({count}, classes), got {shape}.")
    if not bool(torch.isfinite(found).all()):
        raise ModelError(f"{name} returned NaN or infinite logits. Check its weights and its normalisation.")
    return found


def check_labels(largest: int, classes: int, name: str, exactly: int | None = None) -> None:
    """Raise a ModelError unless a model has a logit for every label, and `exactly` so many where that is given."""
    if exactly not in (None, classes):
        raise ModelError(
            f"{name} has {classes} classes, the folder {exactly}, and numbers them itself. Give the folder of all "
            "classes by --data-root, or write their names in order to classes.txt, one a line."
        )
    if largest >= classes:
        raise ModelError(
            f"{name} has {classes} classes, the data set has labels up to {largest}. Use a model trained on this data."
        )


def predict(model: Classifier, images: Tensor, *, batch_size: int, name: str = "the model") -> Tensor:
    """Logits of any number of images, in batches of the ladder's shapes."""
    return torch.cat(
        [logits(model, images[a:b], size=size, name=name) for a, b, size in batches(len(images), batch_size)]
    )
