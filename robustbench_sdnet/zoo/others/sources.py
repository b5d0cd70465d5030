"""How each kind of external model is loaded: a Python function, an exported file, and the packages of others."""

from __future__ import annotations

import importlib
import importlib.util
import json
import math
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from ...errors import CheckpointError, InputError, unknown
from ...reading.archives import members
from ...reading.paths import path_of
from ...reading.structured import mapping, parse_json
from ..files.cards import read_card
from ..files.weights import load_checkpoint

if TYPE_CHECKING:
    from torch import nn
    from torch.export import ExportedProgram

Statistics = tuple[float, ...]
Loaded = tuple["nn.Module", Statistics, Statistics]  # a model, and the mean and std that its source states
# Extra file of a TorchScript or exported model: {"mean": [...], "std": [...]}
METADATA = "normalisation.json"
INSTALL: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "torchvision": ("torchvision", "pip install torchvision"),
        "timm": ("timm", "pip install 'robustbench-sdnet[timm]'"),
        "robustbench": ("robustbench", "pip install robustbench"),
        "hub": ("huggingface_hub", "pip install 'robustbench-sdnet[hub]'"),
    }
)


def pickled(name: str) -> str:
    """What to do with a file of pickled weights, which says nothing of the network that they are of."""
    return (
        f"'{name}' is a pickled checkpoint. Of an architecture built here, import it (sdnet-bench zoo import "
        f"{shlex.quote(name)} -h); of another, write a function that loads it, and name package.module:function."
    )


def _from_callable(name: str) -> Loaded:
    import torch

    module_name, _, function = name.partition(":")
    with working_folder_importable():
        try:
            module = importlib.import_module(module_name)
        except ModuleNotFoundError as error:
            raise InputError(f"Model '{name}': no module named '{error.name}'. Check PYTHONPATH.") from None
        make = getattr(module, function, None)
        if make is None:
            known = [
                key for key, value in vars(module).items() if callable(value) and not key.startswith("_")
            ]
            raise unknown(f"function of {module_name}", function, known)
        model = make() if not isinstance(make, torch.nn.Module) else make
    if not isinstance(model, torch.nn.Module):
        raise InputError(f"Model '{name}' must return a torch.nn.Module, got {type(model).__name__}.")
    return model, (), ()


def _from_file(name: str) -> Loaded:
    import torch

    path = file_of(name)
    inside = members(path)
    if not inside:
        raise CheckpointError(f"'{name}' is damaged, or no TorchScript or exported model.")
    extra = {METADATA: ""}
    if any("/code/" in item for item in inside):
        jit: Any = torch.jit  # states no types
        model = jit.load(path, map_location="cpu", _extra_files=extra)
    elif any(item.endswith("data.pkl") for item in inside) and not any("models/" in item for item in inside):
        raise InputError(pickled(name))
    else:
        program = torch.export.load(path, extra_files=extra)
        if batch := _fixed_batch(program):
            raise InputError(
                f"'{name}' takes batches of exactly {batch}. "
                "Export it with dynamic_shapes=({0: torch.export.Dim('n')},)."
            )
        model = program.module()
    written = parse_json(extra[METADATA] or "{}", f"'{name}'", CheckpointError)
    stated = mapping(written, f"'{name}'", CheckpointError)
    if not stated:
        return model, (), ()
    return model, *statistics(stated.get("mean"), stated.get("std"), f"{METADATA} of '{name}'")


def file_of(source: str) -> Path:
    """The exported file that a source names, its normalisation left out."""
    return path_of(source.partition("?")[0])


def _fixed_batch(program: ExportedProgram) -> int | None:
    """The one batch size that an exported program takes; None where it takes any, or its first input is no tensor."""
    first = program.graph_signature.user_inputs[:1]
    for node in program.graph.nodes:
        if node.op == "placeholder" and node.name in first:
            shape = getattr(node.meta.get("val"), "shape", ())
            return shape[0] if shape and isinstance(shape[0], int) else None
    return None


def _from_torchvision(name: str) -> Loaded:
    from torchvision import models

    name = name.partition(":")[2]
    if name not in models.list_models(module=models):
        raise unknown("torchvision model", name, models.list_models(module=models))
    weights = models.get_model_weights(name).DEFAULT
    preset = weights.transforms()
    return models.get_model(name, weights=weights), tuple(preset.mean), tuple(preset.std)


def _from_timm(name: str) -> Loaded:
    import timm

    model = timm.create_model(name.partition(":")[2], pretrained=True)
    return model, tuple(model.pretrained_cfg["mean"]), tuple(model.pretrained_cfg["std"])


def _from_robustbench(name: str) -> Loaded:
    try:
        from robustbench.utils import load_model
    except ModuleNotFoundError as error:  # torchattacks ships a part of an old RobustBench under its name
        raise InputError(
            f"Model '{name}' needs the package robustbench ({error}). Install it: {INSTALL['robustbench'][1]}"
        ) from None

    # [data set/[threat model/]]NAME; RobustBench's models normalise by themselves.
    *prefix, model = name.partition(":")[2].split("/")
    data = prefix[0] if prefix else "cifar10"
    threat = prefix[1] if len(prefix) > 1 else "Linf"
    return load_model(model_name=model, dataset=data, threat_model=threat), (), ()


def _from_hub(name: str) -> Loaded:
    from huggingface_hub import hf_hub_download, list_repo_files

    repository = name.partition(":")[2]
    files = list_repo_files(repository)
    for file in files:
        if file.endswith(".safetensors"):
            path = Path(hf_hub_download(repository, file))
            if _has_card(path):
                return load_checkpoint(path), (), ()
    config = json.loads(Path(hf_hub_download(repository, "config.json")).read_text(encoding="utf-8"))
    if "architecture" in config:
        need(*INSTALL["timm"], name)
        return _from_timm(f"timm:hf-hub:{repository}")
    need("transformers", "pip install transformers", name)
    transformers = importlib.import_module("transformers")
    processor = transformers.AutoImageProcessor.from_pretrained(repository)
    model = transformers.AutoModelForImageClassification.from_pretrained(repository)
    return model, tuple(processor.image_mean), tuple(processor.image_std)


def _has_card(path: Path) -> bool:
    try:
        read_card(path)
    except CheckpointError:
        return False
    return True


def statistics(mean: Any, std: Any, where: str) -> tuple[Statistics, Statistics]:
    """Mean and deviation of an input, by its channels: one number or three each; an InputError for anything else."""
    try:
        found = tuple(float(part) for part in mean), tuple(float(part) for part in std)
    except (TypeError, ValueError):
        raise InputError(f"{where}: mean and std must be numbers, such as 0.485,0.456,0.406.") from None
    counted = all(len(values) in (1, 3) and all(map(math.isfinite, values)) for values in found)
    if not counted or not all(0 < value < 1e6 for value in found[1]):
        raise InputError(f"{where}: mean and std must be one or three finite numbers, with std above 0.")
    return found


def need(package: str, command: str, source: str) -> None:
    """Refuse a model whose package is not installed, with an InputError that says the command which installs it."""
    if importlib.util.find_spec(package) is None:
        raise InputError(f"Model '{source}' needs the package {package}. Install it: {command}")


@contextmanager
def working_folder_importable() -> Iterator[None]:
    """Let "module:function" mean a file of the working folder, as it does under `python -m`."""
    folder = str(Path.cwd())
    if folder in sys.path or "" in sys.path:
        yield
        return
    sys.path.append(folder)
    try:
        yield
    finally:
        sys.path.remove(folder)


LOADERS: Mapping[str, Callable[[str], Loaded]] = MappingProxyType(
    {
        "callable": _from_callable,
        "exported": _from_file,
        "torchvision": _from_torchvision,
        "timm": _from_timm,
        "robustbench": _from_robustbench,
        "hub": _from_hub,
    }
)
