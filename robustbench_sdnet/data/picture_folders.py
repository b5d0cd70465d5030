"""Corrupted pictures in ImageNet-C's layout, <corruption>/<severity>/<class>/<picture>, decoded when read."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path

import numpy as np

from ..errors import DataError, InputError, unknown
from ..specs import SEVERITIES
from .imagenet import check_classes, class_folders
from .images import Int64, Uint8
from .pictures import DECODERS, as_bytes, changed, evenly_mixed, is_picture, read_picture, status_of

LEVELS = tuple(map(str, SEVERITIES))


class PictureFolders:
    """ImageNet-C, Tiny-ImageNet-C, or a part of one: every corruption and severity holds the same pictures.

    Attributes:
        path: the folder.
        corruptions: the corruptions there are folders of, sorted.
        files: of every severity, relative to its folder, the classes mixed evenly.
        labels: (n,) int64, by the sorted names of the classes.
        generated: None, as of all published files.
    """

    generated = None

    def __init__(self, path: Path, classes: tuple[str, ...]) -> None:
        """List the pictures of one corruption, by all `classes` of the data set, sorted, or where empty the folder's.

        Raises:
            InputError: no folder.
            DataError: another layout, or a class that is not one of `classes`.
        """
        if not path.is_dir():
            raise InputError(f"There is no folder '{path}'. Name the folder that holds the corruptions.")
        self.path, self._listed = path, time.time_ns()
        folders = [each for each in path.iterdir() if any((each / level).is_dir() for level in LEVELS)]
        self.corruptions = tuple(sorted(folder.name for folder in folders))
        if not self.corruptions:
            raise DataError(
                f"{path} must hold <corruption>/<severity>/<class>/<picture>, as ImageNet-C does."
            )
        files = self._listing(*next(self._levels()))
        class_of_file = [file.partition("/")[0] for file in files]
        self.classes = classes or tuple(sorted(set(class_of_file)))
        check_classes(path, class_of_file, self.classes)
        number = {name: index for index, name in enumerate(self.classes)}
        labels = np.array([number[name] for name in class_of_file], np.int64)
        mixed = evenly_mixed(labels)
        self.files = tuple(files[position] for position in mixed)
        self.labels: Int64 = labels[mixed]
        self._checked: set[tuple[str, int]] = set()

    def __len__(self) -> int:
        """Pictures a severity."""
        return len(self.files)

    @cached_property
    def image_shape(self) -> tuple[int, int]:
        """Height and width of the first picture; all must have them."""
        height, width, _ = _decode(self._folder(*next(self._levels())) / self.files[0]).shape
        return height, width

    @cached_property
    def content_hash(self) -> str:
        """SHA-256, in hex, over labels and the name and size of every picture."""
        hasher = hashlib.sha256(np.ascontiguousarray(self.labels, dtype="<i8").data)
        for corruption, severity in self._levels():
            folder = self._folder(corruption, severity)
            for file in self._listing(corruption, severity):
                size = status_of(folder / file).st_size
                hasher.update(as_bytes(f"{corruption}/{severity}/{file} {size}\n"))
        return hasher.hexdigest()

    def severities(self, corruption: str) -> tuple[int, ...]:
        """Those at which there is a folder of a corruption."""
        return tuple(severity for severity in SEVERITIES if self._folder(corruption, severity).is_dir())

    def images(self, corruption: str, severity: int, start: int = 0, stop: int | None = None) -> Uint8:
        """The pictures [start, stop) of a corruption at a severity, (m, h, w, 3) uint8.

        Raises:
            InputError: the folder has no such corruption or severity.
            DataError: other pictures than elsewhere, damaged ones, ones of another size, or changed since listed.
        """
        if corruption not in self.corruptions:
            raise unknown(f"corruption in {self.path}", corruption, self.corruptions)
        folder = self._folder(corruption, severity)
        if not folder.is_dir():
            raise InputError(f"There is no folder '{folder}'. Leave out severity {severity} of {corruption}.")
        if (corruption, severity) not in self._checked:
            if differing := set(self._listing(corruption, severity)) ^ set(self.files):
                raise DataError(
                    f"{folder} holds other pictures than its neighbours, such as {min(differing)}."
                )
            self._checked.add((corruption, severity))
        with ThreadPoolExecutor(DECODERS) as pool:
            images = list(pool.map(self._unchanged, (folder / file for file in self.files[start:stop])))
        for file, image in zip(self.files[start:stop], images, strict=True):
            if image.shape[:2] != self.image_shape:
                raise DataError(
                    f"{folder / file} is {image.shape[:2]}, the first picture {self.image_shape}."
                )
        return np.stack(images) if images else np.empty((0, *self.image_shape, 3), np.uint8)

    def _unchanged(self, path: Path) -> Uint8:
        """A picture; a DataError where it was written anew since the folder was listed, whose hash names its answers.

        There are too many to keep the size and times of each."""
        image = _decode(path)
        if status_of(path).st_ctime_ns > self._listed:
            raise changed(path)
        return image

    def _levels(self) -> Iterator[tuple[str, int]]:
        """Every corruption with each severity that there is a folder of."""
        for corruption in self.corruptions:
            for severity in self.severities(corruption):
                yield corruption, severity

    def _folder(self, corruption: str, severity: int) -> Path:
        return self.path / corruption / str(severity)

    def _listing(self, corruption: str, severity: int) -> tuple[str, ...]:
        """The pictures of a severity, "class/picture", sorted; DataError for none."""
        folder = self._folder(corruption, severity)
        pictures = sorted(
            (name, picture.name)  # class behind class, whatever their names begin with
            for name in class_folders(folder)
            for picture in (folder / name).iterdir()
            if is_picture(picture.name)
        )
        if not pictures:
            raise DataError(f"{folder} holds no <class>/<picture>.")
        return tuple(map("/".join, pictures))


def _decode(path: Path) -> Uint8:
    """(h, w, 3) uint8, in its own size."""
    return np.asarray(read_picture(path))
