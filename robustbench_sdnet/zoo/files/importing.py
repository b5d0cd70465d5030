"""Import of the released SDNet checkpoints: pickled state dicts, read without running any code in them."""

from __future__ import annotations

import math
import pickle
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...errors import CheckpointError, InputError
from ...reading.archives import members
from ...reading.paths import path_of
from ..nets.architectures import ARCHITECTURES, architecture
from ..nets.control import has_lambda, normalise_atoms, refresh_step_sizes
from ..nets.sdnet import Classifier, rebuild
from .weights import check_fit, fill

STEP_SIZES = ("recompute", "checkpoint")
# Where training scripts keep their weights; of a file that holds several, the first of these counts.
PLACES = ("state_dict", "model_state_dict", "model", "net", "ema")
_WRAPPED = re.compile(r"^(?:(?:module|model|net)\.)+")
_UNSUPPORTED = re.compile(r"(?:[Uu]nsupported (?:global: +)?GLOBAL |but got <class ')([\w.]+)")


def import_checkpoint(
    path: str | Path,
    arch: str,
    *,
    lam: float = 0.1,
    step_size: str = "recompute",
    **options: Any,
) -> Classifier:
    """Load `model_best.pth.tar` (a bare state dict) or `checkpoint.pth.tar` (one under `state_dict` or the like).

    The width is that of its stem unless `options` give another.

    Args:
        path: the file; it is read with `weights_only=True`, and one that holds code is refused.
        arch: the architecture that wrote it.
        lam: the lambda it was trained with, which released checkpoints do not store.
        step_size: "recompute" the step sizes to convergence from the dictionaries, or trust the "checkpoint",
            which gives its exact logits.
        options: of `build_model`: `shortcut`, `num_classes` and `input_size` of its data set, `mean` and `std` that its
            data loader subtracted and divided by, ... A file that holds them is taken at its word; others than its own
            are refused.

    Returns:
        The model in evaluation mode, its weights frozen.

    Raises:
        InputError: no such file, an unknown architecture or option.
        CheckpointError: damaged, holds code or weights that are not finite, belongs to another architecture, or
            normalises images in another way than was given.
    """
    if step_size not in STEP_SIZES:
        raise InputError(f"step_size must be 'recompute' or 'checkpoint', got '{step_size}'.")
    sparse = {} if architecture(arch).sparse == "none" else {"lam": lam}
    path = path_of(path)
    tensors = read_state_dict(path)
    stem = _stem(tensors)
    width = {} if stem is None else {"width": len(stem)}
    normalisation = _normalisation(tensors)
    not_given = {name: value for name, value in normalisation.items() if options.get(name) is None}
    model = rebuild(arch, {**sparse, **width, **options, **not_given})
    _load(model, tensors, path, step_size)
    for name, value in normalisation.items():
        if not np.allclose(model.options[name], value, rtol=1e-6):
            raise CheckpointError(
                f"'{path}' normalises images itself, with {name} {', '.join(map(str, value))} and not what was given. "
                f"Leave --{name} out, or normalise.{name} out of the file."
            )
    model.eval().requires_grad_(False)
    if has_lambda(model):
        (refresh_step_sizes if step_size == "recompute" else normalise_atoms)(model)
    return model


def _normalisation(tensors: Mapping[str, Tensor]) -> dict[str, tuple[float, ...]]:
    """The options `mean` and `std` that a file holds itself."""
    options: dict[str, tuple[float, ...]] = {}
    for name in ("mean", "std"):
        if (tensor := tensors.get(f"normalise.{name}")) is not None:
            # As short as tells the float32 apart.
            options[name] = tuple(float(str(value)) for value in tensor.detach().float().flatten().numpy())
    return options


def _load(model: Classifier, tensors: Mapping[str, Tensor], path: Path, step_size: str) -> None:
    """Fill a model with the tensors of a file, and refuse those that do not fit it or are not finite."""
    state = dict(tensors)
    for key, initial in model.state_dict().items():
        # The released models normalise in their data loader, and old ones do not count batches, as only training reads.
        optional = key.startswith("normalise.") or key.endswith(".num_batches_tracked")
        recomputed = step_size == "recompute" and key.endswith(".step_size")
        if recomputed or (optional and key not in state):
            state[key] = initial
    try:
        check_fit(model, state, str(path))
    except CheckpointError as error:
        raise CheckpointError(f"{error}.{_likely(tensors, model.arch)}") from None
    fill(model, state)
    for key, value in model.state_dict().items():
        lowest = {"step_size": 1e-30, "running_var": 0.0}.get(key.rpartition(".")[2], -math.inf)
        if (value < lowest).any():
            raise CheckpointError(f"'{path}' holds a {key} of {float(value.min()):g}, which is impossible.")
    if wrong := [key for key, value in model.state_dict().items() if not torch.isfinite(value).all()]:
        raise CheckpointError(
            f"'{path}' holds weights that are not finite ({', '.join(wrong[:3])}): its training diverged, or it is not "
            "the file that was meant."
        )


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """The tensors of a pickled checkpoint by name, without the prefixes of DataParallel, torch.compile and Lightning.

    Raises:
        InputError: no such file.
        CheckpointError: damaged, holds code, or holds no state dict.
    """
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals(_numpy_values()):
            warnings.simplefilter("ignore")  # of old formats, on which no user can act
            raw = torch.load(path, map_location="cpu", weights_only=True)
    except (FileNotFoundError, IsADirectoryError):
        raise InputError(f"No checkpoint '{path}'.") from None
    except PermissionError as error:
        raise InputError(f"Cannot read '{path}': {error.strerror}.") from None
    except Exception as error:  # noqa: BLE001  what a hostile or damaged file makes of torch's reader is no fixed list
        raise CheckpointError(f"'{path}' {_why_refused(path, error)}") from None
    state = _state(raw)
    if state is None:
        held = f" It holds {', '.join(map(str, list(raw)[:5]))}." if isinstance(raw, Mapping) and raw else ""
        raise CheckpointError(f"'{path}' holds no state dict (a mapping of names to tensors).{held}")
    tensors = {_WRAPPED.sub("", key.replace("_orig_mod.", "")): value for key, value in state.items()}
    if len(tensors) < len(state):
        raise CheckpointError(
            f"'{path}' holds one name under several prefixes. Save the model's own state_dict."
        )
    tensors.pop("n_averaged", None)  # a count beside the averaged weights
    for key, value in tensors.items():
        if value.layout != torch.strided or value.is_quantized or value.is_complex() or value.is_meta:
            raise CheckpointError(
                f"'{path}' holds a {key} that is not a plain tensor of real numbers. Save it as one."
            )
    return tensors


def _state(raw: Any, depth: int = 0) -> dict[str, Tensor] | None:
    """The first mapping of names to tensors, at the top or in the usual places."""
    if not isinstance(raw, Mapping) or not raw or depth > len(PLACES):  # a hostile one may hold itself
        return None
    if all(isinstance(value, Tensor) for value in raw.values()):
        return {str(key): value for key, value in raw.items()}
    for place in PLACES:
        state = _state(raw[place], depth + 1) if place in raw else None
        if state is not None:
            return state
    return None


def _why_refused(path: Path, error: Exception) -> str:
    """What is wrong with a file that torch does not read; only one that is broken is called damaged."""
    named = _UNSUPPORTED.search(str(error)) if isinstance(error, pickle.UnpicklingError) else None
    if named:
        return (
            f"holds code ({named[1]}) and was refused: loading it could run anything. "
            "Save its state_dict alone where you trust it."
        )
    inside = members(path)
    if any("/code/" in name or name.endswith(("archive_format", "exported_program.json")) for name in inside):
        model = path if path.suffix in (".pt", ".pt2") else path.with_suffix(".pt")
        renamed = "" if model == path else f"Rename it to {model.name}. "
        return (
            f"is an exported model, not a checkpoint. {renamed}Use it as it is: "
            f"--model '{model}?mean=a,b,c&std=a,b,c'."
        )
    if any(name.endswith("data.pkl") for name in inside):
        return "holds objects that cannot be read without running code. Save its state_dict alone where you trust it."
    if inside:
        return "is not a PyTorch checkpoint."
    return f"is damaged, or not a PyTorch checkpoint ({type(error).__name__})."


def _numpy_values() -> list[Any]:
    """The NumPy numbers and arrays that checkpoints hold beside the weights; making one runs no code."""
    scalar = np.float64(0).__reduce__()[0]  # numpy.(_)core.multiarray.scalar of either NumPy
    array = np.zeros(1).__reduce__()[0]
    old = [(scalar, "numpy.core.multiarray.scalar"), (array, "numpy.core.multiarray._reconstruct")]
    # Of all types but objects, whose arrays hold anything.
    kinds = {type(np.dtype(code)) for code in np.typecodes["All"] if code not in "OV"}
    return [*old, scalar, array, np.ndarray, np.dtype, *kinds]


def _stem(tensors: Mapping[str, Tensor]) -> Tensor | None:
    """The weight (d, c, k, k) of the first layer, None where there is none of that shape."""
    weight = tensors.get("layer0.0.dn.weight", tensors.get("layer0.0.weight"))
    return weight if weight is not None and weight.dim() == 4 else None


def _likely(tensors: Mapping[str, Tensor], arch: str) -> str:
    """Which architecture wrote these tensors, judged by names and shapes, where `arch` was given."""
    blocks: dict[str, set[str]] = {}
    for key in tensors:
        match = re.fullmatch(r"layer([1-9])\.(?:layers\.)?(\d+)\.conv1\.(?:dn\.)?weight", key)
        if match:
            blocks.setdefault(match[1], set()).add(match[2])
    everywhere = any(key.startswith("layer1.layers.") for key in tensors)
    sparse = "all" if everywhere else "stem" if "layer0.0.dn.weight" in tensors else "none"
    depth = tuple(len(blocks[stage]) for stage in sorted(blocks))
    names = [name for name, plan in ARCHITECTURES.items() if plan.blocks == depth and plan.sparse == sparse]
    if not names or "linear.weight" not in tensors:
        return " No architecture known here fits it."
    details = [f"num_classes={tensors['linear.weight'].shape[0]}"]
    if everywhere and ARCHITECTURES[names[0]].projects and not any(".shortcut." in key for key in tensors):
        details.append("shortcut=False")
    stem = _stem(tensors)
    if stem is not None and stem.shape[-1] == 7:
        details.append("an ImageNet stem")
    if stem is not None and len(stem) != ARCHITECTURES[names[0]].width:
        details.append(f"width={len(stem)}")
    same = ", not what was given" if names[0] == arch else ""
    return f" It looks like {names[0]} with {', '.join(details)}{same}."
