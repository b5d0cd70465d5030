"""ImageNet-1k, or any data set in its folder layout, decoded when read: it is larger than memory."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from ..errors import DataError, first_line
from ..reading.paths import read_text
from .archives import is_hidden, is_picture
from .hashes import read_hashes, write_hashes
from .images import ImageData, Int64, Uint8

FOLDERS = {"train": ("train",), "test": ("val", "test")}
CLASSES = "classes.txt"
RESIZE, SIDE = 256, 224
DECODERS = 8
SAMPLE = 4096  # bytes at either end of a file that its hash covers
# How a file becomes an image, and so part of the hash: raised where the same file gives another image.
VERSION = 2
AREA, RATIO = (0.08, 1.0), (3 / 4, 4 / 3)


def read_picture(path: Path) -> Image.Image:
    """A picture in RGB and in its own size; DataError where the file is damaged."""
    try:
        with Image.open(path) as picture:
            if picture.mode[0] in "IF":  # Pillow would cut their levels at 255
                raise ValueError(f"levels of more than 8 bits, mode {picture.mode}")
            converted: Image.Image = picture.convert("RGB")
            return converted
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(f"{path} is not a readable image ({first_line(error)}).") from error


@dataclass(frozen=True, eq=False)
class FolderPixels:
    """Image files, resized to 256 on the shorter side and cropped to the central 224, as the published recipe tests:
    to the pixel what torchvision's `Resize(256)` and `CenterCrop(224)` make of them.

    Attributes:
        files: relative to the split's folder.
        sizes, times: (n,) int64, bytes of each file, and when it was changed, in nanoseconds.
    """

    folder: Path
    files: tuple[str, ...]
    sizes: Int64
    times: Int64
    image_shape = (SIDE, SIDE)
    in_memory = False

    def __len__(self) -> int:
        return len(self.files)

    def read(self, index: slice | Int64) -> Uint8:
        """(m, 224, 224, 3) uint8; decoders run in threads, as they release the interpreter's lock."""
        chosen = np.arange(len(self))[index]
        with ThreadPoolExecutor(DECODERS) as pool:
            images = list(pool.map(self.decode, chosen))
        return np.stack(images) if images else np.empty((0, SIDE, SIDE, 3), np.uint8)

    def decode(self, position: int) -> Uint8:
        """(224, 224, 3) uint8."""
        picture = read_picture(self.folder / self.files[position])
        shorter = min(picture.size)
        width, height = (RESIZE * side // shorter for side in picture.size)
        left, top = (round((side - SIDE) / 2) for side in (width, height))
        resized = picture.resize((width, height), Image.Resampling.BILINEAR)
        return np.asarray(resized.crop((left, top, left + SIDE, top + SIDE)))

    def read_random_crops(self, positions: Int64, key: int) -> Uint8:
        """(m, 224, 224, 3) uint8 for training: random areas of 8 to 100 %, resized; key and position key the draws."""
        crops = []
        for position in positions.tolist():
            picture = read_picture(self.folder / self.files[position])
            box = random_box(np.random.Generator(np.random.Philox(key=[key, position])), *picture.size)
            crops.append(np.asarray(picture.resize((SIDE, SIDE), Image.Resampling.BILINEAR, box=box)))
        return np.stack(crops)

    def digest(self) -> bytes:
        """SHA-256 over the name, the size, and the first and last 4 KiB of every file.

        Compressed pictures that differ anywhere differ in size or at their ends but for rare edits of their middle;
        reading all 150 GB would cost more than the evaluation. The digest is noted beside the split's folder and used
        as long as every name, size and time of change stays; where nothing can be written there, it is computed
        each time.
        """
        files = zip(self.files, self.sizes.tolist(), self.times.tolist(), strict=True)
        listing = "\n".join([f"version {VERSION}", *(f"{n} {s} {t}" for n, s, t in files)])
        stamp = [hashlib.sha256(as_bytes(listing)).hexdigest()]
        noted = read_hashes(self.folder.parent)
        if noted.get(self.folder.name, {}).get("stamp") == stamp:
            return bytes.fromhex(noted[self.folder.name]["sha256"])
        hasher = hashlib.sha256(f"version {VERSION}\n".encode())
        with ThreadPoolExecutor(DECODERS) as pool:
            for name, size, ends in zip(
                self.files, self.sizes, pool.map(self._ends, self.files), strict=True
            ):
                hasher.update(as_bytes(f"{name} {size} {len(ends)}\n") + ends)
        note = {"sha256": hasher.hexdigest(), "stamp": stamp}
        write_hashes(self.folder.parent, {**noted, self.folder.name: note})
        return hasher.digest()

    def _ends(self, name: str) -> bytes:
        try:
            with (self.folder / name).open("rb") as file:
                first = file.read(SAMPLE)
                file.seek(max(len(first), file.seek(0, os.SEEK_END) - SAMPLE))
                return first + file.read()
        except OSError as error:
            raise DataError(f"{self.folder / name} cannot be read ({error.strerror}).") from error


def as_bytes(text: str) -> bytes:
    """UTF-8, and the bytes of file names that are no text as they are."""
    return text.encode(errors="surrogateescape")


def random_box(draws: np.random.Generator, width: int, height: int) -> tuple[int, int, int, int]:
    """(left, top, right, bottom) of a random crop of Szegedy et al. 2015, in torchvision's form.

    Ten tries, then the largest central box of an allowed ratio.
    """
    for _ in range(10):
        area = draws.uniform(*AREA) * width * height
        ratio = np.exp(draws.uniform(np.log(RATIO[0]), np.log(RATIO[1])))
        w, h = round(np.sqrt(area * ratio)), round(np.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            left, top = int(draws.integers(width - w + 1)), int(draws.integers(height - h + 1))
            return left, top, left + w, top + h
    w, h = min(width, round(height * RATIO[1])), min(height, round(width / RATIO[0]))
    left, top = (width - w) // 2, (height - h) // 2
    return left, top, left + w, top + h


def load(name: str, split: str, *, root: Path, download: bool) -> ImageData:
    """Read the listing of `root/imagenet/<split>/<class>/<image>` or `root/<split>/<class>/<image>`.

    The test split is the folder `val` (or `test`); classes are numbered by `class_names`. Hidden files and folders,
    whose names begin with a dot, do not count.

    Raises:
        DataError: no such folder, no images in it, or a class that is none of the data set's.
    """
    folder = _split_folder(root, split)
    classes, listed = class_names(root)
    check_classes(folder, class_folders(folder), classes)
    found = [
        (f"{wnid}/{file}", size, time, label)
        for label, wnid in enumerate(classes)
        for file, size, time in sorted(_images(folder / wnid))
    ]
    if not found:
        raise DataError(f"{folder} holds no images. Expected <class>/<image>.JPEG below it.")
    files, *numbers = zip(*found, strict=True)
    sizes, times, labels = (np.array(column, np.int64) for column in numbers)
    pixels = FolderPixels(folder, files, sizes, times)
    ids = np.arange(len(files), dtype=np.int64)
    return ImageData(name, split, labels, ids, len(classes), pixels, numbered_here=not listed)


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


def check_classes(folder: Path, found: Collection[str], classes: Collection[str]) -> None:
    """Raise a DataError where a folder holds a class that is not one of all `classes`."""
    if outside := set(found) - set(classes):
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
        found = [entry for entry in entries if is_picture(entry.name)]
        stated = [(entry.name, status_of(Path(entry.path))) for entry in found]
    return [(name, status.st_size, status.st_mtime_ns) for name, status in stated]


def status_of(picture: Path) -> os.stat_result:
    """Size and times of a picture; DataError for a link to nothing."""
    try:
        return picture.stat()
    except OSError as error:
        raise DataError(
            f"{picture} cannot be read ({error.strerror}). Remove it, or repair the link."
        ) from None
