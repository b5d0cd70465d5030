"""Elastic transformation: a random affine map, then a smooth random displacement."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from .filters import divisor, merged, pad, planes, smooth_field, truncated
from .members import Setting
from .sampling import Draws, Generators, drawn


def sample_elastic(generators: Generators, n: int, height: int, width: int, _: Setting) -> Draws:
    """Uniform in [-1, 1), float32: shifts of three points (n, 3, 2), x and y, and two fields (n, 2, h, w)."""
    uniform = drawn(generators, n, 6 + 2 * height * width, dtype=np.float32) * 2 - 1
    return {"points": uniform[:, :6].reshape(n, 3, 2), "field": uniform[:, 6:].reshape(n, 2, height, width)}


def elastic_transform(images: Tensor, draws: dict[str, Tensor], setting: Setting) -> Tensor:
    """Bilinear both times; lengths grow with the image's shorter side."""
    alpha, sigma, reach, nominal = setting
    height, width = images.shape[1:3]
    side = min(height, width)
    alpha, sigma, reach = (value * side / nominal for value in (alpha, sigma, reach))
    x, y = _affine(draws["points"].to(torch.float64) * reach, height, width)
    found = _bilinear(torch.stack(list(planes(images))).to(torch.float32), x, y, "mirror")
    if alpha:
        smooth = smooth_field(draws["field"].reshape(-1, height, width), sigma).mul_(alpha)
        shift_x, shift_y = smooth.reshape(-1, 2, height, width).unbind(1)
        across, down = _grid(height, width, images.device)
        found = _bilinear(torch.stack(found), across + shift_x, down + shift_y, "reflect")
    return merged([truncated(plane.clamp_(0, 255)) for plane in found])


def _affine(shifts: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Where each pixel comes from, x and y (n, h, w), when three corners of a square in the middle move by `shifts`.

    The corners are (cx + s, cy + s), (cx + s, cy - s) and (cx - s, cy - s), so that the map's columns are
    differences of the moved corners over 2 s. Its inverse is written out.
    """
    across, down = _grid(height, width, shifts.device)
    centre_x, centre_y, arm = width // 2, height // 2, min(height, width) // 3
    span = divisor(2 * arm, shifts)
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


def _bilinear(channels: Tensor, x: Tensor, y: Tensor, mode: str) -> list[Tensor]:
    """Look up float32 channels (c, n, h, w) between pixels, at x and y (n, h, w) float64.

    One after another: what is at hand of a large image then fits a core's cache. They are continued, see
    `border_index`, as far as is looked, so that all four neighbours of a place lie at fixed distances.
    """
    n, height, width = x.shape
    left, top = x.floor(), y.floor()
    right_share, bottom_share = (share.to(torch.float32) for share in (x - left, y - top))
    (before, after), (above, below) = (_reach(*pair) for pair in ((left, width), (top, height)))
    wide = before + width + after
    area = (above + height + below) * wide
    corner = top.to(torch.int32).mul_(wide).add_(left.to(torch.int32)).add_(above * wide + before)
    if n > 1:
        corner += torch.arange(0, n * area, area, dtype=torch.int32, device=x.device).reshape(n, 1, 1)
    corners = [(corner + step if step else corner).reshape(-1) for step in (0, 1, wide, wide + 1)]
    found = []
    for flat in pad(pad(channels, 2, above, below, mode), 3, before, after, mode).reshape(len(channels), -1):
        near, far, under, across = (flat.index_select(0, index).reshape(x.shape) for index in corners)
        upper = far.sub_(near).mul_(right_share).add_(near)
        lower = across.sub_(under).mul_(right_share).add_(under)
        found.append(lower.sub_(upper).mul_(bottom_share).add_(upper))
    return found


def _reach(place: Tensor, size: int) -> tuple[int, int]:
    """How many rows before the first and behind the last are looked at, from the upper ones of pairs."""
    least, largest = torch.aminmax(place)
    return max(0, -int(least)), max(0, int(largest) + 2 - size)
