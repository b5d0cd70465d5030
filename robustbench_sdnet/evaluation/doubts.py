"""Doubts about models that this project did not train: an input convention that does not fit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..errors import SdnetBenchError
from ..specs import ModelSpec
from ..zoo import check_input
from .predict import to_images
from .worker import Worker

IMAGES = 100


def input_doubts(models: Sequence[ModelSpec], worker: Worker) -> Iterator[str]:
    """One line for every external model whose first layer expects other images than it gets.

    A model that cannot be loaded is passed over here: the run itself names it.
    """
    outside = [spec for spec in models if ":" in spec.source]
    if not outside:
        return
    try:
        images = to_images(worker.data.images(0, min(IMAGES, len(worker.data))), worker.device)
    except SdnetBenchError:
        return
    for spec in outside:
        try:
            doubt = check_input(worker.model(spec), images)
        except SdnetBenchError:
            continue
        if doubt:
            yield f"{spec.name}: {doubt}"
