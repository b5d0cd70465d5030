"""Checkpoints: safetensors with one JSON card; saved atomically, read without torch, verified at load."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import CheckpointError, InputError
from ...files import write_whole
from ...reading.paths import path_of
from .cards import CARD, ModelCard, check_accuracy, read_card

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

FORMAT = 1
_WARM_START = "power_vector"  # of training alone, made again from its seed at load
_MOST_BEGUN = 2**27  # numbers in all of those: twice what sdnet18_all has for images of 1024 pixels


def save_model(
    model: nn.Module,
    path: str | Path,
    *,
    data: str = "",
    data_hash: str = "",
    recipe: Any = None,
    accuracy: float | None = None,
    name: str | None = None,
    dtype: torch.dtype | None = None,
) -> ModelCard:
    """Write a model built by `build_model` with its card; the file appears whole or not at all.

    Args:
        model: what to save; call `refresh_step_sizes` first if its weights changed.
        path: the file, made or replaced.
        data, data_hash, recipe, accuracy: as its `ModelCard` has them; a recipe is anything that JSON can hold.
        name: what reports show; None: the name of the file's folder.
        dtype: store the weights of convolutions and linear layers in this type; None keeps their own. All else
            stays: it takes no space, and small variances would be lost in float16.

    Returns:
        The card as `read_card` gives it.

    Raises:
        InputError: the model was not made by `build_model`, weights too large for `dtype`, an accuracy outside [0, 1],
            or a recipe that is not valid JSON.
    """
    import safetensors.torch

    from ..nets.sdnet import Classifier

    path = path_of(path)
    if not isinstance(model, Classifier):
        raise _not_ours(model)
    tensors = _stored_tensors(model, dtype)
    card = {
        "format": FORMAT,
        "name": name or path.resolve().parent.name,
        "arch": model.arch,
        "options": model.options,
        "data": data,
        "data_hash": data_hash,
        "accuracy": check_accuracy(accuracy),
        "recipe": recipe,
        "weights_hash": _hash_tensors(tensors),
    }
    try:
        text = json.dumps(card, sort_keys=True)
    except (TypeError, ValueError) as error:
        raise InputError(f"The recipe of a checkpoint must be representable as JSON: {error}.") from None
    write_whole(path, safetensors.torch.save(tensors, {CARD: text}))
    return read_card(path)


def _not_ours(model: nn.Module) -> InputError:
    from ..nets.sdnet import Classifier

    wraps = any(isinstance(part, Classifier) for part in model.modules())
    remedy = (
        "Give the network that it wraps"
        if wraps
        else "Save its state_dict, and name a function that loads it"
    )
    kind = type(model).__name__
    return InputError(f"Only models made by build_model can be saved, not a {kind}. {remedy}.")


def _stored_tensors(model: nn.Module, dtype: torch.dtype | None) -> dict[str, Tensor]:
    """What is saved of a model, on the CPU; weights of convolutions and linear layers as `dtype` where it is one."""
    tensors = {}
    for key, value in model.state_dict().items():
        if not _is_stored(key):
            continue
        convert = value.is_floating_point() and key.endswith("weight") and value.dim() > 1
        stored = value.detach().to("cpu", dtype if dtype and convert else value.dtype)
        if bool(value.isfinite().all()) and not bool(stored.isfinite().all()):
            raise InputError(
                f"{key} has values beyond those of {stored.dtype}. Keep its type (zoo export --float32)."
            )
        tensors[key] = stored.contiguous().clone()
    return tensors


def _is_stored(key: str) -> bool:
    return key.rpartition(".")[2] != _WARM_START


def weights_hash(model: nn.Module) -> str:
    """sha256 over names, types, shapes and bytes of a model's tensors: equal hashes, equal weights."""
    return _hash_tensors(_stored_tensors(model, None))


def _hash_tensors(tensors: Mapping[str, Tensor]) -> str:
    import torch

    digest = hashlib.sha256()
    for key in sorted(tensors):
        value = tensors[key]
        digest.update(f"{key}|{value.dtype}|{tuple(value.shape)}|".encode())
        digest.update(value.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def load_checkpoint(path: Path) -> nn.Module:
    """Load a checkpoint that `save_model` wrote; its tensors must match the hash in its card."""
    import safetensors.torch
    import torch

    from ..nets.control import normalise_atoms
    from ..nets.sdnet import rebuild

    card = read_card(path)
    try:
        tensors = safetensors.torch.load(path.read_bytes())  # it refuses paths that are not UTF-8
    except (safetensors.SafetensorError, OSError) as error:
        raise CheckpointError(f"'{path}' is damaged: {error}") from None
    if _hash_tensors(tensors) != card.weights_hash:
        raise CheckpointError(f"'{path}' is damaged: its weights do not match the hash in its card.")
    try:
        with torch.device("meta"):  # takes no memory, which a card can claim any amount of
            claimed = rebuild(card.arch, card.options)
        check_fit(claimed, tensors, str(path))
        if sum(buffer.numel() for buffer in claimed.buffers()) > _MOST_BEGUN:  # which no file holds
            size = claimed.options["input_size"]
            raise InputError(
                f"images of {size} pixels, as its card says, take too much memory. Train it on smaller images."
            )
        with torch.device("cpu"):
            model = rebuild(card.arch, card.options).float()  # whatever PyTorch's defaults are
    except InputError as error:
        raise CheckpointError(f"'{path}': {error}") from None
    fill(model, tensors)
    model.eval().requires_grad_(False)
    normalise_atoms(model)
    return model


def fill(model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Copy tensors into a model that they fit, see `check_fit`."""
    model.load_state_dict({key: value for key, value in tensors.items() if _is_stored(key)}, strict=False)


def check_fit(model: nn.Module, tensors: Mapping[str, Tensor], where: str) -> None:
    """Raise a CheckpointError where names or shapes differ from a model's (the power iteration's may lack)."""
    expected = {key: value.shape for key, value in model.state_dict().items() if _is_stored(key)}
    wrong = [f"{key} is missing" for key in expected if key not in tensors]
    wrong += [f"{key} is unknown" for key in tensors if key not in expected and _is_stored(key)]
    wrong += [
        f"{key} is {list(tensors[key].shape)}, not {list(shape)}"
        for key, shape in expected.items()
        if key in tensors and tensors[key].shape != shape
    ]
    if wrong:
        raise CheckpointError(
            f"'{where}' does not fit {getattr(model, 'arch', 'the model')}: {'; '.join(wrong[:3])}"
            + (f" and {len(wrong) - 3} more" if len(wrong) > 3 else "")
        )
