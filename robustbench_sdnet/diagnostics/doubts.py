"""Doubts about models: trained on another data set, or on inputs of another convention."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..data import short_name
from ..data.tensors import to_images
from ..errors import SdnetBenchError
from ..planning.questions import shown_name, train_hash, training_set
from ..running.predict import named_errors
from ..running.worker import Worker
from ..specs import ModelSpec
from ..zoo import check_input
from ..zoo.names import describe_model

if TYPE_CHECKING:
    from ..data import ImageData
    from ..zoo.names import ModelCard

IMAGES = 100


def training_doubts(models: Sequence[ModelSpec], data: ImageData, root: str | None = None) -> Iterator[str]:
    """One line for every model whose card says that it was trained on other data than it is asked about.

    External models have no such card, and are passed over.
    """
    for spec in models:
        if ":" not in spec.source or Path(spec.source).exists():
            doubt = training_doubt(describe_model(spec.source), data, root)
            if doubt:
                yield doubt


def training_doubt(card: ModelCard, data: ImageData, root: str | None = None) -> str | None:
    """The same for one model; the same images under another name are no other data."""
    wanted = training_set(data.name)
    if not card.data or short_name(card.data) == short_name(wanted):
        return None
    if card.data_hash and card.data_hash == train_hash(data, root):
        return None
    return f"{card.name} was trained on {shown_name(card.data)}, not on {shown_name(wanted)}."


def input_doubts(models: Sequence[ModelSpec], worker: Worker) -> Iterator[str]:
    """One line for every external model whose first layer expects other images than it gets.

    A model that cannot be loaded or fails is passed over here: the run itself names it.
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
            with named_errors(spec.name):
                doubt = check_input(worker.model(spec), images)
        except SdnetBenchError:
            continue
        if doubt:
            yield f"{spec.name}: {doubt}"
