"""Make sequences: draws keyed by (seed, sample id, sequence, difficulty, frame), then frame after frame."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pkgutil import resolve_name

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...draws import host_generators
from ..members import Setting
from ..pipeline import Images, as_tensor, checked_images, ids_of, like
from ..sampling import Sample
from .members import check_sequence_size, perturbation_info

Draw = Callable[[Sample, int], dict[str, Tensor]]
"""The draws of a frame, by what draws them."""
Frames = Callable[[Tensor, Draw, Setting], Iterator[Tensor]]


def sequence(
    images: Images,
    name: str,
    difficulty: int = 1,
    seed: int = 0,
    sample_ids: Sequence[int] | NDArray[np.int64] | Tensor | None = None,
) -> Images:
    """Change images slowly, frame after frame, as CIFAR-10-P does (Hendrycks & Dietterich 2019, arXiv:1903.12261).

    An image's frames depend on the image and on (seed, sample id, sequence, difficulty) alone: not on the batch, its
    order, the number of threads or the machine.

    Args:
        images: (n, 32, 32, 3) uint8 RGB, NumPy or torch (any device). Left as it is.
        name: a name of `SEQUENCES`.
        difficulty: 1 to 3, the strength of a noise; it changes no other sequence.
        seed: any integer.
        sample_ids: (n,) integers >= 0, stable names of the images; None counts 0, 1, 2, ...

    Returns:
        (n, frames, 32, 32, 3): the same type and device.

    Raises:
        InputError: an unknown name, or a difficulty, shape, dtype or id outside its range.
    """
    return like(images, torch.stack(list(frames(images, name, difficulty, seed, sample_ids)), 1))


def frames(
    images: Images,
    name: str,
    difficulty: int = 1,
    seed: int = 0,
    sample_ids: Sequence[int] | NDArray[np.int64] | Tensor | None = None,
) -> Iterator[Tensor]:
    """The frames of `sequence` one by one, (n, 32, 32, 3) each, so that no sequence has to fit in memory."""
    info = perturbation_info(name, difficulty)
    check_sequence_size(*checked_images(images))
    ids = ids_of(sample_ids, len(images))
    batch = as_tensor(images)
    height, width = batch.shape[1:3]
    setting, strength = info.at(difficulty), difficulty if info.noise else 1

    def draw(sample: Sample, frame: int) -> dict[str, Tensor]:
        generators = host_generators(seed, f"sequence/{name}/{strength}/{frame}", ids)
        found = sample(generators, len(ids), height, width, setting)
        return {key: torch.from_numpy(value).to(batch.device) for key, value in found.items()}

    work: Frames = resolve_name(f"{__package__}.{info.apply}")
    return work(batch, draw, setting)
