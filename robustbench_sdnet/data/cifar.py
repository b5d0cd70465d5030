"""CIFAR-10 and CIFAR-100 (Krizhevsky 2009) in their published python format, fetched and checked.

The folder that torchvision unpacks is read as it is. The batches are pickles; they are read by an
unpickler that knows NumPy arrays and nothing else, so that a file from a mirror cannot run code.
"""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DataError
from ..reading.archives import BROKEN
from ..reading.arrays import read_header
from .archives import fetch_members
from .images import ImageData, from_arrays

_DAMAGED = (*BROKEN, pickle.UnpicklingError, AttributeError, IndexError)


@dataclass(frozen=True)
class Source:
    """Where one data set lies and what it holds."""

    folder: str
    files: dict[str, tuple[str, ...]]
    labels: str
    num_classes: int


SOURCES = {
    "cifar10": Source(
        folder="cifar-10-batches-py",
        files={"train": tuple(f"data_batch_{part}" for part in range(1, 6)), "test": ("test_batch",)},
        labels="labels",
        num_classes=10,
    ),
    "cifar100": Source(
        folder="cifar-100-python",
        files={"train": ("train",), "test": ("test",)},
        labels="fine_labels",
        num_classes=100,
    ),
}


def load(name: str, split: str, *, root: Path, download: bool) -> ImageData:
    """Read a split from `root`, fetching the archive first where it is missing.

    Raises:
        DataError: nothing there and no download, a failed download, or damaged files.
    """
    source = SOURCES[name]
    folder = root / source.folder
    files = [file for files in source.files.values() for file in files]
    if not all((folder / file).is_file() for file in files):
        if not download:
            raise DataError(f"{name} is not in {root}. Allow the download, or use npz:PATH.")
        fetch_members(name, root, [f"{source.folder}/{file}" for file in files])
    batches = [_read_batch(folder / file, source.labels) for file in source.files[split]]
    images = np.concatenate([images for images, _ in batches])
    labels = np.concatenate([labels for _, labels in batches])
    return from_arrays(name, split, images, labels, source.num_classes, str(folder))


def _read_batch(path: Path, labels_key: str) -> tuple[Any, Any]:
    try:
        with path.open("rb") as file:
            batch = _ArrayUnpickler(file, encoding="latin1").load()
        pixels, labels = batch["data"], np.asarray(batch[labels_key])
        images = pixels.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        if labels.shape != (len(images),):
            raise ValueError("another number of labels")
    except _DAMAGED as error:
        raise DataError(
            f"{path} is damaged ({type(error).__name__}). Delete its folder, so that it is fetched again."
        ) from error
    return images, labels


def unpickled_npy(path: Path) -> Any:
    """The object in a .npy file that NumPy pickled, read as the batches are; DataError for anything but arrays."""
    try:
        with path.open("rb") as file:
            read_header(file)
            return _ArrayUnpickler(file, encoding="latin1").load().item()
    except _DAMAGED as error:
        raise DataError(f"{path} is damaged or not an array ({error}).") from error


# NumPy's own: an empty array, which the pickle then fills. Its module was renamed between versions.
_reconstruct = np.empty(0).__reduce__()[0]
_CONSTRUCTORS: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
    ("_codecs", "encode"): str.encode,
}


class _ArrayUnpickler(pickle.Unpickler):
    """Reads containers, numbers, strings and NumPy arrays; refuses everything that could run code."""

    def find_class(self, module: str, name: str) -> Any:
        """The constructors that arrays need."""
        try:
            return _CONSTRUCTORS[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}") from None
