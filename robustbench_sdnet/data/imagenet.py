"""ImageNet-1k, or any data set in its folder layout: which pictures there are, and which classes."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

import numpy as np

from ..errors import DataError
from ..reading.paths import read_text
from .images import ImageData
from .pictures import FolderPixels, evenly_mixed, is_hidden, is_picture, status_of

FOLDERS = {"train": ("train",), "test": ("val", "test")}
CLASSES = "classes.txt"


def load(name: str, split: str, *, root: Path, download: bool) -> ImageData:
    """Read the listing of `root/imagenet/<split>/<class>/<image>` or `root/<split>/<class>/<image>`.

    The test split is the folder `val` (or `test`); classes are numbered by `class_names`, and mixed evenly. Hidden
    files and folders, whose names begin with a dot, do not count.

    Raises:
        DataError: no such folder, no images in it, or a class that is none of the data set's.
    """
    folder = _split_folder(root, split)
    classes, listed = class_names(root)
    check_classes(folder, class_folders(folder), classes)
    files: list[str] = []
    numbers: list[tuple[int, int, int]] = []  # of each file size, time of change and label
    for label, wnid in enumerate(classes):
        for file, size, time in sorted(_images(folder / wnid)):
            files.append(f"{wnid}/{file}")
            numbers.append((size, time, label))
    if not files:
        raise DataError(f"{folder} holds no images. Expected <class>/<image>.JPEG below it.")
    sizes, times, labels = np.array(numbers, np.int64).T
    mixed = evenly_mixed(labels)
    pixels = FolderPixels(folder, tuple(files[position] for position in mixed), sizes[mixed], times[mixed])
    return ImageData(name, split, labels[mixed], len(classes), pixels, numbered_here=not listed)


def class_names(root: Path, *beside: Path) -> tuple[tuple[str, ...], bool]:
    """All classes of the data set in their order, none where nothing says which; and whether a list says so.

    By `classes.txt`, one name a line, in a folder `beside`, in `root/imagenet` or in `root`, else by the sorted folders
    of the training images, else by those of the test images.
    """
    for file in (base / CLASSES for base in (*beside, root / "imagenet", root)):
        if file.is_file():
            text = read_text(file, error=DataError).removeprefix("\ufeff")  # which some editors begin with
            lines = [line.strip() for line in text.splitlines()]
            if twice := [line for line, times in Counter(lines).items() if line and times > 1]:
                raise DataError(f"{file} names {twice[0]} twice. Write each class once, in order.")
            return tuple(filter(None, lines)), True
    for split in FOLDERS:
        with suppress(DataError):
            return class_folders(_split_folder(root, split)), False
    return (), False


def check_classes(folder: Path, present: Collection[str], classes: Collection[str]) -> None:
    """Raise a DataError where a class that is present in a folder is not one of all `classes`."""
    if outside := set(present) - set(classes):
        raise DataError(
            f"{folder}: {min(outside)} is not a class of the training images or of {CLASSES} next to it."
        )


def class_folders(folder: Path) -> tuple[str, ...]:
    """The names of a folder's classes, in order."""
    return tuple(sorted(each.name for each in folder.iterdir() if each.is_dir() and not is_hidden(each.name)))


def _split_folder(root: Path, split: str) -> Path:
    for base in (root / "imagenet", root):
        for word in FOLDERS[split]:
            if (base / word).is_dir():
                return base / word
    raise DataError(
        f"imagenet: no folder '{FOLDERS[split][0]}' in {root}. Name the folder with train/ and val/ with "
        "--data-root or $SDNET_BENCH_DATA."
    )


def _images(folder: Path) -> list[tuple[str, int, int]]:
    """Name, size and time of change of every picture."""
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        pictures = [entry for entry in entries if is_picture(entry.name)]
        statuses = [(entry.name, status_of(Path(entry.path))) for entry in pictures]
    return [(name, status.st_size, status.st_mtime_ns) for name, status in statuses]
