"""Put a trained checkpoint into the zoo."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ...errors import InputError
from ...files import sha256_of, write_whole
from ...reading.paths import path_of
from ...wording import counted
from ..files.cards import ModelCard, read_card
from ..files.weights import load_checkpoint, save_model
from ..names import check_zoo_name, own_checkpoint
from .index import INDEX, Entry, entries, write_entries

SHIPPED_BYTES = 2_000_000  # of a model in the package; larger ones go to weights/ of the repository
TYPES = {"float16": torch.float16, "float32": None}


def export_model(
    checkpoint: str | Path,
    path: str | Path,
    *,
    name: str | None = None,
    data: str | None = None,
    accuracy: float | None = None,
    dtype: str = "float16",
) -> ModelCard:
    """Write a checkpoint again with its convolutions and linear layers in another type.

    Normalisation layers, biases and step sizes stay in float32: they take no space, and small variances would be
    lost in float16.

    Args:
        checkpoint: a run's folder, a checkpoint or a name of the zoo.
        name: what reports show; None keeps the name.
        data: name of the training data; None keeps it.
        accuracy: clean test accuracy in [0, 1] of what is written; None keeps what the checkpoint states.
        dtype: "float16" or "float32".

    Raises:
        InputError: no such checkpoint or type, or an unwritable folder.
    """
    if dtype not in TYPES:
        raise InputError(f"dtype must be float16 or float32, got '{dtype}'.")
    source = own_checkpoint(str(checkpoint))
    card = read_card(source)
    return save_model(
        load_checkpoint(source),
        path,
        data=card.data if data is None else data,
        data_hash=card.data_hash,
        recipe=card.recipe,
        accuracy=card.accuracy if accuracy is None else accuracy,
        name=name or card.name,
        dtype=TYPES[dtype],
    )


def add_to_zoo(
    checkpoint: str | Path,
    name: str,
    *,
    recipe: str | None = None,
    accuracy: float | None = None,
    robust: Mapping[str, float] | None = None,
    note: str = "",
    dtype: str = "float16",
    folder: str | Path | None = None,
    index: Path = INDEX,
) -> Entry:
    """Put a checkpoint into the zoo: its weights next to the index or in another folder, and its entry in the index.

    Args:
        checkpoint, accuracy, dtype: as for `export_model`.
        name: "data/model"; an entry of that name is replaced.
        recipe, robust, note: as its `Entry` has them; without a recipe, the one that the checkpoint states, with its
            number of epochs.
        folder: where the weights go; None: into the package, where a model may take 2 MB.
        index: of the zoo.

    Raises:
        InputError: a malformed name, no accuracy, or too large to ship in the package.
    """
    data = check_zoo_name(name)
    file = f"{name.replace('/', '-')}.safetensors"
    place = index.parent / "weights" if folder is None else path_of(folder)
    trained = read_card(own_checkpoint(str(checkpoint)))
    stated = trained.accuracy if accuracy is None else accuracy
    stated_recipe, init = _in_words(trained.recipe)
    if stated is None:
        raise InputError(f"'{checkpoint}' states no accuracy. Measure it, and give it as --accuracy.")
    with tempfile.TemporaryDirectory() as scratch:
        exported = Path(scratch) / file
        card = export_model(checkpoint, exported, name=name, data=data, accuracy=stated, dtype=dtype)
        size = exported.stat().st_size
        if folder is None and size > SHIPPED_BYTES:
            raise InputError(
                f"'{name}' takes {size / 1e6:.1f} MB; the package ships models up to {SHIPPED_BYTES / 1e6:.0f} MB. "
                "Put it into the repository's weights/ folder (--folder weights)."
            )
        item = Entry(
            name=name,
            arch=card.arch,
            data=data,
            recipe=recipe or stated_recipe,
            accuracy=round(stated, 6),
            sha256=sha256_of(exported),
            source=f"{'weights' if folder is None else place.resolve().name}/{file}",
            robust=dict(robust or {}),
            note=note,
            init=init,
        )
        # Read before the weights are written, which would stay alone.
        others = [old for old in entries(index) if old.name != name]
        write_whole(place / file, exported.read_bytes())
    write_entries([*others, item], index)
    return item


def _in_words(recipe: Any) -> tuple[str, str]:
    """A recipe's name with its epochs, and the weights it began with; a checkpoint may hold anything as its recipe."""
    if isinstance(recipe, str):
        return recipe, ""
    recipe = recipe if isinstance(recipe, Mapping) else {}
    train = recipe.get("train")
    train = train if isinstance(train, Mapping) else {}
    epochs = train.get("epochs")
    length = f", {counted(epochs, 'epoch')}" if isinstance(epochs, int) and epochs else ""
    return f"{recipe.get('name') or 'own'}{length}", str(train.get("init") or "")
