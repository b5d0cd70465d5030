"""The sum of all changes, after Croce & Hein 2021, "Mind the box" (arXiv:2103.01208): in [0, 1], sparse steps."""

from __future__ import annotations

import torch
from torch import Tensor

from ....devices import as_float64
from ....draws import Draws
from ..ball import Ball, beside, column, room
from ..batches import free_to_look

SHARE = 0.01
"""Share of the values that one step of PGD moves (Tramer & Boneh 2019, arXiv:1904.13000)."""


class L1(Ball):
    """All changes together may come to eps."""

    name = "l1"
    sparse = True

    def lengths(self, delta: Tensor) -> Tensor:
        return delta.flatten(1).abs().sum(1)

    def project(self, points: Tensor, images: Tensor, eps: float | Tensor) -> Tensor:
        """The nearest points of the ball within [0, 1], exactly, in any float dtype.

        Every change shrinks by the same amount, down to none, within the room that the box leaves it.
        """
        delta, start = as_float64(points - images).flatten(1), as_float64(images)
        size, space = delta.abs(), room(start.flatten(1), delta)
        moved = torch.minimum(size, space)
        radii = beside(eps, delta, torch.float64).expand(len(images))
        far = (moved.sum(1) > radii).nonzero()[:, 0]
        if len(far):
            size, space = size[far], space[far]
            shrinkage = _shrinkage(size, space, radii[far])[:, None]
            moved[far] = torch.minimum((size - shrinkage).clamp_min(0), space)
        moved = (delta.sign() * moved).reshape(images.shape)
        return self.settled((start + moved).clamp(0, 1).to(images), images, eps)

    def steepest(self, gradient: Tensor, points: Tensor) -> Tensor:
        """Equal steps along the largest entries of the gradient that [0, 1] leaves room for."""
        slope = torch.where(room(points, gradient) > 0, gradient, 0.0)
        return self.sparsest(slope, torch.full_like(slope[:, 0, 0, 0], SHARE))

    def sparsest(self, gradient: Tensor, share: Tensor) -> Tensor:
        sizes = gradient.flatten(1).abs()
        count = (share * sizes.shape[1]).long().clamp(1, sizes.shape[1])
        ordered = sizes.topk(int(count.max()), dim=1).values
        least = ordered.gather(1, count[:, None] - 1)
        signs = torch.where(column(least, gradient) <= gradient.abs(), gradient.sign(), 0.0)
        return signs / column(self.lengths(signs).clamp_min(1), signs)

    def random_direction(self, draws: Draws, images: Tensor, counter: Tensor | int) -> Tensor:
        """Uniform on the unit sphere: exponential sizes, random signs."""
        first, second = draws.uniform((2, *images.shape[1:]), counter, images.dtype).unbind(1)
        delta = -(1 - first).log() * torch.where(second < 0.5, -1.0, 1.0).to(images.dtype)
        return delta / column(self.lengths(delta), delta).clamp_min(1e-12)

    def boundary(self, points: Tensor, normals: Tensor, gaps: Tensor) -> Tensor:
        """The steepest values move first, as far as the box lets them."""
        direction = normals.sign() * gaps.sign()[:, None]
        weight, space = normals.abs(), room(points, direction)
        order = _steepest_first(weight, space, gaps.abs())
        weight, space = weight.gather(1, order), space.gather(1, order)
        gained = (weight * space).cumsum(1)
        before = gained - weight * space
        needed = (gaps.abs()[:, None] - before).clamp_min(0) / weight.clamp_min(1e-30)
        return direction * torch.zeros_like(points).scatter(1, order, torch.minimum(needed, space))


def _steepest_first(weight: Tensor, space: Tensor, gain: Tensor) -> Tensor:
    """Where the largest weights (m, d) stand, ties in order: a few if they surely bring the gain (m,), else all."""
    few = weight.shape[1] // 16
    if few and free_to_look(weight):
        order = weight.topk(few, dim=1).indices.sort(dim=1).values
        top = weight.gather(1, order)
        larger = top > top.amin(1, keepdim=True)  # of those as large as the least, topk takes any
        if bool(((top * space.gather(1, order) * larger).sum(1) > 1.01 * gain).all()):
            return order.gather(1, top.argsort(dim=1, descending=True, stable=True))
    return weight.argsort(dim=1, descending=True, stable=True)


def _shrinkage(size: Tensor, space: Tensor, eps: Tensor) -> Tensor:
    """(n,) by how much every size must shrink so that the changes, kept within their space, sum to eps.

    The sum falls with the shrinkage and is piecewise linear: Newton's method within a bracket, which is halved where a
    step would leave it or where Newton has been at it for long, ends on the exact piece.

    Args:
        size, space: (n, d) float64; the sum of their smaller ones is above eps.
    """
    low, high = torch.zeros_like(size[:, 0]), size.amax(1)
    shrinkage = low
    for number in range(200):
        left = size - shrinkage[:, None]
        total = torch.minimum(left.clamp_min(0), space).sum(1)
        falling = ((left > 0) & (left < space)).sum(1)
        low = torch.where(total >= eps, shrinkage, low)
        high = torch.where(total <= eps, shrinkage, high)
        following = shrinkage + (total - eps) / falling.clamp_min(1)
        halved = (falling == 0) | (following < low) | (following > high) | (number % 8 == 7)
        settled = (low == high) | ((following - shrinkage).abs() <= 1e-15 * size.amax(1)) & (falling > 0)
        if bool(settled.all()):
            return torch.where(low == high, low, following)
        following = torch.where(halved, (low + high) / 2, following)
        shrinkage = torch.where(settled, shrinkage, following)
    return shrinkage


BALL = L1()
