"""Any data set in one .npz file: x_train, y_train, x_test, y_test."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DataError
from .images import ImageData, check_labels, from_arrays

KEYS = ("x_train", "y_train", "x_test", "y_test")


def load(name: str, split: str, *, root: Path, download: bool) -> ImageData:
    """Read one split; the images of the other are not read.

    Images are (n, height, width, 3) uint8, labels (n,) integers; the classes are 0 to the largest
    training label.

    Raises:
        DataError: not such a file, truncated, with pickled objects, or with wrong arrays.
    """
    path = Path(name.partition(":")[2]).expanduser()
    wanted = ("y_train", f"y_{split}", f"x_{split}")
    try:
        with zipfile.ZipFile(path) as archive:
            held = {entry.removesuffix(".npy") for entry in archive.namelist()}
        missing = [key for key in KEYS if key not in held]
        if missing:
            raise DataError(f"{path}: no {', '.join(missing)} in it. A data file holds {', '.join(KEYS)}.")
        arrays = _read(path, wanted)
    except (zipfile.BadZipFile, EOFError, OSError, ValueError, KeyError, zlib.error) as error:
        reason = "it holds pickled objects" if "pickle" in str(error) else _first_line(error)
        raise DataError(
            f"{path} is no readable .npz of plain arrays ({reason}). Write it again with numpy.savez."
        ) from error
    train_labels = check_labels(arrays["y_train"], None, f"{path}: y_train")
    num_classes = int(train_labels.max()) + 1
    if num_classes == 1:
        raise DataError(f"{path}: y_train holds one class only, number 0. A classifier needs at least two.")
    return from_arrays(name, split, arrays[f"x_{split}"], arrays[f"y_{split}"], num_classes, str(path))


def _read(path: Path, keys: tuple[str, ...]) -> dict[str, Any]:
    with np.load(path, allow_pickle=False) as archive:
        return {key: archive[key] for key in keys}


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
