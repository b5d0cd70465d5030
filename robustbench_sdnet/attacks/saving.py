"""Write adversarial images to disk, and say how accurate a model is on exactly what was written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..devices import full_float32
from ..errors import InputError
from ..files import whole
from ..specs import Repeats
from .engine.batches import usual_batch
from .engine.guards import frozen
from .engine.judging import Judge
from .engine.passes import Classifier, Passes


@dataclass(frozen=True)
class SavedAdversarials:
    """What `save_adversarials` wrote.

    Attributes:
        path: the npz file.
        accuracy: share of the stored images that the model gets right, in [0, 1]; NaN without images.
        accuracy_8bit: the same for the 8-bit images; None where they were not asked for.
    """

    path: Path
    accuracy: float
    accuracy_8bit: float | None


@full_float32()
def save_adversarials(
    path: str | Path,
    model: Classifier,
    images: Tensor,
    labels: Tensor,
    *,
    sample_ids: Tensor | Sequence[int],
    eight_bit: bool = False,
    repeats: Repeats | None = None,
) -> SavedAdversarials:
    """Write perturbed images as they are, and on request rounded to 8 bits as well.

    The file holds `images` (n, c, h, w) in the dtype of `images`, bit for bit; `labels` and `sample_ids` (n,) int64;
    `right` (n,) bool; and with `eight_bit` also `images_8bit` (n, h, w, c) uint8, rounded to the nearest level, and
    `right_8bit` (n,) bool. It appears whole or not at all.

    Args:
        images: (n, c, h, w) in [0, 1], as an attack returned them.
        repeats: how the answers of a model that draws random numbers count.

    Raises:
        InputError: the path is no .npz, or the ids do not fit the images.
        WriteError: the path cannot be written.
        ModelError: the model raised or returned logits that are not finite.
    """
    path = Path(path)
    if path.suffix != ".npz":
        raise InputError(f"Adversarial images are saved as .npz, got '{path}'.")
    ids = torch.as_tensor(sample_ids, dtype=torch.int64)
    if len(ids) != len(images) or len(labels) != len(images):
        raise InputError(
            f"{len(images)} images need as many labels and ids, got {len(labels)} and {len(ids)}."
        )
    repeats = repeats or Repeats(draws=1)  # of the same answer every time
    right, accuracy = _judged(model, images, labels, repeats)
    arrays = {"images": images, "labels": labels, "sample_ids": ids, "right": right}
    share = None
    if eight_bit:
        levels = (images * 255).round().to(torch.uint8)
        restored = levels.to(images.dtype) / 255
        right_8bit, share = _judged(model, restored, labels, repeats)
        arrays |= {"images_8bit": levels.permute(0, 2, 3, 1), "right_8bit": right_8bit}
    plain = {name: values.cpu().contiguous().numpy() for name, values in arrays.items()}
    with whole(path) as file:
        np.savez(file, allow_pickle=False, **plain)
    return SavedAdversarials(path, accuracy, share)


def _judged(model: Classifier, images: Tensor, labels: Tensor, repeats: Repeats) -> tuple[Tensor, float]:
    """Which images (n,) are right, and the accuracy that they come to."""
    passes = Passes(model, usual_batch(images))
    with frozen(model):
        hits, _ = Judge(passes, repeats).count(images, labels)
    passes.check()
    return repeats.right(hits), float(repeats.credit(hits).double().mean())
