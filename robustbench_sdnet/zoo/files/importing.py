"""Import of the released SDNet checkpoints: pickled state dicts, read without running any code in them."""

from __future__ import annotations

import pickle
import re
import warnings
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ...errors import CheckpointError, InputError
from ..nets.architectures import ARCHITECTURES
from ..nets.control import has_lambda, normalise_atoms, refresh_step_sizes
from ..nets.sdnet import rebuild
from .weights import fill

STEP_SIZES = ("recompute", "checkpoint")


def import_checkpoint(
    path: str | Path,
    arch: str,
    *,
    shortcut: bool = True,
    num_classes: int = 10,
    input_size: int = 32,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    lam: float = 0.1,
    step_size: str = "recompute",
    **options: Any,
) -> nn.Module:
    """Load `model_best.pth.tar` (a bare state dict) or `checkpoint.pth.tar` (one under `state_dict`).

    Args:
        path: the file; it is read with `weights_only=True`, and one that holds code is refused.
        arch: the architecture that wrote it.
        shortcut: whether it has shortcuts.
        num_classes: of the data set.
        input_size: side of its images in pixels.
        mean: what its data loader subtracted; None: CIFAR-10's, or ImageNet's with an ImageNet stem.
        std: what its data loader divided by.
        lam: its training lambda, which released checkpoints do not hold.
        step_size: "recompute" the step sizes to convergence from the dictionaries, or trust the "checkpoint",
            which gives its exact logits.
        options: further options of `build_model`.

    Returns:
        The model in evaluation mode, its weights frozen.

    Raises:
        InputError: no such file, an unknown architecture or option.
        CheckpointError: damaged, holds code, or belongs to another architecture.
    """
    if step_size not in STEP_SIZES:
        raise InputError(f"step_size must be 'recompute' or 'checkpoint', got '{step_size}'.")
    given = {
        "shortcut": shortcut,
        "num_classes": num_classes,
        "input_size": input_size,
        "mean": mean,
        "std": std,
    }
    sparse = {"lam": lam} if arch in ARCHITECTURES and ARCHITECTURES[arch].sparse != "none" else {}
    model = rebuild(arch, {**given, **sparse, **options})
    tensors = read_state_dict(Path(path))
    own = model.state_dict()
    # The released models normalise in their data loader; step sizes to be computed anew need not be stored.
    ours = [key for key in own if key.startswith("normalise.")]
    ours += [key for key in own if step_size == "recompute" and key.endswith(".step_size")]
    tensors = {key: own[key] for key in ours} | tensors
    try:
        fill(model, tensors, str(path))
    except CheckpointError as error:
        raise CheckpointError(f"{error}.{_likely(tensors, arch)}") from None
    model.eval().requires_grad_(False)
    if has_lambda(model):
        (refresh_step_sizes if step_size == "recompute" else normalise_atoms)(model)
    return model


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """The tensors of a pickled checkpoint by name, without the prefix of DataParallel.

    Raises:
        InputError: no such file.
        CheckpointError: damaged, holds code, or holds no state dict.
    """
    try:
        with warnings.catch_warnings(), _numpy_scalars():
            warnings.simplefilter(
                "ignore"
            )  # old formats are read with deprecation warnings, which users cannot act on
            raw = torch.load(path, map_location="cpu", weights_only=True)
    except (FileNotFoundError, IsADirectoryError):
        raise InputError(f"No checkpoint '{path}'.") from None
    except pickle.UnpicklingError as error:
        found = re.search(r"(?:GLOBAL|[Uu]nsupported global:?) +`?([\w.]+)", str(error))
        if found is None:
            raise CheckpointError(f"'{path}' is damaged, or no PyTorch checkpoint.") from None
        raise CheckpointError(
            f"'{path}' holds code ({found[1]}) and was refused: loading it could run anything. "
            "Save its state_dict alone where you trust it."
        ) from None
    except (
        RuntimeError,
        EOFError,
        OSError,
        ValueError,
        KeyError,
        IndexError,
        TypeError,
        AttributeError,
    ) as error:
        raise CheckpointError(
            f"'{path}' is damaged, or no PyTorch checkpoint ({type(error).__name__})."
        ) from None
    state = raw.get("state_dict", raw) if isinstance(raw, Mapping) else None
    if not isinstance(state, Mapping) or not state or not all(isinstance(v, Tensor) for v in state.values()):
        raise CheckpointError(f"'{path}' holds no state dict (a mapping of names to tensors).")
    return {str(key).removeprefix("module."): value for key, value in state.items()}


def _numpy_scalars() -> AbstractContextManager[Any]:
    """Allow the NumPy numbers that old checkpoints hold as their accuracy; making one runs no code."""
    allow = getattr(torch.serialization, "safe_globals", None)
    if allow is None:
        return nullcontext()
    scalar = np.float64(0).__reduce__()[0]  # numpy.(_)core.multiarray.scalar of either NumPy
    kinds = [type(np.dtype(kind)) for kind in (np.float64, np.float32, np.int64)]
    context: AbstractContextManager[Any] = allow(
        [(scalar, "numpy.core.multiarray.scalar"), scalar, np.dtype, *kinds]
    )
    return context


def _likely(tensors: Mapping[str, Tensor], asked: str) -> str:
    """Which architecture wrote these tensors, judged by names and shapes."""
    blocks: dict[str, set[str]] = {}
    for key in tensors:
        found = re.fullmatch(r"layer([1-9])\.(?:layers\.)?(\d+)\.conv1\.(?:dn\.)?weight", key)
        if found:
            blocks.setdefault(found[1], set()).add(found[2])
    everywhere = any(key.startswith("layer1.layers.") for key in tensors)
    sparse = "all" if everywhere else "stem" if "layer0.0.dn.weight" in tensors else "none"
    depth = tuple(len(blocks[stage]) for stage in sorted(blocks))
    names = [name for name, plan in ARCHITECTURES.items() if plan.blocks == depth and plan.sparse == sparse]
    if not names or "linear.weight" not in tensors:
        return " It is of no architecture known here."
    details = [f"num_classes={tensors['linear.weight'].shape[0]}"]
    if everywhere and not any(".shortcut." in key for key in tensors):
        details.append("shortcut=False")
    stem = tensors.get("layer0.0.dn.weight", tensors.get("layer0.0.weight"))
    if stem is not None and stem.shape[-1] == 7:
        details.append("an ImageNet stem")
    asked_for = ", not what was asked for" if names[0] == asked else ""
    return f" It looks like {names[0]} with {', '.join(details)}{asked_for}."
