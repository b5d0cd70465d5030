"""What the C-bar corruptions share: draws, look-ups between pixels, and work in NumPy on the CPU of any device."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .members import Setting
from .sampling import Apply, Draws, Sample, drawn

Floats = NDArray[np.float64]
HostWork = Callable[[NDArray[np.uint8], Draws, Setting], NDArray[Any]]


def on_host(work: HostWork) -> Apply:
    """Work on NumPy arrays; a result of floats in 0..255 is clipped and truncated, as the published generator does."""

    @wraps(work)
    def apply(images: Tensor, draws: dict[str, Tensor], setting: Setting) -> Tensor:
        host = {name: value.cpu().numpy() for name, value in draws.items()}
        found = work(images.cpu().numpy(), host, setting)
        return torch.from_numpy(np.clip(found, 0, 255).astype(np.uint8)).to(images.device)

    return apply


def each_on_host(work: HostWork) -> Apply:
    """The same one by one: the work gets an image (h, w, 3) and its row of each draw."""

    @on_host
    @wraps(work)
    def apply(images: NDArray[np.uint8], draws: Draws, setting: Setting) -> Floats:
        found = np.empty(images.shape)
        for index, image in enumerate(images):
            found[index] = work(image, {name: value[index] for name, value in draws.items()}, setting)
        return found

    return apply


def uniform_draws(count: int) -> Sample:
    """Draws `uniform` (n, count) in [0, 1)."""
    return lambda generators, n, height, width, setting: {"uniform": drawn(generators, n, count)}


def grid(height: int, width: int) -> tuple[Floats, Floats]:
    """Row and column numbers, (h, 1) and (1, w)."""
    return np.arange(height, dtype=np.float64)[:, None], np.arange(width, dtype=np.float64)[None, :]


def between(image: NDArray[Any], rows: Floats, columns: Floats) -> Floats:
    """Look up (h, w, c) between pixels, at places (h', w'); black outside."""
    height, width = image.shape[:2]
    top, left = np.floor(rows).astype(np.int64), np.floor(columns).astype(np.int64)
    down, right = rows - top, columns - left
    total = np.zeros((*rows.shape, image.shape[2]))
    for row, row_share in ((top, 1 - down), (top + 1, down)):
        for column, share in ((left, 1 - right), (left + 1, right)):
            inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
            pixel = image[row.clip(0, height - 1), column.clip(0, width - 1)].astype(np.float64)
            total += pixel * (row_share * share * inside)[..., None]
    return total
