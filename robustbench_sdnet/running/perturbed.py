"""A cell's perturbation carried out: images clean or corrupted, frame after frame, or attacked."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..data.published import PublishedPixels, corrupted_images
from ..errors import GradientWarning, ModelError
from ..planning.plan import Task
from ..specs import AttackSpec, Cell, CorruptionSpec, Perturbation, SequenceSpec

if TYPE_CHECKING:
    from ..attacks.engine.result import AttackResult
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


def frames_of(pixels: Pixels, spec: Perturbation, ids: NDArray[np.int64]) -> Iterator[Pixels]:
    """What is predicted of a batch of a task's images: themselves, or the frames of a sequence one by one."""
    if not isinstance(spec, SequenceSpec):
        yield pixels
        return
    from ..corruptions.pipeline import frames

    for frame in frames(pixels, spec.name, spec.difficulty, spec.seed, ids):
        yield frame.numpy()


def run_attack(
    cell: Cell,
    classifier: Callable[[Tensor], Tensor],
    images: Tensor,
    labels: Tensor,
    ids: NDArray[np.int64],
    batch_size: int,
    start: Tensor | None,
) -> AttackResult:
    """Run a cell's attack, from `start` where given; what goes wrong inside names the model and the attack."""
    from .. import attacks

    spec = cell.perturbation
    assert isinstance(spec, AttackSpec)  # narrows the type: corruptions are answered by predictions
    repeats = cell.model.repeats
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", GradientWarning)  # the command line warns, from the counts
            return attacks.run(
                spec.name,
                classifier,
                images,
                labels,
                eps=None if spec.eps is None else float(spec.eps),
                norm=spec.norm,
                params=dict(spec.params),
                seed=spec.seed,
                sample_ids=torch.from_numpy(ids),
                precision=cell.precision,
                batch_size=batch_size,
                start=start,
                answers=None if repeats is None else repeats.draws,
                protocol="mean" if repeats is None else repeats.protocol,
            )
    except ModelError as error:
        raise ModelError(f"{cell.model.name} under {spec.label}: {error}") from error
