"""Measure whether a model has the accuracy that is stated for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from ...data.images import ImageData
from ...data.tensors import to_images
from ...devices import full_float32
from ...errors import ModelError
from ...reading.numbers import whole
from ...statistics import binomial_tail, wilson
from ..files.cards import ModelCard
from ..others.guard import check_input

BY_CHANCE = 0.001  # of models that are what they claim so many may be found to differ on a part of the images
ROUNDED = 1e-6  # how far the index's accuracies may be off, which have six decimals


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What `verify` found.

    Attributes:
        stated: accuracy that is claimed, or None.
        measured: accuracy on the images.
        low, high: of the 95 % interval of `measured`.
        n: images.
        matches: whether the claim holds: to `tolerance` on all test images, and on fewer unless the exact binomial test
            says that chance makes such a difference for `BY_CHANCE` of all models at most. None: nothing is claimed.
        warning: what looks wrong with the input, or None.
    """

    name: str
    data: str
    stated: float | None
    measured: float
    low: float
    high: float
    n: int
    matches: bool | None
    warning: str | None = None


@full_float32()
@torch.no_grad()
def verify(
    model: nn.Module,
    card: ModelCard,
    data: ImageData,
    *,
    limit: int | None = None,
    batch_size: int = 250,
    device: str = "cpu",
    tolerance: float = 1e-3,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Verification:
    """Measure the accuracy of a model again and compare it with the stated one.

    Args:
        model: in evaluation mode, on `device`.
        limit: use N images only: the first, or evenly spaced ones if the data set is sorted by class.
        batch_size: images at a time.
        device: where the images go.
        tolerance: how far the accuracy on all test images may differ from the stated one.
        on_progress: called after every batch with the images done and in all.

    Returns:
        The accuracy with its 95 % interval, whether the stated one holds, and what looks wrong with the input.

    Raises:
        ModelError: logits that are not finite, or of other classes than the data set's.
    """
    n = len(data) if limit is None else min(whole(limit, "limit must be a whole number", 1), len(data))
    positions = data.positions(n)
    right, warning = 0, None
    for start in range(0, n, batch_size):
        chosen = positions[start : start + batch_size]
        images = to_images(data.pixels.read(chosen), device)
        if start == 0 and len(images) >= 32:
            warning = check_input(model, images)
        logits = model(images)
        if not torch.isfinite(logits).all():
            raise ModelError(f"'{card.name}' returns logits that are not finite. Its weights are damaged.")
        data.check_classes(logits.shape[1], card.name)
        labels = torch.as_tensor(data.labels[chosen], device=device)
        right += int((logits.argmax(1) == labels).sum())
        on_progress(start + len(chosen), n)
    low, high = wilson(right, n)
    stated, matches = card.accuracy, None
    if stated is not None:
        off = min(binomial_tail(right, n, stated), binomial_tail(n - right, n, 1 - stated))
        matches = abs(stated - right / n) <= tolerance + ROUNDED if n == len(data) else 2 * off >= BY_CHANCE
    return Verification(
        name=card.name,
        data=data.name,
        stated=stated,
        measured=right / n,
        low=low,
        high=high,
        n=n,
        matches=matches,
        warning=warning,
    )
