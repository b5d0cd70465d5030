"""Images with the features of other images (Mahendran and Vedaldi 2015, arXiv:1412.0035), for any classifier."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .way import features

STEPS = 200
RATE = 0.05
SMOOTHNESS = 1e-3  # of the total variation, whose gradient keeps what the features leave open


def invert_features(
    model: nn.Module, images: Tensor, depth: int, *, steps: int = STEPS, smoothness: float = SMOOTHNESS
) -> Tensor:
    """Minimise |f(x) - f(images)|^2 / |f(images)|^2 + smoothness * total variation of x, by Adam from grey.

    Every image is looked for apart, so that its result does not depend on the batch.

    Args:
        model: in evaluation mode; its features must have a gradient.
        images: (n, c, h, w) in [0, 1].
        depth: as for `features`.
        steps: forward and backward passes, at least 1.
        smoothness: weight of the mean absolute difference of neighbours.

    Returns:
        (n, c, h, w), not clipped.

    Raises:
        InputError: no such depth, or training mode.
    """
    with torch.no_grad():
        target = features(model, images, depth)[0]
        scale = target.flatten(1).square().sum(1).clamp_min(1e-12)
    x = torch.full_like(images, 0.5, requires_grad=True)
    optimiser = torch.optim.Adam([x], lr=RATE)
    with torch.enable_grad():
        for _ in range(steps):
            difference = (features(model, x, depth)[0] - target).flatten(1).square().sum(1) / scale
            loss = (difference + smoothness * _variation(x)).sum()
            (x.grad,) = torch.autograd.grad(loss, [x])
            optimiser.step()
    return x.detach()


def _variation(x: Tensor) -> Tensor:
    """(n,) mean absolute difference of neighbours, down and across."""
    return (x.diff(dim=2).abs().flatten(1).mean(1) + x.diff(dim=3).abs().flatten(1).mean(1)) / 2
