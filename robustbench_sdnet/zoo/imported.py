"""A released checkpoint as a run of this machine."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..data.registry import short_name
from ..errors import InputError
from .files.cards import ModelCard, read_card
from .files.importing import import_checkpoint
from .files.weights import save_model, weights_hash
from .names import run_checkpoint

SHAPES = {"cifar100": (100, 32), "imagenet": (1000, 224)}  # classes, and the side of the images
USUAL = (10, 32)


def import_run(
    checkpoint: Path,
    arch: str,
    data: str,
    network: Mapping[str, Any],
    *,
    accuracy: float | None,
    output: Path | None,
) -> ModelCard:
    """Import a checkpoint into a folder that every command takes as a model.

    Args:
        network: the keywords of `import_checkpoint`; `num_classes` and `input_size` are the data set's where None.
        accuracy: its stated clean accuracy.
        output: the folder; None: runs/DATA-ARCH-imported.

    Raises:
        InputError: no such file, an unknown architecture or option, or a folder that holds another model.
        CheckpointError: the file is damaged, holds code, or belongs to another architecture.
    """
    classes, size = SHAPES.get(data, USUAL)
    shape = {
        "num_classes": network.get("num_classes") or classes,
        "input_size": network.get("input_size") or size,
    }
    model = import_checkpoint(checkpoint, arch, **{**network, **shape})
    plain = "" if network.get("shortcut", True) else "-no-shortcut"
    folder = output or Path("runs") / f"{short_name(data)}-{arch}{plain}-imported"
    _refuse_another(folder, weights_hash(model))
    recipe = {"imported_from": checkpoint.name, "step_size": network.get("step_size", "recompute")}
    return save_model(model, folder / "last.safetensors", data=data, recipe=recipe, accuracy=accuracy)


def _refuse_another(folder: Path, weights: str) -> None:
    """Refuse a folder that holds another model; the same one may be imported again."""
    try:
        held = read_card(run_checkpoint(folder)).weights_hash
    except InputError:
        return
    if held != weights:
        raise InputError(f"{folder} already holds another model. Name another folder: --output DIR.")
