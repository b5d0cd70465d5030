"""Doubts about models: trained on another data set, or on inputs of another convention."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..data import short_name
from ..data.images import ImageData
from ..data.tensors import to_images
from ..errors import SdnetBenchError
from ..planning.identity import shown_name, training_set
from ..running.at_hand import train_hash
from ..running.worker import Worker
from ..specs import ModelSpec
from ..zoo import check_input
from ..zoo.files.cards import ModelCard
from ..zoo.names import describe_model
from ..zoo.others.guard import HALVES, External, named_errors

IMAGES = 100


@dataclass(frozen=True, slots=True)
class OtherData:
    """A model that is asked about other images than it was trained on.

    Attributes:
        model: its name.
        trained_on: data set that it was trained on, as its card calls it.
        asked: data set whose training images would have been its own.
    """

    model: str
    trained_on: str
    asked: str

    def __str__(self) -> str:
        """One line; two data sets of one name are told apart by their folders."""
        own, asked = shown_name(self.trained_on), shown_name(self.asked)
        own, asked = (self.trained_on, self.asked) if own == asked else (own, asked)
        return f"{self.model} was trained on {own or 'other images'}, not on {asked}."


def training_doubts(models: Sequence[ModelSpec], data: ImageData, root: str | None = None) -> Iterator[str]:
    """One line for every model whose card says that it was trained on other data than it is asked about.

    External models have no such card, and are passed over.
    """
    for spec in models:
        if ":" not in spec.source or Path(spec.source).exists():
            doubt = training_doubt(describe_model(spec.source), data, root)
            if doubt:
                yield str(doubt)


def training_doubt(card: ModelCard, data: ImageData, root: str | None = None) -> OtherData | None:
    """Whether a model was trained on other data than it is asked about.

    The training images decide, where both hashes are at hand, and else the names: equal images under another name are
    the same data, and other images under the same name are not.
    """
    wanted = training_set(data.name)
    hashed = train_hash(data, root) if card.data_hash else None
    named_alike = short_name(card.data) == short_name(wanted) or not card.data
    return (
        None
        if (card.data_hash == hashed if hashed else named_alike)
        else OtherData(card.name, card.data, wanted)
    )


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
            model = worker.model(spec)
            with named_errors(spec.name):
                doubt = check_input(model, images)
        except SdnetBenchError:
            continue
        if isinstance(model, External) and model.dtype in HALVES:
            yield f"{spec.name} computes in its own precision, {str(model.dtype).removeprefix('torch.')}."
        if doubt:
            yield f"{spec.name}: {doubt}"
