"""The record every data set yields, and its pixels in memory."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, ModelError

MAX_CLASSES = 100_000  # more are taken for identifiers that were stored in place of class numbers

Uint8 = NDArray[np.uint8]
Int64 = NDArray[np.int64]


class Pixels(Protocol):
    """Images that can be read by position; they may lie on disk."""

    @property
    def image_shape(self) -> tuple[int, int]:
        """Height and width."""

    @property
    def in_memory(self) -> bool:
        """Whether reading costs no input or output."""

    def __len__(self) -> int: ...

    def read(self, index: slice | Int64) -> Uint8:
        """(m, h, w, 3) uint8."""

    def digest(self) -> bytes:
        """What identifies the images: a hash of their bytes, or of the files that hold them."""


@dataclass(frozen=True, eq=False)
class ArrayPixels:
    """Images in memory: (n, h, w, 3) uint8."""

    array: Uint8
    in_memory = True

    @property
    def image_shape(self) -> tuple[int, int]:
        return self.array.shape[1], self.array.shape[2]

    def __len__(self) -> int:
        return len(self.array)

    def read(self, index: slice | Int64) -> Uint8:
        return self.array[index]

    def digest(self) -> bytes:
        """SHA-256 over shape and bytes."""
        hasher = hashlib.sha256(repr(self.array.shape).encode())
        hasher.update(np.ascontiguousarray(self.array).data)
        return hasher.digest()


@dataclass(frozen=True, eq=False)
class ImageData:
    """One split of a data set.

    Attributes:
        name: as the user wrote it ("cifar10", "npz:PATH").
        split: "train" or "test".
        labels: (n,) int64 in [0, num_classes).
        num_classes: of the data set, not only of this split.
        pixels: the images.
        numbered_here: no list but the folders that there are number the classes, so that a part of a data set would
            have other numbers than the whole: a model must have just as many classes.
        belongs_to: the data set whose training split goes with these images; empty for that of their own name.
    """

    name: str
    split: str
    labels: Int64 = field(repr=False)
    num_classes: int
    pixels: Pixels = field(repr=False)
    numbered_here: bool = False
    belongs_to: str = ""

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def image_shape(self) -> tuple[int, int]:
        """Height and width."""
        return self.pixels.image_shape

    def images(self, start: int = 0, stop: int | None = None) -> Uint8:
        """The images at positions [start, stop): (m, h, w, 3) uint8."""
        return self.pixels.read(slice(start, len(self) if stop is None else stop))

    @property
    def training_set(self) -> str:
        """The data set whose training split goes with these images."""
        return self.belongs_to or self.name

    @property
    def grouped(self) -> bool:
        """Whether the images are sorted by class: the first cover only a few classes."""
        return bool(np.count_nonzero(np.diff(self.labels)) < len(np.unique(self.labels)))

    def positions(self, count: int) -> Int64:
        """Positions of `count` images that may stand for this split: the first, or evenly spaced if it is grouped."""
        return np.arange(count) * len(self) // count if self.grouped else np.arange(count)

    def check_classes(self, count: int, name: str) -> None:
        """Raise a ModelError unless a model of `count` classes, by its name, numbers them as this data set does."""
        if self.numbered_here and count != self.num_classes:
            raise ModelError(
                f"{name} has {count} classes, but the folder has {self.num_classes} and numbers them itself. Give the "
                "folder of all classes with --data-root, or list their names in order in classes.txt, one per line."
            )
        if (largest := int(self.labels.max())) >= count:
            from_one = largest == count and self.labels.min() == 1
            remedy = "Count the labels from 0." if from_one else "Use a model trained on this data."
            raise ModelError(
                f"{name} has {count} classes, but the data set has labels up to {largest}. {remedy}"
            )

    @cached_property
    def ids(self) -> Int64:
        """(n,) int64, the sample ids that random draws are keyed by: positions in the published order."""
        return np.arange(len(self), dtype=np.int64)

    @cached_property
    def content_hash(self) -> str:
        """SHA-256, in hex, over images and labels of this split; computed once, when first asked for."""
        hasher = hashlib.sha256(self.pixels.digest())
        hasher.update(np.ascontiguousarray(self.labels, dtype="<i8").data)
        return hasher.hexdigest()


def from_arrays(name: str, split: str, images: Any, labels: Any, num_classes: int, where: str) -> ImageData:
    """A checked data set from an image and a label array.

    Args:
        images: must be (n, h, w, 3) uint8 with n > 0.
        labels: must be (n,) integers in [0, num_classes).
        where: the file, for messages.

    Raises:
        DataError: a wrong shape, dtype or label.
    """
    labels = check_labels(labels, num_classes, f"{where}: y_{split}")
    if images.dtype != np.uint8:
        raise DataError(f"{where}: x_{split} must be uint8 (levels 0 to 255), got {_levels(images)}")
    if images.ndim != 4 or images.shape[-1] != 3 or 0 in images.shape:
        raise DataError(
            f"{where}: x_{split} must have shape (n, height, width, 3), got {images.shape}.{shape_remedy(images.shape)}"
        )
    if images.max() == 1:
        raise DataError(
            f"{where}: x_{split} holds the levels 0 and 1 alone, of 0 to 255. Multiply by 255 before rounding to uint8."
        )
    if len(images) != len(labels):
        raise DataError(f"{where}: x_{split} holds {len(images)} images but y_{split} {len(labels)} labels.")
    return ImageData(name, split, labels, num_classes, ArrayPixels(images))


def shape_remedy(shape: Sequence[int], move: str = "transpose") -> str:
    """How images of a wrong shape become (n, height, width, 3), `move` being their method; empty where unknown."""
    if len(shape) == 4 and shape[1] == 3:
        return f" Move the channels to the end: x.{move}(0, 2, 3, 1)."
    if len(shape) == 3 and shape[2] == 3:
        return " Write x[None] for one image."
    remedies = {1: " Repeat grey images over three channels.", 4: " Drop the fourth channel."}
    return remedies.get(1 if len(shape) == 3 else shape[-1] if len(shape) else 0, "")


def _levels(images: Any) -> str:
    """The type and range of what is no uint8, and how to make it that."""
    if images.dtype.kind not in "fiub" or not images.size:
        return f"{images.dtype}."
    low, high = float(images.min()), float(images.max())
    seen = f"{images.dtype} from {low:g} to {high:g}."
    if not (math.isfinite(low) and math.isfinite(high)):
        return f"{images.dtype} with values that are not finite."
    if low < 0 or high > 255:
        whole = images.dtype.kind in "iu"  # such as 16 bits a pixel
        return f"{seen} " + ("Scale them to 0 to 255 first." if whole else "Undo the normalisation first.")
    if high <= 1:
        return f"{seen} Write (255 * x).round().astype('uint8')."
    return f"{seen} Write x.round().astype('uint8')."


def check_labels(labels: Any, num_classes: int | None, what: str) -> Int64:
    """The labels as (n,) int64.

    Args:
        labels: (n,) or (n, 1).
        num_classes: labels must lie in [0, num_classes); None allows MAX_CLASSES.
        what: the array, for messages.

    Raises:
        DataError: not a vector of integers, empty, or out of range.
    """
    if labels.ndim == 2 and labels.shape[1] == 1:  # a column, as keras and ART write them
        labels = labels[:, 0]
    if labels.ndim != 1 or labels.dtype.kind not in "iu" or len(labels) == 0:
        remedy = "Take the argmax of one-hot labels" if labels.ndim == 2 else "Store class numbers from 0"
        raise DataError(
            f"{what} must be a non-empty vector of integers, got shape {labels.shape}, dtype {labels.dtype}. {remedy}."
        )
    low, high = int(labels.min()), int(labels.max())
    most, source = num_classes, ", the classes of the training split"
    if most is None:
        most, source = MAX_CLASSES, "; number the classes from 0"
    if low < 0 or high >= most:
        raise DataError(f"{what}: labels must be 0 to {most - 1}{source}, got {low if low < 0 else high}.")
    checked: Int64 = labels.astype(np.int64)
    return checked
