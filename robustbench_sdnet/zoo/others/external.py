"""Other people's models: Python functions, exported files, torchvision, timm, RobustBench and the Hugging Face Hub.

Their packages are imported when such a model is asked for, and are no requirement of this package.
"""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from ...errors import InputError, ModelError
from ...files import sha256_of
from ...reading.paths import check_file
from ..files.cards import ModelCard
from .sources import (
    INSTALL,
    LOADERS,
    Loaded,
    Statistics,
    file_of,
    need,
    statistics,
    working_folder_importable,
)

if TYPE_CHECKING:
    from torch import nn

    from ...specs import ModelSpec


def parse_normalisation(source: str) -> tuple[str, Statistics, Statistics]:
    """Split "NAME?mean=a,b,c&std=a,b,c", both once or neither, of one or three numbers; else an InputError."""
    name, mark, query = source.partition("?")
    if not mark:
        return name, (), ()
    pairs = parse_qsl(query)
    given = dict(pairs)
    if len(pairs) != 2 or set(given) != {"mean", "std"}:
        raise InputError(
            f"'{source}': the suffix is ?mean=a,b,c&std=a,b,c, both of them. In a shell the name needs quotes, for '&'."
        )
    return name, *statistics(given["mean"].split(","), given["std"].split(","), f"'{source}'")


def check_external(kind: str, source: str) -> None:
    """Refuse, with an InputError, an external source that cannot be loaded here; its package is not imported."""
    name, _, _ = parse_normalisation(source)
    if kind == "exported":
        if not file_of(name).is_file():
            raise InputError(f"No model file '{name}'.")
        check_file(file_of(name))
    elif kind == "callable":
        module = _module_of(name)
        top = module.partition(".")[0]
        if top == "__main__":
            raise InputError(
                f"Model '{source}' is written in a notebook or script, where no other process finds it. Put it into a "
                f"file and name that: --model file:{name.partition(':')[2]}."
            )
        if f"{module}.".startswith(("robustbench_sdnet.cli.", "robustbench_sdnet.commands.")):
            raise InputError(f"Model '{source}' is the command itself, not a function that returns a model.")
        with working_folder_importable():
            if importlib.util.find_spec(top) is None:
                raise InputError(
                    f"Model '{source}': there is no Python package '{top}' here. Check PYTHONPATH."
                )
    else:
        need(*INSTALL[kind], source)


def load_external(kind: str, source: str) -> nn.Module:
    """Load an external model in evaluation mode, its weights frozen; it takes images in [0, 1].

    Raises:
        InputError: it cannot be found, or its normalisation is unknown or stated twice.
        ModelError: its own code failed.
    """

    from torch.nn.parameter import is_lazy

    from ..nets.sdnet import Classifier
    from .guard import External, evaluated, named_errors, own_normalisation

    check_external(kind, source)
    name, mean, std = parse_normalisation(source)
    with named_errors(f"Model '{source}'", "while it was being loaded"):
        model, stated_mean, stated_std = _loaded(kind, source, name)
        model = evaluated(model)
        for weight in model.parameters():  # scripted modules have no requires_grad_ of their own
            weight.requires_grad_(False)
        inside = own_normalisation(model)
    if any(not is_lazy(held) and held.is_meta for held in (*model.parameters(), *model.buffers())):
        raise ModelError(
            f"Model '{source}' has weights without values, as on the meta device. Load a checkpoint where it is built."
        )
    if mean and inside is not None:
        raise InputError(
            f"Model '{name}' normalises its input itself, with mean {inside[0]}. Leave out mean and std."
        )
    if type(model) is Classifier and not mean:
        return model  # one of ours, known by its class: anyone's model may have attributes of the same names
    if not mean and inside is None:
        mean, std = stated_mean, stated_std
    if kind == "exported" and not mean and inside is None:
        raise InputError(
            f"'{name}' does not say how it normalises. Write '{name}?mean=a,b,c&std=a,b,c', in quotes; "
            f"'{name}?mean=0&std=1' if it takes images in [0, 1]."
        )
    return External(model, source, mean, std).eval()


def _loaded(kind: str, source: str, name: str) -> Loaded:
    """What the loader of a kind makes of a name; a ModelError where its weights cannot be downloaded."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # other packages' warnings are not this tool's to print
            return LOADERS[kind](name)
    except OSError as error:
        if kind not in INSTALL:
            raise
        # What urllib and requests raise.
        raise ModelError(
            f"Model '{source}': its weights cannot be downloaded ({' '.join(str(error).split())[:300]}). Fetch them "
            f"on a machine with a network; they are looked for in {_cache(kind)}."
        ) from error


def _cache(kind: str) -> str:
    """Where a package keeps what it downloaded."""
    if kind in ("timm", "hub"):
        return "the cache of huggingface_hub (HF_HOME)"
    if kind == "robustbench":
        return "./models"
    import torch

    return f"{torch.hub.get_dir()}/checkpoints (TORCH_HOME)"


def describe_external(kind: str, source: str, size: Sequence[int]) -> ModelCard:
    """The card of an external model, which is loaded, and called on images of a height and width, to know what it is.

    What can change its answers and is in no tensor is in the card's options: how ours was built, the bytes of an
    exported file, the code (`code.code_hash`), and whether two calls disagree.
    """
    from ..files.weights import weights_hash
    from ..nets.control import csc_layers
    from ..nets.resnet import Normalise
    from ..nets.sdnet import Classifier
    from .fingerprint import fingerprint, repeatable, takes_lambda

    model = load_external(kind, source)
    answers, randomised = fingerprint(model, size)
    unseeded = randomised and not repeatable(model, size)
    options = dict(model.options) if isinstance(model, Classifier) else {}
    options["code"] = _code_of(model, kind, source)
    if kind == "exported":
        options["file"] = sha256_of(file_of(source))
    if randomised:
        options["randomised"] = True
    if unseeded:
        options["unseeded"] = True
    layers = csc_layers(model) if takes_lambda(model, size) else []
    mean: Statistics = ()
    std: Statistics = ()
    normalise = getattr(model, "normalise", None)
    if isinstance(normalise, Normalise):
        mean, std = (tuple(values.flatten().tolist()) for values in (normalise.mean, normalise.std))
    try:
        weights = weights_hash(model)
    except Exception as error:  # tensors without values, of a layer that no call has filled
        raise ModelError(f"Model '{source}' has weights that cannot be read: {error}") from error
    return ModelCard(
        name=source,
        source=source,
        arch=source,
        options=options,
        weights_hash=weights,
        has_lambda=bool(layers),
        lam=layers[0].coding.lam if layers else None,
        mean=mean,
        std=std,
        fingerprint=answers,
    )


def check_same(model: nn.Module, spec: ModelSpec, kind: str, weights: str, size: Sequence[int]) -> None:
    """Raise a ModelError if a randomised model, just loaded, is not the driver's, which its answers do not tell.

    Args:
        weights: `weights_hash` of the driver's, just loaded too: calls may change it.
        size: height and width of images.
    """
    from ..files.weights import weights_hash
    from .fingerprint import fingerprint

    if weights_hash(model) != weights:
        raise ModelError(
            f"{spec.name} has other weights on a worker than in the driver. Have the same checkpoint on every machine, "
            "and seed weights that are drawn: torch.manual_seed(0)."
        )
    described = dict(spec.options)["code"]
    if _code_of(model, kind, spec.source) != described:
        fingerprint(model, size)  # a call may import what it needs
        if _code_of(model, kind, spec.source) != described:
            raise ModelError(
                f"{spec.name} is of other code on a worker than in the driver. Have the same files, and the same "
                "versions of its packages, installed in the same way, on every machine."
            )


def _code_of(model: nn.Module, kind: str, source: str) -> str:
    """The `code.code_hash` of a model, from the module of its function on where that built it."""
    from .code import code_hash

    with working_folder_importable():
        return code_hash(model, *([_module_of(source)] if kind == "callable" else []))


def _module_of(source: str) -> str:
    """The module in "package.module:function?mean=...&std=..."."""
    return source.partition("?")[0].partition(":")[0]
