"""Euclidean length."""

from __future__ import annotations

import torch
from torch import Tensor

from ....draws import Draws
from ..ball import Ball, climb, column


class L2(Ball):
    """The whole change may be eps long."""

    name = "l2"

    def lengths(self, delta: Tensor) -> Tensor:
        return delta.flatten(1).square().sum(1).sqrt()

    def project(self, points: Tensor, images: Tensor, eps: float | Tensor) -> Tensor:
        """Scaled onto the ball, then clipped, as the field does it: inside, if not always the nearest point."""
        delta = points - images
        shrink = (eps / self.lengths(delta).clamp_min(1e-30)).clamp(max=1)
        return self.settled((images + delta * column(shrink, delta)).clamp(0, 1), images, eps)

    def steepest(self, gradient: Tensor, points: Tensor) -> Tensor:
        """The gradient at unit length, also where it is so small that its square would be zero."""
        largest = gradient.flatten(1).abs().amax(1)
        scaled = gradient / column(torch.where(largest > 0, largest, 1), gradient)
        return scaled / column(self.lengths(scaled).clamp_min(1), scaled)

    def random_direction(self, draws: Draws, images: Tensor, counter: Tensor | int) -> Tensor:
        """Uniform on the unit sphere."""
        delta = draws.normal(tuple(images.shape[1:]), counter, images.dtype)
        return delta / column(self.lengths(delta), delta).clamp_min(1e-12)

    def boundary(self, points: Tensor, normals: Tensor, gaps: Tensor) -> Tensor:
        return climb(points, normals, gaps, normals.abs())


BALL = L2()
