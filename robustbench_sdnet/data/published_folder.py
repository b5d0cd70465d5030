"""Folders of corrupted images in the published layout of CIFAR-10-C, read in place.

A folder holds one `<corruption>.npy` a corruption, (5 n, h, w, 3) uint8, severity s in rows (s - 1) n to s n, and
`labels.npy`, (5 n,), the same n labels five times. `sdnet-bench data generate` writes the same layout.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, InputError, unknown
from ..reading.arrays import open_npy
from ..reading.numbers import seed_of
from ..reading.paths import path_of
from ..reading.structured import read_lines
from ..specs import SEVERITIES
from .hashes import HASHES, hashed, read_hashes, stamp, write_hashes
from .images import Int64, Uint8, check_labels

CLEAN = "clean"
_NOT_CORRUPTIONS = ("labels", CLEAN)
# Beside the files of a folder that `sdnet-bench data generate` wrote: the seed, then a line for every piece.
JOURNAL = ".generation.jsonl"
LONGEST = 1 << 26  # bytes of it


@dataclass(frozen=True)
class Generated:
    """How a folder was generated.

    Attributes:
        seed, table: of all corruptions; the latter is their parameter set.
        versions: of each corruption's algorithm.
        data: the data set whose training split goes with the images; empty where it was not noted.
    """

    seed: int
    versions: Mapping[str, int]
    table: str
    data: str


def read_journal(folder: Path) -> Generated | None:
    """What the journal of a generated folder says; None where there is none, or none that can be read."""
    try:
        lines = read_lines(folder / JOURNAL, limit=LONGEST)
        first = lines[0]
        seed, table = seed_of(first["seed"]), str(first.get("table", "cifar"))
    except (DataError, InputError, IndexError, KeyError, TypeError, AttributeError):
        return None
    versions: dict[str, int] = {}
    for line in lines[1:]:
        if isinstance(line, list) and len(line) > 1 and isinstance(line[1], int):
            versions[str(line[0])] = line[1]
    return Generated(seed, versions, table, str(first.get("data", "")))


class Published:
    """A folder in the published layout. Only the rows asked for are read, and refused where their file is by then
    another than the one that was hashed.

    Attributes:
        path: the folder.
        corruptions: the corruptions there are files of, sorted.
        labels: (n,) int64, of one severity.
        generated: how it was made, if `sdnet-bench data generate` made it; None for the published files.
    """

    def __init__(self, path: str | os.PathLike[str], num_classes: int | None = 10) -> None:
        """Open a folder and check its layout. Labels must lie below `num_classes`, or not be negative where it is None.

        Raises:
            InputError: no such folder.
            DataError: no labels or no corruption in it, or labels that do not repeat five times.
        """
        self.path = path_of(path)
        if not self.path.is_dir():
            raise InputError(f"There is no folder '{self.path}'. Name the folder that holds labels.npy.")
        files = sorted(file.stem for file in self.path.glob("[!.]*.npy"))
        self.corruptions = tuple(name for name in files if name not in _NOT_CORRUPTIONS)
        if "labels" not in files or not self.corruptions:
            raise DataError(
                f"{self.path} must hold labels.npy and one .npy file per corruption, such as gaussian_noise.npy."
            )
        labels = check_labels(open_npy(self.path / "labels.npy"), num_classes, f"{self.path / 'labels.npy'}")
        rounds = labels.reshape(5, -1) if len(labels) % 5 == 0 else labels[None, :0]
        if not rounds.size or (rounds != rounds[0]).any():
            raise DataError(f"{self.path / 'labels.npy'} must repeat the same labels 5 times.")
        self.labels: Int64 = rounds[0].copy()
        self.generated = read_journal(self.path)
        self._noted: dict[str, dict[str, Any]] = {}  # what this process hashed, or read of it

    def __len__(self) -> int:
        """Images a severity."""
        return len(self.labels)

    @cached_property
    def image_shape(self) -> tuple[int, int]:
        """Height and width."""
        height, width = self._array(self.corruptions[0]).shape[1:3]
        return height, width

    def severities(self, corruption: str) -> tuple[int, ...]:
        """Those of a corruption: its file holds them all."""
        return SEVERITIES

    def images(self, corruption: str, severity: int, start: int = 0, stop: int | None = None) -> Uint8:
        """The images [start, stop) of a corruption at a severity, (m, h, w, 3) uint8, read from disk.

        Raises:
            InputError: the folder has no such corruption, or there is no such severity.
            DataError: the file is not in the published layout, or changed since it was hashed.
        """
        if isinstance(severity, bool) or severity not in SEVERITIES:
            raise InputError(f"severity must be 1 to 5, got {severity!r}.")
        first, last, _ = slice(start, stop).indices(len(self))
        offset = (severity - 1) * len(self)
        images = np.array(self._array(corruption)[offset + first : offset + max(first, last)])
        if corruption in self._noted:
            self.check_files([corruption])
        return images

    def _array(self, corruption: str) -> NDArray[np.uint8]:
        """Memory-mapped anew each time: a mapping of a file that is cut off meanwhile would end the process."""
        if corruption not in self.corruptions:
            raise unknown(f"corruption in {self.path}", corruption, self.corruptions)
        file = self.path / f"{corruption}.npy"
        array = open_npy(file)
        rows = len(SEVERITIES) * len(self)
        if array.dtype != np.uint8 or array.ndim != 4 or array.shape[0] != rows or array.shape[3] != 3:
            raise DataError(
                f"{file} must be ({rows}, height, width, 3) uint8, as its labels say, "
                f"got {array.shape} {array.dtype}."
            )
        return array

    @cached_property
    def content_hash(self) -> str:
        """SHA-256, in hex, over the labels and the contents of all files; see `check_files`."""
        hasher = hashlib.sha256(np.ascontiguousarray(self.labels, dtype="<i8").data)
        for name, sha256 in sorted(self.check_files(self.corruptions).items()):
            hasher.update(f"{name}:{sha256}\n".encode())
        return hasher.hexdigest()

    def check_files(self, corruptions: Collection[str]) -> dict[str, str]:
        """The SHA-256 of files, in hex, against those noted when the folder was written, or known to this process;
        `CLEAN` is one of them.

        A file whose size and time are as noted is not read again. What is read is noted, where that can be written; a
        file that has changed since is a DataError.
        """
        recorded = read_hashes(self.path)
        for name in corruptions:
            if name != CLEAN:
                self._array(name)
            file, note = self.path / f"{name}.npy", self._noted.get(name) or recorded.get(name)
            if note is None or stamp(file) != note["stamp"]:
                current = hashed(file)
                if note is not None and current["sha256"] != note["sha256"]:
                    raise self._other(file, noted=recorded.get(name, {}).get("sha256") == note["sha256"])
                note = current
            self._noted[name] = recorded[name] = note
        write_hashes(self.path, recorded)
        return {name: str(recorded[name]["sha256"]) for name in corruptions}

    def _other(self, file: Path, *, noted: bool) -> DataError:
        """That a file is another than the one by which answers are known, which the folder notes or this run alone."""
        if noted:
            return DataError(
                f"{file} is not the file recorded in {self.path / HASHES}: it is damaged or was overwritten. "
                f"Restore it, or delete {HASHES} to accept it."
            )
        return DataError(
            f"{file} is not the file that this run began with: it is damaged or was overwritten. "
            "Restore it, or run the same command again to accept it."
        )
