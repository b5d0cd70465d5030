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

from .filters import from_words, gaussian, pad, to_bytes, to_words, unit_interval, zoom_extent, zoom_rows
from .parameters import Setting

Generators = Iterator[np.random.Generator]
_ZOOM_BITS = 19
_ZOOM_CHUNK = 8  # all zooms of so many images fit into a core's cache


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
    """The mean of the image and its centred zooms by 1, 1.01, 1.02, ... (linear interpolation).

    Weights are multiples of 2^-19, so that every product and sum is an integer below 2^53: exact in float64,
    whatever order a matrix product adds in.
    """
    n, height, width = images.shape[:3]
    same, factors, rows, columns = _zoom_matrices(height, width, setting[0])
    rows, columns = rows.to(images.device), columns.to(images.device)
    one = 4.0**_ZOOM_BITS
    parts = torch.full((1,), (factors + 1) * one, dtype=torch.float64, device=images.device)
    result = torch.empty_like(images)
    for start in range(0, n, _ZOOM_CHUNK):
        part = images[start : start + _ZOOM_CHUNK].permute(0, 3, 1, 2)
        planes = part.to(torch.float64, memory_format=torch.contiguous_format)
        # Every zoom of every row, (planes, h * zooms, w); then all of those rows into each row of the sum.
        wide = (planes.reshape(-1, width) @ columns).reshape(-1, rows.shape[1], width)
        total = torch.matmul(rows, wide).reshape(planes.shape)
        total = total.add_(planes.mul_((same + 1) * one)).div_(parts)
        result[start : start + _ZOOM_CHUNK] = total.permute(0, 2, 3, 1)
    return result


@lru_cache(maxsize=16)
def _zoom_matrices(height: int, width: int, end: float) -> tuple[int, int, Tensor, Tensor]:
    """The weights of all zooms, float64 whole numbers in units of 2^-19.

    Returns:
        How many factors change nothing, and how many there are. Of the others: (height, height * zooms), where
        row r of zoom z is column r * zooms + z, and (width, zooms * width).
    """
    # A small image comes out of several factors the same: such weights are made once and counted.
    factors = np.arange(1, end, 0.01).tolist()
    extents = Counter((zoom_extent(height, factor), zoom_extent(width, factor)) for factor in factors)
    nothing = ((height, height), (width, width))
    same = extents.pop(nothing) if len(extents) > 1 else 0
    rows = np.stack([_zoom_matrix(height, *down) * count for (down, _), count in extents.items()], 2)
    columns = np.concatenate([_zoom_matrix(width, *across).T for _, across in extents], 1)
    weights = torch.from_numpy(rows.reshape(height, -1)), torch.from_numpy(columns)
    return same, len(factors), *weights


def _zoom_matrix(size: int, cropped: int, zoomed: int) -> NDArray[np.float64]:
    """(size, size): the weights of a centred zoom along one axis."""
    upper, share = zoom_rows(size, cropped, zoomed)
    lower = np.round(share * 2**_ZOOM_BITS)
    matrix = np.zeros((size, size))
    matrix[np.arange(size), upper] = 2**_ZOOM_BITS - lower
    matrix[np.arange(size), upper + 1] = lower
    return matrix
