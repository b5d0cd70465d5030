"""Checkpoints: safetensors with one JSON card; saved atomically, read without torch, verified at load."""

from __future__ import annotations

import hashlib
import json
import os
import struct
import tempfile
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import CheckpointError, InputError
from .registry import ModelCard, architecture

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

CARD = "card"  # the one metadata entry of a checkpoint
FORMAT = 1
MAX_HEADER = 1 << 24  # bytes; the header of a 34-layer network takes 30 kB
_WARM_START = "power_vector"  # of training alone, made again from its seed at load


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
        model: what to save; call `refresh_step_sizes` first where its weights changed.
        path: the file, made or replaced.
        data: name of the training data.
        data_hash: content hash of the training split.
        recipe: the resolved recipe, anything JSON can hold.
        accuracy: clean test accuracy in [0, 1].
        name: what reports show; None: the name of the file's folder.
        dtype: convert floating tensors (buffers of a single number keep theirs); None keeps all.

    Returns:
        The card as `read_card` gives it.

    Raises:
        InputError: the model was not made by `build_model`, or the folder cannot be written.
    """
    import safetensors.torch

    path = Path(path)
    arch, options = getattr(model, "arch", None), getattr(model, "options", None)
    if not isinstance(arch, str) or not isinstance(options, dict):
        raise InputError(
            "Only models made by build_model can be saved: this one has no 'arch' and 'options'."
        )
    tensors = _stored_tensors(model, dtype)
    card = {
        "format": FORMAT,
        "name": name or path.resolve().parent.name,
        "arch": arch,
        "options": options,
        "data": data,
        "data_hash": data_hash,
        "accuracy": accuracy,
        "recipe": recipe,
        "weights_hash": _hash_tensors(tensors),
    }
    write_atomically(path, safetensors.torch.save(tensors, {CARD: json.dumps(card, sort_keys=True)}))
    return read_card(path)


def _stored_tensors(model: nn.Module, dtype: torch.dtype | None) -> dict[str, Tensor]:
    tensors = {}
    for key, value in model.state_dict().items():
        if key.rpartition(".")[2] != _WARM_START:
            convert = dtype is not None and value.is_floating_point() and value.dim() > 0
            kept = value.detach().to("cpu", dtype if convert else value.dtype)
            tensors[key] = kept.contiguous().clone()
    return tensors


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


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that a reader finds the old content or the new, never a part.

    Raises:
        InputError: the folder cannot be made or written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(temporary, path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise InputError(
            f"Cannot write '{path}': {error.strerror or error}. Choose another output."
        ) from None


def read_card(path: str | Path) -> ModelCard:
    """The card of a checkpoint, from its header alone, without torch.

    Raises:
        InputError: no such file.
        CheckpointError: truncated, not a safetensors file, or without a valid card.
    """
    path = Path(path)
    header = _read_header(path)
    try:
        raw = json.loads(header["__metadata__"][CARD])
        options = raw["options"]
        lam = options.get("lam")
        architecture(raw["arch"])
        return ModelCard(
            name=str(raw["name"]),
            source=str(path),
            arch=raw["arch"],
            options=options,
            data=str(raw["data"]),
            data_hash=str(raw["data_hash"]),
            accuracy=None if raw["accuracy"] is None else float(raw["accuracy"]),
            recipe=raw["recipe"],
            weights_hash=str(raw["weights_hash"]),
            has_lambda=lam is not None,
            lam=None if lam is None else float(lam),
            mean=tuple(float(value) for value in options["mean"]),
            std=tuple(float(value) for value in options["std"]),
            path=path,
        )
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        if isinstance(error, InputError):
            raise CheckpointError(f"'{path}': {error}") from None
        raise CheckpointError(
            f"'{path}' has no valid model card ({type(error).__name__}: {error}). Was it written by sdnet-bench train?"
        ) from None


def _read_header(path: Path) -> dict[str, Any]:
    """The JSON header of a safetensors file, checked against the file's size."""
    try:
        with path.open("rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            first = stream.read(8)
            length = struct.unpack("<Q", first)[0] if len(first) == 8 else 0
            if not 2 <= length <= min(MAX_HEADER, size - 8):
                raise CheckpointError(
                    f"'{path}' is no safetensors checkpoint, or is truncated ({size} bytes)."
                )
            header = json.loads(stream.read(length))
    except (FileNotFoundError, IsADirectoryError):
        raise InputError(f"No checkpoint '{path}'.") from None
    except OSError as error:
        raise InputError(f"Cannot read '{path}': {error.strerror or error}.") from None
    except (ValueError, RecursionError):
        raise CheckpointError(f"'{path}' is no safetensors checkpoint: its header is not JSON.") from None
    try:
        end = max(entry["data_offsets"][1] for key, entry in header.items() if key != "__metadata__")
        complete = end == size - 8 - length
    except (TypeError, KeyError, ValueError, AttributeError, IndexError):
        raise CheckpointError(
            f"'{path}' is no safetensors checkpoint: its header lists no tensors."
        ) from None
    if not complete:
        raise CheckpointError(
            f"'{path}' is truncated: {size - 8 - length} bytes of weights where {end} belong. Fetch or train it again."
        )
    return dict(header)


def load_model(source: str | Path, device: str | torch.device = "cpu") -> nn.Module:
    """Load a model in evaluation mode, its weights frozen.

    Args:
        source: a run's folder or checkpoint, a name of the zoo ("cifar10/sdnet20"), "package.module:function",
            "torchvision:NAME", "timm:NAME", "robustbench:NAME", a Hub id, a TorchScript or exported file.
        device: where to put it.

    Raises:
        InputError: nothing of that name; the message names the nearest.
        CheckpointError: the file is damaged or belongs to another architecture.
    """
    path = Path(source)
    if path.is_dir():
        path = run_checkpoint(path)
    model = load_checkpoint(path)
    return model.to(device)


def run_checkpoint(folder: Path) -> Path:
    """The checkpoint of a run: its last epoch's, which is what its accuracy is reported for.

    Raises:
        InputError: the folder holds none.
    """
    for name in ("last.safetensors", "best.safetensors"):
        if (folder / name).is_file():
            return folder / name
    raise InputError(f"'{folder}' holds no checkpoint (last.safetensors). Is it the folder of a run?")


def load_checkpoint(path: Path) -> nn.Module:
    """Load a checkpoint that `save_model` wrote; its tensors must match the hash in its card."""
    import safetensors.torch

    from .control import normalise_atoms
    from .sdnet import rebuild

    card = read_card(path)
    try:
        tensors = safetensors.torch.load_file(path)
    except (safetensors.SafetensorError, OSError) as error:
        raise CheckpointError(f"'{path}' is damaged: {error}") from None
    if _hash_tensors(tensors) != card.weights_hash:
        raise CheckpointError(f"'{path}' is damaged: its weights do not match the hash in its card.")
    model = rebuild(card.arch, card.options)
    fill(model, tensors, str(path))
    model.eval().requires_grad_(False)
    normalise_atoms(model)
    return model


def fill(model: nn.Module, tensors: Mapping[str, Tensor], where: str) -> None:
    """Copy tensors into a model, converted to its types; every tensor but the power iteration's must be there.

    Raises:
        CheckpointError: names or shapes differ; the message holds the first differences.
    """
    own = {key: value for key, value in model.state_dict().items() if key.rpartition(".")[2] != _WARM_START}
    wrong = [f"{key} is missing" for key in own if key not in tensors]
    wrong += [
        f"{key} is unknown" for key in tensors if key not in own and key.rpartition(".")[2] != _WARM_START
    ]
    wrong += [
        f"{key} is {list(tensors[key].shape)}, not {list(value.shape)}"
        for key, value in own.items()
        if key in tensors and tensors[key].shape != value.shape
    ]
    if wrong:
        raise CheckpointError(
            f"'{where}' does not fit {getattr(model, 'arch', 'the model')}: {'; '.join(wrong[:3])}"
            + (f" and {len(wrong) - 3} more" if len(wrong) > 3 else "")
        )
    model.load_state_dict({key: tensors[key] for key in own}, strict=False)
