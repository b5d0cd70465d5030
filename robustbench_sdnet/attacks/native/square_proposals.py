"""Starting points and proposals of the Square attack, every sample with its own window.

Counter 0 of a sample's draws belongs to the starting point, counter k to the proposal after k queries.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from ...draws import Draws
from ..engine.balls import column, lengths, project


def start_linf(draws: Draws, images: Tensor, eps: float) -> Tensor:
    """Vertical stripes of width one, each channel of each column at +eps or -eps."""
    channels, _, width = images.shape[1:]
    return (images + eps * draws.signs((channels, 1, width), 0, images.dtype)).clamp(0, 1)


def proposal_linf(draws: Draws, images: Tensor, best: Tensor, eps: float, size: Tensor, k: Tensor) -> Tensor:
    """A square of side `size` (m,) moved to +eps or -eps, one sign a channel."""
    channels, height, width = images.shape[1:]
    words = draws.words(2 + channels, k)
    inside = _window(words[:, 0], words[:, 1], size, height, width)
    signs = ((words[:, 2:] >> 31) * 2 - 1).to(images.dtype)
    moved = best + inside[:, None] * (2 * eps * signs[:, :, None, None])
    return project(moved, images, eps, "linf")


def start_l2(draws: Draws, images: Tensor, eps: float) -> Tensor:
    """A grid of bump pairs of side height / 5, scaled to length eps."""
    channels, height, width = images.shape[1:]
    side = max(min(height, width) // 5, 1)
    rows, columns = height // side, width // side
    top, left = (height - rows * side) // 2, (width - columns * side) // 2
    signs = draws.signs((channels + 1, rows, columns), 0, images.dtype)
    bump = bump_pair(side).to(images)
    shapes = torch.where(signs[:, 0, :, None, :, None] > 0, bump[:, None, :], bump.T[:, None, :])
    grid = signs[:, 1:, :, None, :, None] * shapes[:, None]
    delta = torch.zeros_like(images)
    delta[:, :, top : top + rows * side, left : left + columns * side] = grid.reshape(
        len(images), channels, rows * side, columns * side
    )
    return _scaled(delta, images, eps)


def proposal_l2(draws: Draws, images: Tensor, best: Tensor, eps: float, size: Tensor, k: Tensor) -> Tensor:
    """Mass of a second window moved into a new bump pair in a first window (algorithm 3 of the paper)."""
    channels, height, width = images.shape[1:]
    words = draws.words(5 + channels, k)
    # The paper wants odd sides; one row less where the image has no room for it.
    size = torch.where(size % 2 == 0, size + 1, size)
    size = torch.where(size > min(height, width), size - 2, size).clamp_min(1)
    first = _window(words[:, 0], words[:, 1], size, height, width)[:, None]
    second = _window(words[:, 2], words[:, 3], size, height, width)[:, None]
    delta = best - images
    signs = ((words[:, 5:] >> 31) * 2 - 1).to(images.dtype)[:, :, None, None]
    bump = _placed_bump(words, size, height, width).to(images.dtype)[:, None]
    old = delta * first
    new = bump * signs + old / (1e-12 + _planes(old))
    spare = (eps**2 - lengths(delta, "l2") ** 2).clamp_min(0)
    freed = lengths(delta * torch.maximum(first, second), "l2") ** 2
    new = new / (1e-12 + _planes(new)) * column((spare / channels + freed).sqrt(), images)
    delta = torch.where(first > 0, new, torch.where(second > 0, 0.0, delta))
    return _scaled(delta, images, eps)


@lru_cache(maxsize=64)
def bump_pair(side: int) -> Tensor:
    """(side, side) of l2 norm 1: a bump in the upper half and its negative in the lower half."""
    if side < 3:
        return torch.full((side, side), 1.0 / side, dtype=torch.float64)
    upper = side // 2
    pair = torch.cat([_bump(upper, side), -_bump(side - upper, side)])
    normalised: Tensor = pair / torch.linalg.vector_norm(pair)
    return normalised


def _bump(height: int, width: int) -> Tensor:
    """Nested centred rectangles that grow by one on each side, the i-th of height 1 / i^2, at l2 norm 1."""
    bump = torch.zeros(height, width, dtype=torch.float64)
    top, left = height // 2 - 1, width // 2 - 1
    for ring in range(max(height, width) // 2 + 1):
        bottom, right = top - ring + 2 * ring + 1, left - ring + 2 * ring + 1
        bump[max(top - ring, 0) : max(bottom, 0), max(left - ring, 0) : max(right, 0)] += 1 / (ring + 1) ** 2
    normalised: Tensor = bump / torch.linalg.vector_norm(bump)
    return normalised


def _placed_bump(words: Tensor, size: Tensor, height: int, width: int) -> Tensor:
    """(m, h, w): the bump pair of each row's side in its first window, upright or on its side."""
    table, number = _bump_table(min(height, width), size.device)
    y, x = _from_corner(words[:, 0], words[:, 1], size, height, width)
    inside = ((y >= 0) & (y < size[:, None]))[:, :, None] & ((x >= 0) & (x < size[:, None]))[:, None, :]
    turned = (words[:, 4] >> 31)[:, None, None] > 0
    last = table.shape[1] - 1
    y, x = y.clamp(0, last)[:, :, None], x.clamp(0, last)[:, None, :]
    which = number[size][:, None, None]
    return torch.where(turned, table[which, x, y], table[which, y, x]) * inside


@lru_cache(maxsize=8)
def _bump_table(largest: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Every odd bump pair, padded to the largest, and the table's row for each side."""
    sides = list(range(1, largest + 1, 2))
    table = torch.zeros(len(sides), largest, largest)
    number = torch.zeros(largest + 1, dtype=torch.int64)
    for row, side in enumerate(sides):
        table[row, :side, :side] = bump_pair(side)
        number[side] = row
    return table.to(device), number.to(device)


def _from_corner(top: Tensor, left: Tensor, size: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """(m, h) and (m, w) coordinates relative to each row's window, whose corner two 32-bit words choose."""
    top = (top * (height - size + 1)) >> 32
    left = (left * (width - size + 1)) >> 32
    rows = torch.arange(height, device=size.device) - top[:, None]
    return rows, torch.arange(width, device=size.device) - left[:, None]


def _window(top: Tensor, left: Tensor, size: Tensor, height: int, width: int) -> Tensor:
    """(m, h, w) 1 inside each row's window, 0 outside."""
    y, x = _from_corner(top, left, size, height, width)
    size = size[:, None]
    return (((y >= 0) & (y < size))[:, :, None] & ((x >= 0) & (x < size))[:, None, :]).float()


def _planes(delta: Tensor) -> Tensor:
    """(m, c, 1, 1) l2 norm of each channel."""
    return delta.square().sum((-2, -1), keepdim=True).sqrt()


def _scaled(delta: Tensor, images: Tensor, eps: float) -> Tensor:
    """The image plus the perturbation at length eps, in [0, 1]."""
    length = column(lengths(delta, "l2"), delta).clamp_min(1e-12)
    return (images + delta / length * eps).clamp(0, 1)
