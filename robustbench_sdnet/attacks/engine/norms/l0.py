"""The number of pixels that change, in any channel."""

from __future__ import annotations

from torch import Tensor

from ..ball import Ball, beside


class L0(Ball):
    """At most eps pixels may change, by any amount."""

    name = "l0"

    def lengths(self, delta: Tensor) -> Tensor:
        return (delta != 0).any(1).flatten(1).sum(1).to(delta.dtype)

    def project(self, points: Tensor, images: Tensor, eps: float | Tensor) -> Tensor:
        """Those pixels stay changed whose change is longest within [0, 1]."""
        delta = points.clamp(0, 1) - images
        # Leaving a pixel costs its whole distance, keeping it what the box cuts off.
        gain = ((points - images).square() - (points - images - delta).square()).sum(1).flatten(1)
        rank = gain.argsort(dim=1, descending=True, stable=True).argsort(dim=1)
        kept = (rank + 1 <= beside(eps, images, images.dtype).reshape(-1, 1)).to(delta.dtype)
        return images + delta * kept.reshape(len(images), 1, *images.shape[2:])


BALL = L0()
