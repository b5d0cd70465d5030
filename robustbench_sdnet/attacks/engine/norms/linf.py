"""The largest change of any value."""

from __future__ import annotations

import torch
from torch import Tensor

from ....draws import Draws
from ..ball import Ball, beside, climb, column


class Linf(Ball):
    """Every value may move by eps."""

    name = "linf"
    signs = True

    def lengths(self, delta: Tensor) -> Tensor:
        return delta.flatten(1).abs().amax(1)

    def project(self, points: Tensor, images: Tensor, eps: float | Tensor) -> Tensor:
        radius = column(beside(eps, images, images.dtype), images)
        return (images + (points - images).clamp(-radius, radius)).clamp(0, 1)

    def steepest(self, gradient: Tensor, points: Tensor) -> Tensor:
        return gradient.sign()

    def random_direction(self, draws: Draws, images: Tensor, counter: Tensor | int) -> Tensor:
        delta = 2 * draws.uniform(tuple(images.shape[1:]), counter, images.dtype) - 1
        return delta / column(self.lengths(delta), delta).clamp_min(1e-12)

    def random_in_ball(self, draws: Draws, images: Tensor, eps: float, counter: Tensor | int = 0) -> Tensor:
        """Uniform in the box."""
        delta = (2 * draws.uniform(tuple(images.shape[1:]), counter, images.dtype) - 1) * eps
        return (images + delta).clamp(0, 1)

    def noise(self, draws: Draws, images: Tensor, eps: float, counter: Tensor | int) -> Tensor:
        return self.random_in_ball(draws, images, eps, counter)

    def boundary(self, points: Tensor, normals: Tensor, gaps: Tensor) -> Tensor:
        return climb(points, normals, gaps, torch.ones_like(normals))


BALL = Linf()
