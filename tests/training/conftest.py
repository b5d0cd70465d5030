"""A data set and a recipe small enough to train in a second."""

from __future__ import annotations

import numpy as np
import pytest


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory):
    """Four classes of noisy stripes and squares, 8x8: learnable at once."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:8, :8]
    patterns = np.stack([rows % 2, columns % 2, (rows // 2 + columns // 2) % 2, (rows > 3) ^ (columns > 3)])
    arrays = {}
    for split, count in (("train", 96), ("test", 40)):
        labels = np.arange(count) % 4
        noise = rng.integers(0, 60, (count, 8, 8, 3))
        images = np.repeat(patterns[labels][..., None] * 180, 3, axis=-1) + noise
        arrays |= {f"x_{split}": images.astype(np.uint8), f"y_{split}": labels}
    path = tmp_path_factory.mktemp("data") / "tiny.npz"
    np.savez(path, **arrays)
    return f"npz:{path}"


@pytest.fixture
def quick():
    """Settings of a run of 12 steps."""
    return {
        "train.epochs": 4,
        "train.batch_size": 32,
        "train.crop": 1,
        "train.precision": "float32",
        "train.threads": 1,
        "train.save_minutes": 1e6,
        "model.width": 4,
    }
