"""The table of data sets, and the checks that a command makes before any heavy import."""

from __future__ import annotations

import importlib
import os
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from ..errors import InputError, unknown
from ..reading.paths import named, path_of, user_cache

if TYPE_CHECKING:
    from .images import ImageData

SPLITS = ("train", "test")

# name -> module of this package; each has `load(name, split, *, root, download) -> ImageData`
DATASETS: Mapping[str, str] = MappingProxyType(
    {
        "digits": "digits",
        "cifar10": "cifar",
        "cifar100": "cifar",
        "imagenet": "imagenet",
        "npz:PATH": "npz",
        "cifar10c:PATH": "published",
        "cifar100c:PATH": "published",
        "cifar10.1:PATH": "published",
        "cifar10.2:PATH": "published",
        "imagenetc:PATH": "imagenet_c",
    }
)

# Folders of corrupted images -> the clean data set behind them.
CORRUPTED: Mapping[str, str] = MappingProxyType(
    {"cifar10c": "cifar10", "cifar100c": "cifar100", "imagenetc": "imagenet"}
)


def clean_set(name: str) -> str | None:
    """The clean data set behind a folder of corrupted images; None for every other data set."""
    kind, colon, _ = name.partition(":")
    return CORRUPTED.get(kind) if colon else None


def check_clean(data: str | None, what: str) -> None:
    """Refuse a folder of corrupted images, with an InputError, for what perturbs clean ones itself."""
    if clean := clean_set(data or ""):
        raise InputError(
            f"{what} perturbs clean images, got '{data}'. Write --data {clean}; 'corrupt' reads such folders."
        )


def data_text(data: object) -> str:
    """The name of a data set as text; an InputError for arrays."""
    remedy = "Write arrays to a file with numpy.savez, with x_train, y_train, x_test and y_test, and give npz:PATH."
    return named(data, "A data set", remedy)


def check_name(name: str) -> None:
    """Refuse, with an InputError, an unknown data set, one that lacks its path, and a path that does not exist."""
    kind, colon, path = data_text(name).partition(":")
    if not colon and kind in DATASETS:
        return
    if f"{kind}:PATH" not in DATASETS:
        found = path_of(path if path and kind == "imagenet" else name or ".")
        if name and found.is_dir():
            raise InputError(
                f"Data set '{name}' is a folder. Of classes, write imagenet in its place, and --data-root "
                f"{shlex.quote(str(found))}."
            )
        if found.suffix == ".npz":
            raise InputError(f"Data set '{name}': write npz:{found}.")
        raise unknown("data set", name, DATASETS)
    if not path:
        raise InputError(f"Data set '{kind}' needs a path: write {kind}:PATH.")
    if not path_of(path).exists():
        raise InputError(f"Data set '{name}': there is no file or folder '{path}'.")


def short_name(name: str) -> str:
    """A word for folder names: "npz:/data/cifar10.npz" is "cifar10"."""
    kind, colon, path = name.partition(":")
    stem = Path(path).name.removesuffix(".npz") if colon else kind
    return re.sub(r"[^A-Za-z0-9_.]+", "-", stem).strip("-.") or kind


def absolute(name: str) -> str:
    """The name of a data set as it is known in any folder: with the whole of its path."""
    kind, colon, path = name.partition(":")
    return f"{kind}:{path_of(path).absolute()}" if colon else name


def data_root(root: str | os.PathLike[str] | None = None) -> Path:
    """Where downloads are kept: `root`, else $SDNET_BENCH_DATA, else a folder in the user's cache."""
    if chosen := root or os.environ.get("SDNET_BENCH_DATA"):
        return path_of(chosen)
    return user_cache()


def load(
    name: str, split: str = "test", root: str | os.PathLike[str] | None = None, download: bool = True
) -> ImageData:
    """One split of a data set.

    Args:
        name: "digits", "cifar10", "cifar100", "imagenet", "npz:PATH", or a folder of images that were published:
            "cifar10c:PATH", "cifar100c:PATH", "imagenetc:PATH", "cifar10.1:PATH" or "cifar10.2:PATH".
        split: "train" or "test".
        root: folder of downloaded or local data, see `data_root`.
        download: fetch CIFAR where it is missing.

    Returns:
        The split: `images()` (n, h, w, 3) uint8, `labels` (n,) int64 from 0, `ids` and `num_classes`.

    Raises:
        InputError: an unknown name or split, or a missing path.
        DataError: files that are damaged or not what they say they are, or a download that failed.
    """
    check_name(name)
    if split not in SPLITS:
        raise unknown("split", split, SPLITS)
    kind = name.partition(":")[0]
    module = importlib.import_module(f".{DATASETS.get(kind) or DATASETS[f'{kind}:PATH']}", __package__)
    data: ImageData = module.load(name, split, root=data_root(root), download=download)
    return data
