"""Picture files: which files are pictures, and how they are decoded when read: together they are larger than memory."""

from __future__ import annotations

import hashlib
import os
import stat
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from ..errors import DataError, first_line
from .hashes import read_hashes, write_hashes
from .images import Int64, Uint8

# Endings of pictures, as torchvision's.
SUFFIXES = (".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
RESIZE, SIDE = 256, 224
DECODERS = 8
MOST_PIXELS = 1 << 27  # of a resized picture, four bytes each, in every decoder
SAMPLE = 4096  # bytes at either end of a file that its hash covers
# How a file becomes an image, and so part of the hash: raised where the same file gives another image.
VERSION = 2
AREA, RATIO = (0.08, 1.0), (3 / 4, 4 / 3)


def is_picture(name: str) -> bool:
    """Whether a file's name is a picture's."""
    return name.lower().endswith(SUFFIXES) and not is_hidden(name)


def is_hidden(name: str) -> bool:
    """Whether a file or folder is not shown: what editors and other systems leave beside pictures is no picture."""
    return name.startswith(".")


def evenly_mixed(labels: Int64) -> Int64:
    """An order (n,) of pictures in which every class is spread evenly, each in its own order, so that the first of
    them, however many, hold every class by its share.

    Args:
        labels: (n,) the classes of pictures that come class by class, as folders are listed.
    """
    _, first, kinds, counts = np.unique(labels, return_index=True, return_inverse=True, return_counts=True)
    ranks = np.arange(len(labels)) - first[kinds]
    return np.lexsort((kinds, (ranks + 0.5) / counts[kinds]))


def status_of(picture: Path) -> os.stat_result:
    """Size and times of a picture; DataError for a link to nothing, and for a pipe, which would be waited for."""
    try:
        status = picture.stat()
    except OSError as error:
        raise DataError(
            f"{picture} cannot be read ({error.strerror}). Remove it, or repair the link."
        ) from None
    if not stat.S_ISREG(status.st_mode):
        raise DataError(f"{picture} is a folder, a device or a pipe, not a file. Remove it.")
    return status


def changed(picture: Path) -> DataError:
    """That a picture is another than the one by which answers are known."""
    return DataError(
        f"{picture} changed since its folder was read, or differs on this machine. Run the same command again."
    )


def read_picture(path: Path) -> Image.Image:
    """A picture in RGB and in its own size; DataError where the file is damaged, or none."""
    status_of(path)
    try:
        with Image.open(path) as picture:
            if picture.mode[0] in "IF":  # Pillow would cut their levels at 255
                raise ValueError(f"levels of more than 8 bits, mode {picture.mode}")
            picture.load()
            picture.info.pop("transparency", None)  # has no place in RGB, of which Pillow would warn
            converted: Image.Image = picture.convert("RGB")
            return converted
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(
            f"{path} is not a readable image ({first_line(error)}). Replace or remove it."
        ) from error


@dataclass(frozen=True, eq=False)
class FolderPixels:
    """Image files, resized to 256 on the shorter side and cropped to the central 224, as the published recipe tests:
    to the pixel what torchvision's `Resize(256)` and `CenterCrop(224)` make of them.

    Attributes:
        files: relative to the split's folder.
        sizes, times: (n,) int64, bytes of each file, and when it was changed, in nanoseconds.
        listed: when they were looked at, in nanoseconds.
    """

    folder: Path
    files: tuple[str, ...]
    sizes: Int64
    times: Int64
    listed: int = field(default_factory=time.time_ns)
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
        picture = self._read(position)
        shorter = min(picture.size)
        width, height = (RESIZE * side // shorter for side in picture.size)
        if width * height > MOST_PIXELS:
            raise DataError(
                f"{self.folder / self.files[position]} is {picture.width:,} x {picture.height:,} pixels, too narrow to "
                f"resize its shorter side to {RESIZE}. Replace or remove it."
            )
        left, top = (round((side - SIDE) / 2) for side in (width, height))
        resized = picture.resize((width, height), Image.Resampling.BILINEAR)
        return np.asarray(resized.crop((left, top, left + SIDE, top + SIDE)))

    def read_random_crops(self, positions: Int64, key: int) -> Uint8:
        """(m, 224, 224, 3) uint8 for training: random areas of 8 to 100 %, resized; key and position key the draws."""
        crops = []
        for position in positions.tolist():
            picture = self._read(position)
            box = random_box(np.random.Generator(np.random.Philox(key=[key, position])), *picture.size)
            crops.append(np.asarray(picture.resize((SIDE, SIDE), Image.Resampling.BILINEAR, box=box)))
        return np.stack(crops)

    def _read(self, position: int) -> Image.Image:
        """A picture as it was listed; a DataError where it was written anew since, so that answers would go by the
        hash of the one before. A copy on another machine may bear another time."""
        path = self.folder / self.files[position]
        picture, status = read_picture(path), status_of(path)
        retimed = status.st_mtime_ns != self.times[position] and status.st_ctime_ns > self.listed
        if retimed or status.st_size != self.sizes[position]:
            raise changed(path)
        return picture

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
