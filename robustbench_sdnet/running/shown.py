"""What a task shows to its models: images clean or corrupted, or frame after frame."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..data.published import PublishedPixels, corrupted_images
from ..planning.plan import Task
from ..specs import CorruptionSpec, Perturbation, SequenceSpec

if TYPE_CHECKING:
    from ..data import ImageData

Pixels = NDArray[np.uint8]


def task_images(data: ImageData, task: Task) -> Pixels:
    """A task's images, (n, h, w, 3): under its corruption, by the generator or from a folder of them; else clean."""
    spec, start, stop = task.cells[0].perturbation, task.start, task.stop
    if not isinstance(spec, CorruptionSpec) or spec.name == "clean":
        return data.images(start, stop)
    if isinstance(data.pixels, PublishedPixels):
        return corrupted_images(data, spec.name, spec.severity or 0, start, stop)
    from ..corruptions import corrupt

    found: Pixels = corrupt(
        data.images(start, stop),
        spec.name,
        severity=spec.severity or 3,
        level=None if spec.level is None else float(spec.level),
        seed=spec.seed,
        sample_ids=data.ids[start:stop],
        table=spec.table,
        stored_as=spec.stored or None,
    )
    return found


def shown(pixels: Pixels, spec: Perturbation, ids: NDArray[np.int64]) -> Iterator[Pixels]:
    """What is predicted of a batch of a task's images: themselves, or the frames of a sequence one by one."""
    if not isinstance(spec, SequenceSpec):
        yield pixels
        return
    from ..corruptions.sequences.pipeline import frames

    for frame in frames(pixels, spec.name, spec.difficulty, spec.seed, ids):
        yield frame.numpy()
