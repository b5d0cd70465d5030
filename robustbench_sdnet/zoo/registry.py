"""What can be built and what is at hand, without importing torch: architectures, cards of checkpoints, the shipped zoo.

A `ModelCard` describes one set of weights. It is read from a checkpoint's own header, or from `index.yaml`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ..errors import SdnetBenchError, unknown

CIFAR_MEAN, CIFAR_STD = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True, slots=True)
class Architecture:
    """One architecture.

    Attributes:
        blocks: basic blocks (two 3x3 convolutions each) in each stage; channels double from stage to stage.
        width: channels of the stem and the first stage.
        sparse: which convolutions are sparse coding layers: "none", "stem" or "all".
        summary: one line for listings.
    """

    blocks: tuple[int, ...]
    width: int
    sparse: str
    summary: str

    @property
    def projects(self) -> bool:
        """Whether shortcuts that change shape are 1x1 convolutions (else: subsampled and zero-padded)."""
        return len(self.blocks) > 3


_DEPTHS: Mapping[str, tuple[tuple[int, ...], int]] = {
    "18": ((2, 2, 2, 2), 64),
    "34": ((3, 4, 6, 3), 64),
    "20": ((3, 3, 3), 16),
}
_FAMILIES = (
    ("resnet{}", "none", "plain residual network"),
    ("sdnet{}", "stem", "sparse coding stem, plain residual blocks"),
    ("sdnet{}_all", "all", "sparse coding in the stem and in every block"),
)

ARCHITECTURES: Mapping[str, Architecture] = MappingProxyType(
    {
        pattern.format(depth): Architecture(blocks, width, sparse, f"{summary}, {depth} layers")
        for pattern, sparse, summary in _FAMILIES
        for depth, (blocks, width) in _DEPTHS.items()
    }
)


def architecture(name: str) -> Architecture:
    """The architecture of that name.

    Raises:
        InputError: unknown name; the message names the nearest one.
    """
    if name not in ARCHITECTURES:
        raise unknown("architecture", name, ARCHITECTURES)
    return ARCHITECTURES[name]


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


def find_models(data: str, *, train_hash: str | None = None, runs: str | Path = "runs") -> list[ModelCard]:
    """Every model at hand that was trained on a data set: runs first, the newest first, then the shipped zoo.

    Args:
        data: name of the data set, as cards hold it.
        train_hash: content hash of its training split; a run on the same images counts whatever they were called.
        runs: the folder of runs.
    """
    cards = [card for card in _runs(Path(runs)) if _trained_on(card, data, train_hash)]
    return cards


def _trained_on(card: ModelCard, data: str, train_hash: str | None) -> bool:
    return card.data == data or (bool(train_hash) and card.data_hash == train_hash)


def _runs(folder: Path) -> list[ModelCard]:
    """Cards of every readable run, the newest first; a damaged one is not at hand, so it is left out."""
    from .weights import read_card, run_checkpoint

    found = []
    for run in folder.iterdir() if folder.is_dir() else ():
        if not run.is_dir():
            continue
        try:
            path = run_checkpoint(run)
            card = read_card(path)
        except SdnetBenchError:
            continue
        found.append((path.stat().st_mtime_ns, run.name, replace(card, name=run.name, source=str(run))))
    return [card for _, _, card in sorted(found, key=lambda item: item[:2], reverse=True)]


def describe_model(source: str) -> ModelCard:
    """The card of whatever `load_model` would load.

    Raises:
        InputError: nothing of that name.
        CheckpointError: a damaged checkpoint.
    """
    from .weights import read_card, run_checkpoint

    path = Path(source)
    if path.is_dir():
        return replace(read_card(run_checkpoint(path)), name=path.resolve().name, source=source)
    return replace(read_card(path), source=source)


def newest_run(runs: str | Path = "runs") -> ModelCard | None:
    """The card of the newest run, whose data set is the default of `corrupt` and `attack`."""
    return next(iter(_runs(Path(runs))), None)


def check_source(source: str) -> None:
    """Refuse a model that cannot be meant, without importing torch or the model's own module.

    Raises:
        InputError: neither a file or folder, nor a name of the shipped zoo, nor "package:name".
    """
    if ":" not in source:
        describe_model(source)
