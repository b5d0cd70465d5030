"""Gaussian, glass, defocus, motion and zoom blur."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .filters import from_words, gaussian, mix_rows, pad, to_bytes, to_words, unit_interval, zoom_extent
from .parameters import Setting

Generators = Iterator[np.random.Generator]


def gaussian_blur(images: Tensor, _: dict[str, Tensor], setting: Setting) -> Tensor:
    """A Gaussian of the table's width, border values repeated. Equal to the reference to the byte."""
    return to_bytes(gaussian(unit_interval(images), setting[0]))


def sample_glass(
    generators: Generators, n: int, height: int, width: int, setting: Setting
) -> dict[str, NDArray[np.uint8]]:
    """Two bits a pixel and iteration: (n, iterations, h - 2, w - 2, 2), one column left and one row up."""
    shape = (int(setting[2]), height - 2, width - 2, 2)
    count = math.prod(shape)
    words = np.empty((n, math.ceil(count / 64)), np.uint64)
    for row, generator in zip(words, generators, strict=True):
        row[:] = generator.bit_generator.random_raw(len(row))
    bits = np.unpackbits(words.astype("<u8", copy=False).view(np.uint8), axis=1, count=count)
    return {"step": bits.reshape(n, *shape)}


def glass_blur(images: Tensor, draws: dict[str, Tensor], setting: Setting) -> Tensor:
    """Blur, copy each pixel from itself or a neighbour above or left, blur again.

    The reference swaps through views, which copies, from the last pixel to the first: no source was changed
    before, and an iteration is one parallel gather. The first two rows and columns stay as they are.
    """
    sigma, _, iterations = setting
    smooth = to_bytes(gaussian(unit_interval(images), sigma))
    words = to_words(smooth)
    left, up = draws["step"].to(torch.bool).unbind(-1)
    for index in range(int(iterations)):
        here, beside = words[:, 2:, 2:], words[:, 2:, 1:-1]
        above, across = words[:, 1:-1, 2:], words[:, 1:-1, 1:-1]
        row_here = torch.where(left[:, index], beside, here)
        row_above = torch.where(left[:, index], across, above)
        moved = torch.where(up[:, index], row_above, row_here)
        words = words.clone()
        words[:, 2:, 2:] = moved
    return to_bytes(gaussian(unit_interval(from_words(words)), sigma))


def defocus_blur(images: Tensor, _: dict[str, Tensor], setting: Setting) -> Tensor:
    """A disk smoothed by a 3x3 Gaussian, border mirrored.

    At these radii every weight beyond the 3x3 neighbourhood is zero but for a trace at distance two, which
    decides whether a mean that is nearly a whole level is truncated to it. Neighbours are summed as integers.
    """
    height, width = images.shape[1:3]
    centre, edge, corner, far = _defocus_weights(*setting)
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
    return total.clamp_(0, 255).to(torch.uint8)


@lru_cache(maxsize=16)
def _defocus_weights(radius: float, alias: float) -> tuple[float, float, float, float]:
    """Weights of a pixel, its edge and corner neighbours and those two away: float32 numbers, as there."""
    offset = np.arange(-3, 4)
    disk = (offset[:, None] ** 2 + offset**2 <= radius**2).astype(np.float32)
    disk /= disk.sum()
    side = np.float32(1 / (2 + math.exp(0.5 / alias**2)))
    middle = np.float32(1 - 2 * float(side))
    for axis in (1, 0):
        disk = disk * middle + (np.roll(disk, -1, axis) + np.roll(disk, 1, axis)) * side
    return float(disk[3, 3]), float(disk[3, 2]), float(disk[2, 2]), float(disk[3, 1])


def zoom_blur(images: Tensor, _: dict[str, Tensor], setting: Setting) -> Tensor:
    """The mean of the image and its centred zooms by 1, 1.01, 1.02, ... (linear interpolation), in float32."""
    n, height, width, channels = images.shape
    factors = np.arange(1, setting[0], 0.01).tolist()
    # A small image comes out of several factors the same: each different zoom is made once.
    extents = Counter((zoom_extent(height, factor), zoom_extent(width, factor)) for factor in factors)
    upright = images.to(torch.float32).reshape(n, height, -1)
    total = turned = upright.reshape(n, height, width, channels).transpose(1, 2).contiguous()
    for (down, across), count in extents.items():
        if (down, across) == ((height, height), (width, width)):
            zoomed = turned
        else:
            rows = mix_rows(upright, height, down).reshape(n, height, width, channels)
            # Whole rows move faster than columns, so the columns become rows.
            zoomed = mix_rows(rows.transpose(1, 2).reshape(n, width, -1), width, across).reshape(turned.shape)
        total = total + zoomed * count
    parts = torch.full((1,), len(factors) + 1, dtype=torch.float32, device=images.device)
    return (total / parts).to(torch.uint8).transpose(1, 2).contiguous()
