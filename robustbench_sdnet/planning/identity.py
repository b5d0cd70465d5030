"""What identifies a model and a data set that are at hand."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..specs import DataSpec, ModelSpec, params

if TYPE_CHECKING:
    from ..data import ImageData
    from ..zoo.files.cards import ModelCard

TRAINING_SETS = {
    "cifar10c": "cifar10",
    "cifar10.1": "cifar10",
    "cifar10.2": "cifar10",
    "cifar100c": "cifar100",
    "imagenetc": "imagenet",
}


def model_spec(card: ModelCard) -> ModelSpec:
    """What identifies the model that a card describes."""
    return ModelSpec(
        name=card.name,
        source=card.source,
        arch=card.arch,
        weights=card.weights_hash,
        options=params(card.options),
        mean=tuple(card.mean),
        std=tuple(card.std),
        training_lambda=card.lam if card.has_lambda else None,
        fingerprint=card.fingerprint,
    )


def data_spec(data: ImageData) -> DataSpec:
    """What identifies a split of a data set."""
    return DataSpec(name=shown_name(data.name), source=data.name, split=data.split, content=data.content_hash)


def shown_name(name: str) -> str:
    """A data set as reports name it: without the folders of its path."""
    kind, colon, path = name.partition(":")
    return f"{kind}:{Path(path).name}" if colon else kind


def training_set(name: str) -> str:
    """The data set whose training split belongs to a test set: cifar10 to its published corruptions."""
    kind, colon, _ = name.partition(":")
    return TRAINING_SETS.get(kind, name) if colon else name
