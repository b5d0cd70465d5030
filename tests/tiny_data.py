"""A data set that a linear model tells apart: 3 classes of 8x8 images, each brighter in one colour."""

from __future__ import annotations

from pathlib import Path

import numpy as np


def write_tiny(path: Path, train: int, test: int) -> None:
    """Write so many training and test images as an npz file."""
    generator = np.random.default_rng(0)
    arrays = {}
    for split, n in (("train", train), ("test", test)):
        labels = np.arange(n) % 3
        images = generator.integers(60, 120, (n, 8, 8, 3))
        images[np.arange(n), :, :, labels] += 60
        arrays |= {f"x_{split}": images.astype(np.uint8), f"y_{split}": labels.astype(np.int64)}
    np.savez(path, **arrays)
