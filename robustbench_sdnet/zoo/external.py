"""Other people's models: Python functions, exported files, torchvision, timm, RobustBench and the Hugging Face Hub.

Their packages are imported when such a model is asked for, and are no requirement of this package.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import sys
import warnings
import zipfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from ..errors import CheckpointError, InputError, ModelError, SdnetBenchError
from .cards import ModelCard, read_card

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import nn

Statistics = tuple[float, ...]
Loaded = tuple["nn.Module", Statistics, Statistics]  # a model, and the mean and std that its source states
_INSTALL: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "torchvision": ("torchvision", "pip install torchvision"),
        "timm": ("timm", "pip install 'robustbench-sdnet[timm]'"),
        "robustbench": ("robustbench", "pip install robustbench"),
        "hub": ("huggingface_hub", "pip install 'robustbench-sdnet[hub]'"),
    }
)
METADATA = (
    "normalisation.json"  # extra file of a TorchScript or exported model: {"mean": [...], "std": [...]}
)


def with_normalisation(source: str, mean: Sequence[float], std: Sequence[float]) -> str:
    """A source that carries its normalisation, for `--mean` and `--std`."""
    name = source.partition("?")[0]
    numbers = (",".join(repr(float(value)) for value in values) for values in (mean, std))
    return "{}?mean={}&std={}".format(name, *numbers)


def parse_normalisation(source: str) -> tuple[str, Statistics, Statistics]:
    """Split "NAME?mean=a,b,c&std=a,b,c"; without the suffix both are empty.

    Raises:
        InputError: one without the other, another key, not one or three numbers, or a deviation of 0.
    """
    name, mark, query = source.partition("?")
    if not mark:
        return name, (), ()
    given = dict(parse_qsl(query))
    if set(given) != {"mean", "std"}:
        raise InputError(f"'{source}': the suffix is ?mean=a,b,c&std=a,b,c, both of them.")
    try:
        mean, std = (tuple(float(part) for part in given[key].split(",")) for key in ("mean", "std"))
    except ValueError:
        raise InputError(f"'{source}': mean and std are numbers, such as 0.485,0.456,0.406.") from None
    if len(mean) not in (1, 3) or len(std) not in (1, 3) or not all(0 < value < 1e6 for value in std):
        raise InputError(f"'{source}': mean and std are one number or three, and std is above 0.")
    return name, mean, std


def check_external(kind: str, source: str) -> None:
    """Refuse an external source that cannot be loaded here, without importing its package.

    Raises:
        InputError: a missing package or file, or a bad suffix.
    """
    name, _, _ = parse_normalisation(source)
    if kind == "exported":
        if not Path(name).is_file():
            raise InputError(f"No model file '{name}'.")
    elif kind == "callable":
        top = name.partition(":")[0].partition(".")[0]
        with _working_folder_importable():
            if importlib.util.find_spec(top) is None:
                raise InputError(
                    f"Model '{source}': there is no Python package '{top}' here. Check PYTHONPATH."
                )
    else:
        package, command = _INSTALL[kind]
        if importlib.util.find_spec(package) is None:
            raise InputError(f"Model '{source}' needs the package {package}. Install it: {command}")


def load_external(kind: str, source: str) -> nn.Module:
    """Load an external model in evaluation mode, its weights frozen; it takes images in [0, 1].

    Raises:
        InputError: it cannot be found, or its normalisation is unknown or stated twice.
        ModelError: its own code failed.
    """
    from .guard import External, own_normalisation

    check_external(kind, source)
    name, mean, std = parse_normalisation(source)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # other packages' warnings are not this tool's to print
            model, stated_mean, stated_std = _LOADERS[kind](name)
    except SdnetBenchError:
        raise
    except Exception as error:
        text = " ".join(str(error).split())[:300]
        raise ModelError(f"Model '{source}' could not be loaded: {type(error).__name__}: {text}") from error
    model.eval()
    for weight in model.parameters():  # scripted modules have no requires_grad_ of their own
        weight.requires_grad_(False)
    inside = own_normalisation(model)
    if mean and inside is not None:
        raise InputError(
            f"Model '{name}' normalises by itself, with mean {inside[0]}. Leave out --mean and --std."
        )
    if kind == "callable" and not mean and hasattr(model, "arch"):
        return model  # one of ours
    if not mean and inside is None:
        mean, std = stated_mean, stated_std
    if kind == "exported" and not mean and inside is None:
        raise InputError(
            f"'{name}' does not say how it normalises. Give --mean and --std; 0,0,0 and 1,1,1 if it takes [0, 1]."
        )
    return External(model, source, mean, std).eval()


def describe_external(kind: str, source: str) -> ModelCard:
    """The card of an external model; it is loaded to hash its weights."""
    from .control import csc_layers
    from .weights import weights_hash

    model = load_external(kind, source)
    layers, normalise = csc_layers(model), getattr(model, "normalise", None)
    mean, std = (
        tuple(getattr(normalise, key).flatten().tolist()) if hasattr(normalise, key) else ()
        for key in ("mean", "std")
    )
    return ModelCard(
        name=source,
        source=source,
        arch=source,
        weights_hash=weights_hash(model),
        has_lambda=bool(layers),
        lam=layers[0].coding.lam if layers else None,
        mean=mean,
        std=std,
    )


def _from_callable(name: str) -> Loaded:
    import torch

    module_name, _, function = name.partition(":")
    with _working_folder_importable():
        try:
            module = importlib.import_module(module_name)
        except ModuleNotFoundError as error:
            raise InputError(f"Model '{name}': no module named '{error.name}'. Check PYTHONPATH.") from None
    make = getattr(module, function, None)
    if make is None:
        raise InputError(f"Model '{name}': module '{module_name}' has no '{function}'.")
    model = make() if not isinstance(make, torch.nn.Module) else make
    if not isinstance(model, torch.nn.Module):
        raise InputError(f"Model '{name}' must return a torch.nn.Module, got {type(model).__name__}.")
    return model, (), ()


def _from_file(name: str) -> Loaded:
    import torch

    from .guard import Exported

    if not zipfile.is_zipfile(name):
        raise CheckpointError(f"'{name}' is no TorchScript or exported model.")
    with zipfile.ZipFile(name) as archive:
        inside = archive.namelist()
    extra = {METADATA: ""}
    if any("/code/" in item for item in inside):
        model = torch.jit.load(name, map_location="cpu", _extra_files=extra)  # type: ignore[no-untyped-call]
    elif any(item.endswith(("data.pkl", "/data.pkl")) for item in inside) and not any(
        "models/" in i for i in inside
    ):
        raise CheckpointError(
            f"'{name}' is a pickled checkpoint. Import its state dict: sdnet-bench zoo import -h"
        )
    else:
        model = Exported(torch.export.load(name, extra_files=extra).module())
    stated = json.loads(extra[METADATA] or "{}")
    return model, tuple(stated.get("mean", ())), tuple(stated.get("std", ()))


def _from_torchvision(name: str) -> Loaded:
    from torchvision import models

    name = name.partition(":")[2]
    if name not in models.list_models(module=models):
        from ..errors import unknown

        raise unknown("torchvision model", name, models.list_models(module=models))
    weights = models.get_model_weights(name).DEFAULT
    preset = weights.transforms()
    return models.get_model(name, weights=weights), tuple(preset.mean), tuple(preset.std)


def _from_timm(name: str) -> Loaded:
    import timm

    model = timm.create_model(name.partition(":")[2], pretrained=True)
    return model, tuple(model.pretrained_cfg["mean"]), tuple(model.pretrained_cfg["std"])


def _from_robustbench(name: str) -> Loaded:
    from robustbench.utils import load_model

    # [data set/[threat model/]]NAME; RobustBench's models normalise by themselves.
    *place, model = name.partition(":")[2].split("/")
    data, threat = (*place, *("cifar10", "Linf")[len(place) :])[:2]
    return load_model(model_name=model, dataset=data, threat_model=threat), (), ()


def _from_hub(name: str) -> Loaded:
    from huggingface_hub import hf_hub_download, list_repo_files

    repository = name.partition(":")[2]
    files = list_repo_files(repository)
    for file in files:
        if file.endswith(".safetensors"):
            path = Path(hf_hub_download(repository, file))
            if _has_card(path):
                from .weights import load_checkpoint

                return load_checkpoint(path), (), ()
    config = json.loads(Path(hf_hub_download(repository, "config.json")).read_text(encoding="utf-8"))
    if "architecture" in config:
        _need("timm", name, _INSTALL["timm"][1])
        return _from_timm(f"timm:hf-hub:{repository}")
    transformers = _need("transformers", name, "pip install transformers")
    processor = transformers.AutoImageProcessor.from_pretrained(repository)
    model = transformers.AutoModelForImageClassification.from_pretrained(repository)
    return model, tuple(processor.image_mean), tuple(processor.image_std)


def _has_card(path: Path) -> bool:
    try:
        read_card(path)
    except CheckpointError:
        return False
    return True


def _need(package: str, source: str, command: str) -> ModuleType:
    if importlib.util.find_spec(package) is None:
        raise InputError(f"Model '{source}' needs the package {package}. Install it: {command}")
    return importlib.import_module(package)


@contextmanager
def _working_folder_importable() -> Iterator[None]:
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


_LOADERS: Mapping[str, Callable[[str], Loaded]] = MappingProxyType(
    {
        "callable": _from_callable,
        "exported": _from_file,
        "torchvision": _from_torchvision,
        "timm": _from_timm,
        "robustbench": _from_robustbench,
        "hub": _from_hub,
    }
)
