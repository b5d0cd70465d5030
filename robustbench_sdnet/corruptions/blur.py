"""Gaussian, defocus and zoom blur."""

from __future__ import annotations

from collections import Counter
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .filters import (
    border_index,
    divisor,
    gaussian,
    mix_rows,
    pad,
    to_bytes,
    truncated,
    turned,
    unit_interval,
    zoom_extent,
)
from .members import Setting


def gaussian_blur(images: Tensor, _: dict[str, Tensor], setting: Setting) -> Tensor:
    """A Gaussian of the table's width, border values repeated. Equal to the reference to the byte."""
    return to_bytes(gaussian(unit_interval(images), setting[0]))


def defocus_blur(images: Tensor, _: dict[str, Tensor], setting: Setting) -> Tensor:
    """A disk smoothed by a small Gaussian, border mirrored."""
    radius, alias = setting
    return _small_disk(images, radius, alias) if radius < 2 else _large_disk(images, radius, alias)


def _small_disk(images: Tensor, radius: float, alias: float) -> Tensor:
    """At these radii every weight beyond the 3x3 neighbourhood is zero but for a trace at distance two, `far`, which
    decides whether a mean that is nearly a whole level is truncated to it. Neighbours are summed as integers.
    """
    height, width = images.shape[1:3]
    centre, edge, corner, far = _disk(radius, alias, 3)[[3, 3, 2, 3], [3, 2, 2, 1]].tolist()
    padded = pad(pad(images.to(torch.int16), 1, 2, 2, "mirror"), 2, 2, 2, "mirror")

    def at(down: int, right: int) -> Tensor:
        return padded[:, 2 + down : 2 + down + height, 2 + right : 2 + right + width]

    total = images.to(torch.float64).mul_(centre)
    rings = (
        (edge, at(-1, 0) + at(1, 0) + at(0, -1) + at(0, 1)),
        (corner, at(-1, -1) + at(-1, 1) + at(1, -1) + at(1, 1)),
        (far, at(-2, 0) + at(2, 0) + at(0, -2) + at(0, 2)),
    )
    for weight, ring in rings:
        total.add_(ring.to(torch.float64).mul_(weight))
    return truncated(total.clamp_(0, 255))


@lru_cache(maxsize=16)
def _disk(radius: float, alias: float, reach: int) -> NDArray[np.float32]:
    """(2 reach + 1, the same): the reference's kernel, in float32; smoothed by 3 taps, beyond radius 8 by 5."""
    offset = np.arange(-reach, reach + 1)
    disk = (offset[:, None] ** 2 + offset**2 <= radius**2).astype(np.float32)
    disk /= disk.sum()
    taps = np.exp(-0.5 * np.arange(2 if radius <= 8 else 3) ** 2 / alias**2)
    weights = (taps / (2 * taps.sum() - 1)).astype(np.float32)
    weights[0] = np.float32(1 - 2 * float(weights[1])) if len(weights) == 2 else weights[0]
    for axis in (1, 0):
        smooth = disk * weights[0]
        for far, weight in enumerate(weights[1:], 1):
            index = [border_index(2 * reach + 1, far, 0, "mirror")[: 2 * reach + 1]]
            index.append(border_index(2 * reach + 1, 0, far, "mirror")[far:])
            smooth += sum(disk.take(side, axis) for side in index) * weight
        disk = smooth
    return disk


def _large_disk(images: Tensor, radius: float, alias: float) -> Tensor:
    """OpenCV correlates, on the CPU whatever the device, and its rounding is taken back.

    With weights that are multiples of 2^-36 the result is one too; OpenCV, which may go by way of Fourier transforms,
    misses it by less than 2^-38. Half a step more, and truncation is exact on every machine.
    """
    import cv2

    disk = _disk(radius, alias, 8 if radius <= 8 else int(radius))
    kernel = np.round(disk.astype(np.float64) * 2.0**36) * 2.0**-36
    blurred = np.stack(
        [cv2.filter2D(image.astype(np.float64), -1, kernel, delta=2.0**-37) for image in images.cpu().numpy()]
    )
    return torch.from_numpy(np.minimum(blurred, 255).astype(np.uint8)).to(images.device)


def zoom_blur(images: Tensor, _: dict[str, Tensor], setting: Setting) -> Tensor:
    """The mean of the image and its centred zooms by 1, 1 + step, ... (linear interpolation), in float32."""
    n, height, width, channels = images.shape
    factors = np.arange(1, *setting).tolist()
    # A small image comes out of several factors the same: each different zoom is made once.
    extents = Counter((zoom_extent(height, factor), zoom_extent(width, factor)) for factor in factors)
    upright = images.to(torch.float32)
    same = turned(upright)
    total = same.clone()
    for (down, across), count in extents.items():
        zoomed = same
        if (down, across) != ((height, height), (width, width)):
            rows = mix_rows(upright.reshape(n, height, -1), height, down).reshape(n, height, width, channels)
            zoomed = mix_rows(turned(rows).reshape(n, width, -1), width, across).reshape(same.shape)
        total.add_(zoomed if count == 1 else zoomed * count)
    return turned(truncated(total.div_(divisor(len(factors) + 1, total))))
