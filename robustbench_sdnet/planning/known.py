"""Which models a store knows already: the same ones go on, superseded ones keep their answers under another name."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from ..specs import Cell, ModelSpec, canonical
from ..specs.models import same_answers


@dataclass(frozen=True)
class Known:
    """What became of the models that are asked.

    Attributes:
        models: those asked for, with the fingerprint that the store holds where it is the same within rounding.
        renamed: stored cells by id whose model is another one of the same name, under a name of its own.
        notes: a line for every model that changed since its answers were stored, and for every randomised one.
    """

    models: list[ModelSpec]
    renamed: dict[str, Cell]
    notes: list[str]


def known(models: Sequence[ModelSpec], stored: Mapping[str, Cell]) -> Known:
    """Compare the models that are asked with those of a store."""
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
                name = names[other] = f"{model.name}@{hashlib.sha256(other.key.encode()).hexdigest()[:8]}"
                notes.append(
                    f"{model.name}: {what} changed since answers were stored, which are now called {name}; "
                    "it is asked anew."
                )
    renamed = {
        cell_id: replace(cell, model=replace(cell.model, name=names[cell.model]))
        for cell_id, cell in stored.items()
        if cell.model in names
    }
    return Known(found, renamed, notes)


def _counted(model: ModelSpec) -> str:
    """How its answers count, and whether the same question gives the same ones."""
    counted = f"Accuracies are the {model.repeats} on each final image" if model.repeats else ""
    if dict(model.options).get("unseeded"):
        return f"{counted}, and cannot be repeated exactly: its draws follow no generator that can be seeded."
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
