"""Any data set in one .npz file: x_train, y_train, x_test, y_test."""

from __future__ import annotations

from pathlib import Path

from ..errors import DataError
from ..reading.arrays import held_arrays, read_npz
from ..reading.paths import check_file, path_of
from .images import ImageData, check_labels, from_arrays

KEYS = ("x_train", "y_train", "x_test", "y_test")


def load(name: str, split: str, *, root: Path, download: bool) -> ImageData:
    """Read one split; the images of the other are not read.

    Images are (n, height, width, 3) uint8, labels (n,) integers; the classes are 0 to the largest
    training label.

    Raises:
        InputError: a folder, a device or a pipe.
        DataError: not such a file, truncated, with pickled objects, or with wrong arrays.
    """
    path = path_of(name.partition(":")[2])
    check_file(path)
    held = held_arrays(path)
    missing = [key for key in KEYS if key not in held]
    if missing:
        raise DataError(f"{path}: {', '.join(missing)} missing. A data file holds {', '.join(KEYS)}.")
    arrays = read_npz(path, ("y_train", f"y_{split}", f"x_{split}"))
    train_labels = check_labels(arrays["y_train"], None, f"{path}: y_train")
    num_classes = int(train_labels.max()) + 1
    if train_labels.min() == train_labels.max():
        only = num_classes - 1
        raise DataError(
            f"{path}: y_train holds only one class, number {only}. A classifier needs at least two."
        )
    return from_arrays(name, split, arrays[f"x_{split}"], arrays[f"y_{split}"], num_classes, str(path))
