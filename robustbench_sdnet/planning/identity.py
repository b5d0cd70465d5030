"""What identifies a model and a data set that are at hand, and which models a store knows already."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..specs import Cell, DataSpec, ModelSpec, canonical, params
from ..specs.models import same_answers
from ..wording import visible

if TYPE_CHECKING:
    from ..data import ImageData
    from ..zoo.files.cards import ModelCard


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
    """A data set as reports name it: without the folders of its path, visible where that is no text."""
    kind, colon, path = name.partition(":")
    return f"{kind}:{visible(Path(path).name)}" if colon else kind


def known(
    models: Sequence[ModelSpec], stored: Mapping[str, Cell]
) -> tuple[list[ModelSpec], dict[str, Cell], list[str]]:
    """Which models a store knows already: the same go on, superseded ones keep their answers under another name.

    Returns:
        The models, with the fingerprint that the store holds where it is the same within rounding; stored cells by id
        whose model is another one of the same name, under a name of its own; and a line for every model that changed
        since its answers were stored, and for every randomised one.
    """
    others = list(dict.fromkeys(cell.model for cell in stored.values()))
    found = [_adopted(model, others) for model in models]
    notes = [
        f"{model.name} is randomised: two calls on the same images differ. {_counted(model)}"
        for model in found
        if dict(model.options).get("randomised")
    ]
    names: dict[ModelSpec, str] = {}
    for model in found:
        for other in others:
            if other.name.startswith(f"{model.name}@") and other.key == model.key:
                names[other] = model.name
            elif other.name == model.name and (what := _changed(other, model)):
                name = names[other] = f"{model.name}{_mark(other)}"
                notes.append(
                    f"{model.name}: {what} changed since answers were stored. Those are now called {name}; "
                    "new answers are computed."
                )
    renamed = {
        cell_id: replace(cell, model=replace(cell.model, name=names[cell.model]))
        for cell_id, cell in stored.items()
        if cell.model in names
    }
    return found, renamed, notes


def is_superseded(model: ModelSpec) -> bool:
    """Whether a model has the name of one that changed since its answers were stored: no command asks it any more."""
    return model.name.endswith(_mark(model))


def _mark(model: ModelSpec) -> str:
    return f"@{hashlib.sha256(model.key.encode()).hexdigest()[:8]}"


def _counted(model: ModelSpec) -> str:
    """How its answers count, and whether the same question gives the same ones."""
    counted = f"Each final image counts {model.repeats.rule}" if model.repeats else ""
    if dict(model.options).get("unseeded"):
        return f"{counted}, and cannot be repeated exactly: the model draws from no generator that can be seeded."
    return f"{counted}, seeded by cell and shard."


def _adopted(model: ModelSpec, others: Iterable[ModelSpec]) -> ModelSpec:
    """The model with the stored fingerprint of the same one, so that equal models have one identity."""
    for other in others if model.fingerprint else ():
        if same_answers(model.fingerprint, other.fingerprint):
            same = replace(model, fingerprint=other.fingerprint)
            if same.key == other.key:
                return same
    return model


def _changed(before: ModelSpec, now: ModelSpec) -> str:
    """What differs between two models of one name, or nothing."""
    if before.weights != now.weights:
        return "its weights"
    if _beside(before) != _beside(now):
        return "its code or options"
    # Images of another size tell nothing about whether answers differ.
    if before.fingerprint[:2] == now.fingerprint[:2] and before.fingerprint != now.fingerprint:
        return "what it answers"
    return ""


def _beside(model: ModelSpec) -> str:
    return canonical({**model.identity(), "fingerprint": None})
