"""Write adversarial images to disk, and say how accurate a model is on exactly what was written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..devices import exact_mean, full_float32
from ..files import whole
from ..specs import Repeats
from .engine.batches import usual_batch
from .engine.guards import frozen
from .engine.judging import Judge
from .engine.passes import Classifier, Passes

Parts = Callable[[], Iterator[Tensor]]
"""Images (m, c, h, w) in [0, 1], some at a time, from the first on, however often they are asked for."""


@dataclass(frozen=True)
class SavedAdversarials:
    """What `save_adversarials` wrote.

    Attributes:
        path: the npz file.
        accuracy: share of the stored images that the model gets right, in [0, 1].
        accuracy_8bit: the same for the 8-bit images; None where they were not asked for.
    """

    path: Path
    accuracy: float
    accuracy_8bit: float | None


@full_float32()
def save_adversarials(
    path: Path,
    model: Classifier,
    parts: Parts,
    labels: Tensor,
    *,
    sample_ids: NDArray[np.int64],
    eight_bit: bool = False,
    repeats: Repeats | None = None,
) -> SavedAdversarials:
    """Write perturbed images as they are, and on request rounded to 8 bits as well.

    The file holds `images` (n, c, h, w) in the dtype of the parts, bit for bit; `labels` and `sample_ids` (n,) int64;
    `right` (n,) bool; and with `eight_bit` also `images_8bit` (n, h, w, c) uint8, rounded to the nearest level, and
    `right_8bit` (n,) bool. It appears whole or not at all.

    Args:
        path: ends in .npz.
        parts: n images, n > 0, as an attack returned them; one part is held at a time, so that all of them need not
            fit into memory.
        labels: (n,), where the parts are.
        repeats: how the answers of a model that draws random numbers count.

    Raises:
        WriteError: the path cannot be written.
        ModelError: the model raised or returned logits that are not finite.
    """
    repeats = repeats or Repeats(draws=1)  # of the same answer every time
    exact, rounded = (_Judged(model, labels, repeats) for _ in range(2))
    with whole(path) as file, ZipFile(file, "w") as archive:
        _write(archive, "images", exact.looking(parts()), len(labels))
        few = {"labels": labels, "sample_ids": torch.from_numpy(sample_ids), "right": exact.right}
        if eight_bit:
            _write(
                archive,
                "images_8bit",
                map(_as_pixels, rounded.looking(map(_to_levels, parts()))),
                len(labels),
            )
            few["right_8bit"] = rounded.right
        for name, values in few.items():
            _write(archive, name, iter([values]), len(labels))
    return SavedAdversarials(path, exact.accuracy, rounded.accuracy if eight_bit else None)


@dataclass
class _Judged:
    """Which of the images that come by are right."""

    model: Classifier
    labels: Tensor
    repeats: Repeats
    hits: list[Tensor] = field(default_factory=list)

    def looking(self, parts: Iterator[Tensor]) -> Iterator[Tensor]:
        """The same parts, each after it is judged."""
        start = 0
        for images in parts:
            stop = start + len(images)
            passes = Passes(self.model, usual_batch(images))
            with frozen(self.model):
                self.hits.append(Judge(passes, self.repeats).count(images, self.labels[start:stop])[0])
            passes.check()
            yield images
            start = stop

    @property
    def right(self) -> Tensor:
        """(n,) bool: each image as a whole."""
        right: Tensor = self.repeats.right(torch.cat(self.hits))
        return right

    @property
    def accuracy(self) -> float:
        """What they come to."""
        return exact_mean(self.repeats.credit(torch.cat(self.hits)))


def _to_levels(images: Tensor) -> Tensor:
    """What 8 bits make of images."""
    return (images * 255).round() / 255


def _as_pixels(images: Tensor) -> Tensor:
    """The levels (m, h, w, c) uint8 of such images."""
    return (images * 255).round().to(torch.uint8).permute(0, 2, 3, 1)


def _write(archive: ZipFile, name: str, parts: Iterator[Tensor], count: int) -> None:
    """One array of `count` rows, from its parts."""
    with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
        for number, part in enumerate(parts):
            array = part.cpu().contiguous().numpy()
            if number == 0:
                header = np.lib.format.header_data_from_array_1_0(array)
                header["shape"] = (count, *array.shape[1:])
                np.lib.format.write_array_header_1_0(member, header)
            member.write(array.data)
