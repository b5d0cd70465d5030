"""Starting points and proposals of the Square attack, every sample with its own window.

`start` gives the first points, in their balls and in [0, 1]; `propose` points that change `best` in windows of side
`size` (m,), after k (m,) queries; `least` is the smallest side of a window.

Counter 0 of a sample's draws belongs to the starting point, counter k to the proposal after k queries.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from ...draws import Draws
from ..engine.ball import Ball, column


@dataclass(frozen=True)
class Signs:
    """Every value at +eps or -eps: stripes of width one, then squares, one sign a channel."""

    ball: Ball
    least: int = 1

    def start(self, draws: Draws, images: Tensor, eps: float) -> Tensor:
        channels, _, width = images.shape[1:]
        return (images + eps * draws.signs((channels, 1, width), 0, images.dtype)).clamp(0, 1)

    def propose(
        self, draws: Draws, images: Tensor, best: Tensor, eps: float, size: Tensor, k: Tensor
    ) -> Tensor:
        channels, height, width = images.shape[1:]
        words = draws.words(2 + channels, k)
        inside = _window(words[:, 0], words[:, 1], size, height, width)
        signs = ((words[:, 2:] >> 31) * 2 - 1).to(images.dtype)
        moved = best + inside[:, None] * (2 * eps * signs[:, :, None, None])
        return self.ball.project(moved, images, eps)


@dataclass(frozen=True)
class Bumps:
    """Pairs of bumps of a whole length: a grid of them, then mass moved between windows (algorithm 3 of the paper).

    Attributes:
        order: of the norm, 2 or 1; in l1 after Croce & Hein 2021 (arXiv:2103.01208).
    """

    ball: Ball
    order: int
    least: int = 3

    def start(self, draws: Draws, images: Tensor, eps: float) -> Tensor:
        """A grid of bump pairs of side height / 5."""
        channels, height, width = images.shape[1:]
        side = max(min(height, width) // 5, 1)
        rows, columns = height // side, width // side
        top, left = (height - rows * side) // 2, (width - columns * side) // 2
        signs = draws.signs((channels + 1, rows, columns), 0, images.dtype)
        bump = bump_pair(side, self.order).to(images)
        shapes = torch.where(signs[:, 0, :, None, :, None] > 0, bump[:, None, :], bump.T[:, None, :])
        grid = signs[:, 1:, :, None, :, None] * shapes[:, None]
        delta = torch.zeros_like(images)
        delta[:, :, top : top + rows * side, left : left + columns * side] = grid.reshape(
            len(images), channels, rows * side, columns * side
        )
        return self._inside(delta, images, eps)

    def propose(
        self, draws: Draws, images: Tensor, best: Tensor, eps: float, size: Tensor, k: Tensor
    ) -> Tensor:
        channels, height, width = images.shape[1:]
        words = draws.words(5 + channels, k)
        # The paper wants odd sides; one row less where the image has no room for it.
        size = torch.where(size % 2 == 0, size + 1, size)
        size = torch.where(size > min(height, width), size - 2, size).clamp_min(1)
        first = _window(words[:, 0], words[:, 1], size, height, width)[:, None]
        second = _window(words[:, 2], words[:, 3], size, height, width)[:, None]
        delta = best - images
        signs = ((words[:, 5:] >> 31) * 2 - 1).to(images.dtype)[:, :, None, None]
        bump = _placed_bump(words, size, height, width, self.order).to(images.dtype)[:, None] * first
        old = delta * first
        new = bump * signs + old / (1e-12 + self._planes(old))
        spare = (eps**self.order - self.ball.lengths(delta) ** self.order).clamp_min(0)
        freed = self._planes(delta * torch.maximum(first, second)) ** self.order
        share = column(spare, images) / channels + freed
        # In l1 every channel has room for what all of them free: the projection keeps the highest values of it.
        share = channels * share if self.order == 1 else share.sqrt()
        new = new / (1e-12 + self._planes(new)) * share
        return self._inside(torch.where(first > 0, new, torch.where(second > 0, 0.0, delta)), images, eps)

    def _planes(self, delta: Tensor) -> Tensor:
        """(m, c, 1, 1) norm of each channel."""
        found: Tensor = torch.linalg.vector_norm(delta, self.order, dim=(-2, -1), keepdim=True)
        return found

    def _inside(self, delta: Tensor, images: Tensor, eps: float) -> Tensor:
        """The image plus the perturbation, in [0, 1]: in l2 scaled to length eps, in l1 projected onto the ball."""
        if self.order == 1:
            return self.ball.project(images + delta, images, eps)
        return (images + delta * column(eps / self.ball.lengths(delta).clamp_min(1e-12), delta)).clamp(0, 1)


@lru_cache(maxsize=64)
def bump_pair(side: int, order: int) -> Tensor:
    """(side, side) of norm 1 in l1 or l2: a bump in the upper half and its negative in the lower half."""
    upper = side // 2
    pair = torch.cat([_bump(upper, side, order), -_bump(side - upper, side, order)])
    return pair.div(torch.linalg.vector_norm(pair, order))


def _bump(height: int, width: int, order: int) -> Tensor:
    """Nested rectangles that grow by one on each side, the i-th of height 1 / i^2 (in l1 1 / i^4), at norm 1."""
    bump = torch.zeros(height, width, dtype=torch.float64, device="cpu")
    top, left = height // 2, width // 2
    for ring in range(max(height, width) // 2 + 1):
        rows, columns = slice(max(top - ring, 0), top + ring + 1), slice(max(left - ring, 0), left + ring + 1)
        bump[rows, columns] += (ring + 1) ** -(4.0 if order == 1 else 2.0)
    return bump.div(torch.linalg.vector_norm(bump, order))


def _placed_bump(words: Tensor, size: Tensor, height: int, width: int, order: int) -> Tensor:
    """(m, h, w): the bump pair of each row's side, upright or on its side; it means nothing outside its window."""
    table = _bump_table(min(height, width), order, size.device)
    y, x = _from_corner(words[:, 0], words[:, 1], size, height, width)
    turned = (words[:, 4] >> 31)[:, None, None] > 0
    last = table.shape[1] - 1
    y, x = y.clamp(0, last)[:, :, None], x.clamp(0, last)[:, None, :]
    which = (size // 2)[:, None, None]
    return torch.where(turned, table[which, x, y], table[which, y, x])


@lru_cache(maxsize=8)
def _bump_table(largest: int, order: int, device: torch.device) -> Tensor:
    """The bump pairs of sides 1, 3, 5, ..., padded to the largest."""
    sides = range(1, largest + 1, 2)
    table = torch.zeros(len(sides), largest, largest, dtype=torch.float32, device="cpu")
    for row, side in enumerate(sides):
        table[row, :side, :side] = bump_pair(side, order)
    return table.to(device)


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
