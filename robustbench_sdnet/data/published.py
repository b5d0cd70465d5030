"""The published sets by name: CIFAR-10-C and CIFAR-100-C folders, CIFAR-10.1 and CIFAR-10.2."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, InputError
from ..reading.arrays import open_npy, read_npz
from ..reading.paths import path_of
from .cifar import SOURCES, unpickled_npy
from .images import ImageData, Int64, Uint8, check_labels, from_arrays
from .published_folder import CLEAN, Published
from .registry import CORRUPTED, load as load_data

if TYPE_CHECKING:
    from .picture_folders import PictureFolders

CLASSES = 10  # of CIFAR-10.1 and CIFAR-10.2
BELONGS_TO = {**CORRUPTED, "cifar10.1": "cifar10", "cifar10.2": "cifar10"}


@dataclass(eq=False)
class PublishedPixels:
    """The clean images behind a published folder, and the folder itself."""

    published: Published | PictureFolders
    clean_set: str | None
    root: Path
    download: bool
    in_memory = False

    @property
    def image_shape(self) -> tuple[int, int]:
        """Height and width."""
        return self.published.image_shape

    def __len__(self) -> int:
        return len(self.published)

    def digest(self) -> bytes:
        """A hash of the corrupted files, not of the clean images."""
        return bytes.fromhex(self.published.content_hash)

    def read(self, index: slice | Int64) -> Uint8:
        """(m, h, w, 3) uint8, the clean images; DataError where they are not to be had, or are others."""
        published, file = self.published, self.published.path / f"{CLEAN}.npy"
        if not file.is_file():
            return np.array(self._clean[index])
        array = open_npy(file)
        if array.dtype != np.uint8 or array.shape != (len(published), *published.image_shape, 3):
            raise DataError(f"{file} does not belong to the other files: {array.shape} {array.dtype}.")
        found = np.array(array[index])
        if isinstance(published, Published):  # they are in no content hash, and must stay as they were
            published.check_files([CLEAN])
        return found

    def missing(self) -> str | None:
        """Why the clean images cannot be read, where the folder holds them; None where all is well or none are held."""
        try:
            if (self.published.path / f"{CLEAN}.npy").exists():
                self.read(slice(0, 1))
        except DataError as error:
            return f"{error} The clean images are left out."
        return None

    @cached_property
    def _clean(self) -> NDArray[np.uint8]:
        published = self.published
        if self.clean_set is None:
            raise DataError(f"{published.path} holds corrupted images only.")
        clean = load_data(self.clean_set, "test", self.root, self.download)
        if not np.array_equal(clean.labels, published.labels):
            raise DataError(
                f"{published.path}: its labels are not those of the {self.clean_set} test images."
            )
        return clean.images()


def load(name: str, split: str, *, root: Path, download: bool) -> ImageData:
    """A published set as a data set: "cifar10c:PATH", "cifar100c:PATH", "cifar10.1:PATH" or "cifar10.2:PATH".

    The images of the first two are the clean ones; `corrupted_images` reads the corrupted ones.

    Raises:
        InputError: the training split, which they do not have, or a missing folder.
        DataError: files that are not in the published layout.
    """
    kind, _, path = name.partition(":")
    if kind == "cifar10.2":
        return replace(_load_cifar10_2(name, split, path_of(path)), belongs_to=BELONGS_TO[kind])
    if split != "test":
        raise InputError(f"{name} has a test split only, got '{split}'.")
    if kind == "cifar10.1":
        return replace(_load_cifar10_1(name, path_of(path)), belongs_to=BELONGS_TO[kind])
    classes = SOURCES[BELONGS_TO[kind]].num_classes
    published = Published(path, classes)
    made_of = published.generated.data if published.generated else ""
    belongs_to = made_of or BELONGS_TO[kind]
    pixels = PublishedPixels(published, belongs_to, root, download)
    return ImageData(name, split, published.labels, classes, pixels, belongs_to=belongs_to)


def corrupted_images(data: ImageData, corruption: str, severity: int, start: int, stop: int) -> Uint8:
    """The published images [start, stop) of a data set that `load` opened, (m, h, w, 3) uint8; else an InputError."""
    if not isinstance(data.pixels, PublishedPixels):
        raise InputError(f"'{data.name}' is not a folder of published corruptions. Write cifar10c:PATH.")
    return data.pixels.published.images(corruption, severity, start, stop)


def _load_cifar10_1(name: str, path: Path) -> ImageData:
    """CIFAR-10.1 (Recht et al. 2018, arXiv:1806.00451): version 6 (2,000 images) of a folder, else version 4 (2,021).

    `path` is the folder with `cifar10.1_v6_data.npy` and `cifar10.1_v6_labels.npy`, or one such data file.
    """
    held = [path / f"cifar10.1_{version}_data.npy" for version in ("v6", "v4")]
    for file in [path] if path.is_file() else held:
        if file.is_file():
            labels = open_npy(file.with_name(file.name.replace("_data", "_labels")))
            images = np.array(open_npy(file))
            checked = check_labels(labels, CLASSES, f"{file}: its labels")
            return from_arrays(name, "test", images, checked, CLASSES, str(file))
    raise DataError(f"{path} must hold cifar10.1_v6_data.npy and cifar10.1_v6_labels.npy (or those of v4).")


def _load_cifar10_2(name: str, split: str, path: Path) -> ImageData:
    """CIFAR-10.2 (Lu et al. 2020): 10,000 training and 2,000 test images.

    `path` is the folder with `cifar102_test.npz`, which holds `images` and `labels`, or with `cifar102_test.npy`, a
    pickled dictionary of the same; it is read without running what it might hold.
    """
    file = path / f"cifar102_{split}.npz"
    if file.is_file():
        held = read_npz(file, ("images", "labels"))
    elif (file := file.with_suffix(".npy")).is_file():
        held = unpickled_npy(file)
    else:
        raise DataError(f"{path} must hold cifar102_{split}.npz or cifar102_{split}.npy.")
    try:
        images, labels = np.asarray(held["images"]), np.asarray(held["labels"])
    except (KeyError, TypeError, IndexError, ValueError):
        raise DataError(f"{file} must hold images and labels, one array each.") from None
    return from_arrays(name, split, images, labels, CLASSES, str(file))
