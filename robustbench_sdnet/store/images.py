"""Perturbed images that a later cell needs, kept beside the store by cell and shard, each file with its hash."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..files import whole

_NAME = re.compile(r"(\d+)-(\d+)-([0-9a-f]{16})\.npy")


class ImageFolder:
    """Float32 images (n, 3, h, w) of shards, exactly as they were attacked.

    Args:
        folder: is made when the first shard is kept.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def keep(self, cell_id: str, start: int, images: NDArray[np.float32]) -> None:
        """Write a shard's images, whole or not at all."""
        name = f"{start}-{start + len(images)}-{_digest(images)}.npy"
        with whole(self.folder / cell_id / name) as file:
            np.save(file, images, allow_pickle=False)

    def fetch(self, cell_id: str, start: int, stop: int) -> NDArray[np.float32] | None:
        """The images at positions start to stop, or None where some are not kept or damaged."""
        parts: list[NDArray[np.float32]] = []
        at = start
        for low, high, path in self._kept(cell_id):
            if low <= at < high and at < stop:
                images = _read(path)
                if images is None:
                    continue  # damaged; another file may hold the same range
                parts.append(images[at - low : min(stop, high) - low])
                at = min(stop, high)
        return np.concatenate(parts) if parts and at >= stop else None

    def _kept(self, cell_id: str) -> list[tuple[int, int, Path]]:
        found = []
        for path in (self.folder / cell_id).glob("*.npy"):
            match = _NAME.fullmatch(path.name)
            if match:
                found.append((int(match[1]), int(match[2]), path))
        return sorted(found)


def _read(path: Path) -> NDArray[np.float32] | None:
    try:
        images: NDArray[np.float32] = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return images if path.name.endswith(f"-{_digest(images)}.npy") else None


def _digest(images: NDArray[np.float32]) -> str:
    return hashlib.sha256(np.ascontiguousarray(images).tobytes()).hexdigest()[:16]
