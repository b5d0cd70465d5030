"""The card of a checkpoint: what is known of a set of weights without loading them, and without torch."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...errors import CheckpointError, InputError
from ..nets.architectures import architecture

CARD = "card"  # the one metadata entry of a checkpoint
MAX_HEADER = 1 << 24  # bytes; the header of a 34-layer network takes 30 kB


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCard:
    """What is known of a set of weights without loading them.

    Attributes:
        name: what reports show: the run's folder, "cifar10/sdnet20", or an external model's source.
        source: what `load_model` takes.
        arch: architecture, or the source of an external model.
        options: what `build_model` needs besides `arch`.
        data: name of the training data ("" where unknown).
        data_hash: content hash of the training split ("" where unknown).
        accuracy: clean test accuracy of the stored weights in [0, 1], or None.
        recipe: the resolved training recipe, or a name.
        weights_hash: sha256 over names, types, shapes and bytes of the tensors.
        has_lambda: whether the model has sparse coding layers.
        lam: lambda in training, None without sparse coding layers.
        mean: of the normalisation inside the model.
        std: of the normalisation inside the model.
        path: the file that holds the weights, or None for external models.
        fingerprint: of an external model: height and width of fixed images, then its logits on them.
    """

    name: str
    source: str
    arch: str
    options: Mapping[str, Any] = field(default_factory=dict)
    data: str = ""
    data_hash: str = ""
    accuracy: float | None = None
    recipe: Any = None
    weights_hash: str = ""
    has_lambda: bool = False
    lam: float | None = None
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    path: Path | None = None
    fingerprint: tuple[float, ...] = ()


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
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError, OverflowError) as error:
        if isinstance(error, InputError):
            raise CheckpointError(f"'{path}': {error}") from None
        raise CheckpointError(
            f"'{path}' has no valid model card ({type(error).__name__}: {error}). "
            "Was it written by sdnet-bench train?"
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
            f"'{path}' is truncated: {size - 8 - length} bytes of weights where {end} belong. "
            "Fetch or train it again."
        )
    return dict(header)
