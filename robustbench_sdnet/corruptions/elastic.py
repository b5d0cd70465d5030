"""Elastic transformation: a random affine map, then a smooth random displacement."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .filters import smooth_field
from .member import Setting

Generators = Iterator[np.random.Generator]


def sample_elastic(
    generators: Generators, n: int, height: int, width: int, _: Setting
) -> dict[str, NDArray[np.float32]]:
    """Uniform in [-1, 1), float32: shifts of three points (n, 3, 2), x and y, and two fields (n, 2, h, w)."""
    uniform = np.empty((n, 6 + 2 * height * width), np.float32)
    for row, generator in zip(uniform, generators, strict=True):
        generator.random(out=row, dtype=np.float32)
    uniform = uniform * 2 - 1
    return {"points": uniform[:, :6].reshape(n, 3, 2), "field": uniform[:, 6:].reshape(n, 2, height, width)}


def elastic_transform(images: Tensor, draws: dict[str, Tensor], setting: Setting) -> Tensor:
    """Bilinear both times; lengths grow with the image's shorter side."""
    alpha, sigma, reach, nominal = setting
    height, width, channels = images.shape[1:]
    side = min(height, width)
    alpha, sigma, reach = (value * side / nominal for value in (alpha, sigma, reach))
    pixels = torch.nn.functional.pad(images, (0, 1)).to(torch.float32)  # a pixel is then one aligned load
    x, y = _affine(draws["points"].to(torch.float64) * reach, height, width)
    pixels = _bilinear(pixels, x, y, "mirror")
    if alpha:
        smooth = smooth_field(draws["field"].reshape(-1, height, width), sigma).mul_(alpha)
        shift_x, shift_y = smooth.reshape(-1, 2, height, width).unbind(1)
        across, down = _grid(height, width, images.device)
        pixels = _bilinear(pixels, across + shift_x, down + shift_y, "reflect")
    return pixels[..., :channels].clamp(0, 255).to(torch.uint8).contiguous()


def _affine(shifts: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Where each pixel comes from when three corners of a square in the middle move by `shifts`.

    The corners are (cx + s, cy + s), (cx + s, cy - s) and (cx - s, cy - s), so that the map's columns are
    differences of the moved corners over 2 s. Its inverse is written out.

    Returns:
        x and y, (n, h, w) float64.
    """
    across, down = _grid(height, width, shifts.device)
    centre_x, centre_y, arm = width // 2, height // 2, min(height, width) // 3
    span = torch.full((1,), 2.0 * arm, dtype=torch.float64, device=shifts.device)
    first, second, third = shifts.unbind(1)
    a, c = (1 + (second - third)[:, 0] / span), (second - third)[:, 1] / span
    b, d = (first - second)[:, 0] / span, (1 + (first - second)[:, 1] / span)
    det = a * d - b * c
    from_x = across - (centre_x + arm + second[:, 0, None, None])
    from_y = down - (centre_y - arm + second[:, 1, None, None])
    a, b, c, d, det = (value[:, None, None] for value in (a, b, c, d, det))
    x = (d * from_x - b * from_y) / det + (centre_x + arm)
    y = (a * from_y - c * from_x) / det + (centre_y - arm)
    return x, y


def _grid(height: int, width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Column and row numbers, (1, w) and (h, 1) float64."""
    across = torch.arange(width, dtype=torch.float64, device=device)
    return across[None, :], torch.arange(height, dtype=torch.float64, device=device)[:, None]


def _bilinear(pixels: Tensor, x: Tensor, y: Tensor, mode: str) -> Tensor:
    """Look up (n, h, w, c) float32 between pixels, at x and y (n, h, w) float64."""
    n, height, width, channels = pixels.shape
    flat = pixels.reshape(-1, channels)
    left, top = x.floor(), y.floor()
    right_share, bottom_share = ((share.to(torch.float32).reshape(-1, 1)) for share in (x - left, y - top))
    columns = [_inside(left.to(torch.int32) + step, width, mode) for step in (0, 1)]
    first = torch.arange(n, dtype=torch.int32, device=pixels.device).reshape(n, 1, 1) * (height * width)
    rows = [_inside(top.to(torch.int32) + step, height, mode) * width + first for step in (0, 1)]
    halves = []
    for row in rows:
        near, far = (flat.index_select(0, (row + column).reshape(-1)) for column in columns)
        halves.append(far.sub_(near).mul_(right_share).add_(near))
    upper, lower = halves
    return lower.sub_(upper).mul_(bottom_share).add_(upper).reshape(pixels.shape)


def _inside(index: Tensor, size: int, mode: str) -> Tensor:
    """Reflect indices that are outside: "mirror" leaves the edge out, "reflect" repeats it."""
    period = 2 * size - 2 if mode == "mirror" else 2 * size
    if int(index.min()) <= -size or int(index.max()) >= 2 * size - 1:
        index = index.remainder(period)
    if mode == "mirror":
        return (size - 1) - ((size - 1) - index.abs()).abs()
    index = torch.maximum(index, -1 - index)
    return torch.minimum(index, 2 * size - 1 - index)
