"""Gaussian, defocus and zoom blur."""

from __future__ import annotations

from collections import Counter
from functools import lru_cache
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .filters import border_index, gaussian, mix_rows, pad, to_bytes, unit_interval, zoom_extent
from .member import Setting


def gaussian_blur(images: Tensor, _: dict[str, Tensor], setting: Setting) -> Tensor:
    """A Gaussian of the table's width, border values repeated. Equal to the reference to the byte."""
    return to_bytes(gaussian(unit_interval(images), setting[0]))


def defocus_blur(images: Tensor, _: dict[str, Tensor], setting: Setting) -> Tensor:
    """A disk smoothed by a small Gaussian, border mirrored."""
    radius, alias = setting
    return _small_disk(images, radius, alias) if radius < 2 else _large_disk(images, radius, alias)


def _small_disk(images: Tensor, radius: float, alias: float) -> Tensor:
    """At these radii every weight beyond the 3x3 neighbourhood is zero but for a trace at distance two, which
    decides whether a mean that is nearly a whole level is truncated to it. Neighbours are summed as integers.
    """
    height, width = images.shape[1:3]
    centre, edge, corner, far = _defocus_weights(radius, alias)
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
    """Weights of a pixel, its edge and corner neighbours and those two away."""
    disk = _disk(radius, alias, 3)
    return float(disk[3, 3]), float(disk[3, 2]), float(disk[2, 2]), float(disk[3, 1])


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
    """Pixels of equal weight are summed as integers, along a row from its running sums."""
    height, width = images.shape[1:3]
    reach, weights = _runs(radius, alias)
    padded = pad(pad(images.to(torch.int32), 1, reach, reach, "mirror"), 2, reach, reach, "mirror")
    running = torch.nn.functional.pad(padded.cumsum(2, dtype=torch.int32), (0, 0, 1, 0))
    total = torch.zeros(images.shape, dtype=torch.float64, device=images.device)
    for weight, runs in weights:
        ring = torch.zeros(images.shape, dtype=torch.int32, device=images.device)
        for row, first, stop in runs:
            if stop - first == 1:
                ring += padded[:, row : row + height, first : first + width]
            else:
                line = running[:, row : row + height]
                ring += line[:, :, stop : stop + width]
                ring -= line[:, :, first : first + width]
        total.add_(ring.to(torch.float64).mul_(weight))
    return total.clamp_(0, 255).to(torch.uint8)


@lru_cache(maxsize=16)
def _runs(radius: float, alias: float) -> tuple[int, list[tuple[float, list[tuple[int, int, int]]]]]:
    """The kernel's reach, and for each weight the runs of it: row, first column, column behind the last."""
    reach = 8 if radius <= 8 else int(radius)
    runs: dict[float, list[tuple[int, int, int]]] = {}
    for row, line in enumerate(_disk(radius, alias, reach)):
        ends = [0, *(np.flatnonzero(np.diff(line)) + 1).tolist(), len(line)]
        for first, stop in pairwise(ends):
            if line[first]:
                runs.setdefault(float(line[first]), []).append((row, first, stop))
    return reach, sorted(runs.items())


def zoom_blur(images: Tensor, _: dict[str, Tensor], setting: Setting) -> Tensor:
    """The mean of the image and its centred zooms by 1, 1 + step, ... (linear interpolation), in float32."""
    n, height, width, channels = images.shape
    factors = np.arange(1, *setting).tolist()
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
