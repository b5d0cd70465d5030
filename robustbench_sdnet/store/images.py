"""Perturbed images that a later cell needs, kept by cell and shard, each piece with the checksum of its bytes.

What is checked is the whole piece as it lies there, so dtype and shape too; what is damaged counts as not kept, and is
made again.
"""

from __future__ import annotations

import hashlib
import io
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from ..files import write_whole
from .database import Database
from .outcome import DAMAGED
from .schema import IMAGES, checksum, insert_once, rows

Images = NDArray[np.float32]
Piece = tuple[int, int, Images]  # start, stop, and the images of those positions
_NAME = re.compile(r"(\d+)-(\d+)-([0-9a-f]{16}|[0-9a-f]{64})\.npy")
_PIECE = 32 << 20  # bytes of a row of a database, so that neither side holds much more than a piece in memory


class KeptImages(ABC):
    """Float32 images (n, 3, h, w) of shards, exactly as they were attacked."""

    @abstractmethod
    def keep(self, cell_id: str, start: int, images: Images) -> None:
        """Write a shard's images, whole or not at all; WriteError or StoreError where they cannot be."""

    @abstractmethod
    def _pieces(self, cell_id: str, start: int, stop: int) -> Iterator[Piece]:
        """What is sound and holds any of the positions, in order, read when it is asked for."""

    def parts(self, cell_id: str, start: int, stop: int) -> Iterator[Images]:
        """The images at positions start to stop, some at a time, up to the first that is not kept, or damaged."""
        at = start
        for low, high, images in self._pieces(cell_id, start, stop):  # several may hold the same positions
            if low <= at < min(high, stop):
                yield images[at - low : min(stop, high) - low]
                at = min(stop, high)

    def fetch(self, cell_id: str, start: int, stop: int) -> Images | None:
        """The images at positions start to stop, or None where some are not kept or damaged."""
        parts = list(self.parts(cell_id, start, stop))
        return np.concatenate(parts) if sum(map(len, parts)) == stop - start else None


class ImageFolder(KeptImages):
    """As files.

    Args:
        folder: is made when the first shard is kept.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def keep(self, cell_id: str, start: int, images: Images) -> None:
        raw = _encoded(images)
        name = f"{start}-{start + len(images)}-{hashlib.sha256(raw).hexdigest()}.npy"
        write_whole(self.folder / cell_id / name, raw)

    def _pieces(self, cell_id: str, start: int, stop: int) -> Iterator[Piece]:
        found = []
        for path in (self.folder / cell_id).glob("*.npy"):
            match = _NAME.fullmatch(path.name)
            if match and int(match[1]) < stop and int(match[2]) > start:
                found.append((int(match[1]), int(match[2]), path, match[3]))
        for low, high, path, digest in sorted(found):
            images = _read(path, high - low, digest)
            if images is not None:
                yield low, high, images


class ImageTable(KeptImages):
    """In the database, where every driver of a shared store sees them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def keep(self, cell_id: str, start: int, images: Images) -> None:
        """Write a shard's images at once, in the place of any that are damaged."""
        each = max(1, _PIECE // max(images[:1].nbytes, 1))

        def add(connection: sa.Connection) -> None:
            for first in range(0, len(images), each):
                part = images[first : first + each]
                low = start + first
                row = {"cell_id": cell_id, "start": low, "stop": low + len(part), "images": _encoded(part)}
                key = (column == row[column.name] for column in IMAGES.primary_key)
                connection.execute(sa.delete(IMAGES).where(*key))
                insert_once(connection, IMAGES, row)

        self._database.run("write", add)

    def _pieces(self, cell_id: str, start: int, stop: int) -> Iterator[Piece]:
        keys = tuple(IMAGES.primary_key)
        overlapping = (IMAGES.c.cell_id == cell_id, IMAGES.c.start < stop, IMAGES.c.stop > start)
        query = sa.select(*keys).where(*overlapping).order_by(IMAGES.c.start, IMAGES.c.stop)
        for key in self._database.run("read", lambda connection: rows(connection, query)):
            one = sa.select(IMAGES).where(*(column == key[column.name] for column in keys))
            for row in self._database.run("read", partial(rows, query=one)):
                if row["checksum"] == checksum(IMAGES, row):
                    yield row["start"], row["stop"], _decoded(row["images"])


def _read(path: Path, count: int, digest: str) -> Images | None:
    try:
        raw = path.read_bytes()
        if len(digest) == 64:
            return _decoded(raw) if hashlib.sha256(raw).hexdigest() == digest else None
        return _of_older_version(raw, count, digest)
    except OSError:
        return None


def _of_older_version(raw: bytes, count: int, digest: str) -> Images | None:
    """Images whose name holds the checksum of their numbers alone: dtype and shape are looked at here."""
    try:
        images = _decoded(raw)
    except DAMAGED:
        return None
    fits = images.dtype.str == "<f4" and images.ndim == 4 and images.shape[:2] == (count, 3)
    return images if fits and hashlib.sha256(images.tobytes()).hexdigest()[:16] == digest else None


def _encoded(images: Images) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(images, np.dtype("<f4")), allow_pickle=False)
    return buffer.getvalue()


def _decoded(raw: bytes) -> Images:
    images: Images = np.load(io.BytesIO(raw), allow_pickle=False)
    return images
