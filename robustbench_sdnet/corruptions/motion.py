"""Motion blur along a random direction, as ImageMagick does it: for photographs, and for falling snow."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .filters import pad
from .parameters import Setting

Generators = Iterator[np.random.Generator]
_QUANTUM = 257  # ImageMagick works in 16 bits: 255 becomes 65535


def sample_motion(
    generators: Generators, n: int, _h: int, _w: int, _: Setting
) -> dict[str, NDArray[np.float64]]:
    """An angle in degrees, uniform in -45..45, (n,) float64."""
    return {
        "angle": np.array([generator.uniform(-45, 45) for generator in generators], np.float64).reshape(n)
    }


def motion_blur(images: Tensor, draws: dict[str, Tensor], setting: Setting) -> Tensor:
    """A one-sided Gaussian tail along the drawn angle, border repeated. Byte-equal to the reference."""
    radius, sigma = setting
    return blur_along(images, draws["angle"], int(radius), sigma)


def blur_along(images: Tensor, angle: Tensor, radius: int, sigma: float) -> Tensor:
    """Sum copies of each image shifted along its own direction.

    Args:
        images: (n, h, w, c) uint8.
        angle: (n,) float64, degrees.
        radius: the tail has 2 radius + 1 taps.
        sigma: its width, pixels.
    """
    n, height, width, channels = images.shape
    weights = _tail(2 * radius + 1, sigma)
    shift_x, shift_y, reach = _shifts(angle, len(weights), images.device)
    padded = pad(pad(images, 1, reach[1], reach[3], "nearest"), 2, reach[0], reach[2], "nearest")
    # A view of every window, so that indexing it by a shift copies whole rows.
    strides = padded.stride()
    rows, columns = padded.shape[1] - height + 1, padded.shape[2] - width + 1
    windows = padded.as_strided(
        (n, rows, columns, height, width * channels),
        (strides[0], strides[1], strides[2], strides[1], 1),
    )
    image = torch.arange(n, device=images.device)
    total = torch.zeros((n, height, width * channels), dtype=torch.float64, device=images.device)
    for tap, weight in enumerate(weights):
        window = windows[image, shift_y[tap] + reach[1], shift_x[tap] + reach[0]]
        total.add_(window.to(torch.float64).mul_(_QUANTUM).mul_(weight))
    return _from_quantum(total).reshape(images.shape)


def _from_quantum(total: Tensor) -> Tensor:
    """Round to 16 bits, then keep the high byte: floor(q / 257), without a division."""
    quantum = total.add_(0.5).to(torch.int32)
    # 65281 / 2^24 is 1 / 257 rounded up; exact for every 16-bit number in 64-bit arithmetic.
    return ((quantum.to(torch.int64) * 65281) >> 24).to(torch.uint8)


@lru_cache(maxsize=32)
def _tail(taps: int, sigma: float) -> tuple[float, ...]:
    kernel = np.exp(-(np.arange(taps) ** 2) / (2 * sigma * sigma))
    return tuple((kernel / kernel.sum()).tolist())


def _shifts(
    angle: Tensor, taps: int, device: torch.device
) -> tuple[Tensor, Tensor, tuple[int, int, int, int]]:
    """Whole-pixel shifts of each tap, (taps, n) in x and y, and how far they reach left, up, right and down.

    Made on the host: cosines of devices differ in the last bit, and a shift may turn on it.
    """
    radians = np.deg2rad(angle.cpu().numpy())
    steps = np.arange(taps)[:, None]
    shift_x = np.ceil(steps * np.cos(radians) - 0.5).astype(np.int64)
    shift_y = np.ceil(steps * np.sin(radians) - 0.5).astype(np.int64)
    left, up = (int(max(0, -shift.min(initial=0))) for shift in (shift_x, shift_y))
    right, down = (int(max(0, shift.max(initial=0))) for shift in (shift_x, shift_y))
    return torch.from_numpy(shift_x).to(device), torch.from_numpy(shift_y).to(device), (left, up, right, down)
