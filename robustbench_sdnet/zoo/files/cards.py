"""The card of a checkpoint: what is known of a set of weights without loading them, and without torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from ...errors import CheckpointError, InputError
from ...reading.numbers import number
from ...reading.paths import check_file, path_of
from ..nets.architectures import architecture

CARD = "card"  # the one metadata entry of a checkpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCard:
    """What is known about a set of weights without loading them.

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
        has_lambda: whether the model has sparse coding layers, and answers at the lambda that is set on them.
        lam: lambda in training, None where there is none to set.
        mean, std: of the normalisation inside the model.
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
        InputError: no such file, or one that may not be read.
        CheckpointError: truncated, not a safetensors file, or without a valid card.
    """
    path = path_of(path)
    metadata = _metadata(path)
    try:
        raw = json.loads(metadata[CARD])
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
            accuracy=check_accuracy(raw["accuracy"]),
            recipe=raw["recipe"],
            weights_hash=str(raw["weights_hash"]),
            has_lambda=lam is not None,
            lam=None if lam is None else float(lam),
            mean=tuple(float(value) for value in options["mean"]),
            std=tuple(float(value) for value in options["std"]),
            path=path,
        )
    except InputError as error:
        raise CheckpointError(f"'{path}': {error}") from None
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError, OverflowError) as error:
        raise CheckpointError(
            f"'{path}' has no valid model card ({type(error).__name__}: {error}), as files that train wrote have. "
            "For weights of your own, write a function that loads them, and name package.module:function."
        ) from None


def check_accuracy(value: object) -> float | None:
    """A share of images, or None where none is stated; an InputError for anything else, such as 95.3 for 95.3 %."""
    return None if value is None else number(value, "accuracy must be a number from 0 to 1", 0, 1)


def _metadata(path: Path) -> dict[str, str]:
    """The texts in the header of a safetensors file, which must be as long as its header says."""
    if not path.exists():
        raise InputError(f"No checkpoint '{path}'.")
    check_file(path)  # safetensors calls missing what may not be read
    try:
        with safe_open(path, framework="numpy") as file:
            return dict(file.metadata() or {})
    except SafetensorError as error:
        raise CheckpointError(
            f"'{path}' is truncated, or not a safetensors checkpoint ({error}). Fetch or train it again."
        ) from None
    except OSError as error:
        raise InputError(f"Cannot read '{path}' ({error.strerror or error}).") from None
