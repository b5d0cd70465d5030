"""Small models with known answers, for the tests of attacks."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Linear(nn.Module):
    """logits = images.flatten(1) @ weights.T + bias: distances and optimal attacks have closed forms."""

    def __init__(self, classes: int, shape: tuple[int, int, int], seed: int = 0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        features = shape[0] * shape[1] * shape[2]
        self.weight = nn.Parameter(torch.randn(classes, features, generator=generator))
        self.bias = nn.Parameter(0.1 * torch.randn(classes, generator=generator))

    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(1) @ self.weight.T + self.bias


def linear_problem(
    classes: int, shape: tuple[int, int, int], n: int, eps: float, norm: str
) -> tuple[Linear, Tensor, Tensor, Tensor]:
    """A linear model, n images whose balls stay inside (0, 1), their labels and exact distances to the boundary.

    Biases are moved so that distances spread over 0 to 2 eps.
    """
    model = Linear(classes, shape).double()
    generator = torch.Generator().manual_seed(1)
    images = 0.4 + 0.2 * torch.rand(n, *shape, generator=generator, dtype=torch.float64)
    labels = model(images).argmax(1)
    # Shrink the weights' differences in logits so that margins match eps.
    distance = exact_distance(model, images, labels, norm)
    with torch.no_grad():
        factor = eps / float(distance.median())
        model.bias.mul_(factor)
        centre = torch.full_like(images[:1], 0.5)
        images = centre + factor * (images - centre)
        model.bias.add_((model.weight @ centre.flatten()) * (factor - 1))
    assert float(images.min()) > 2.2 * eps
    assert float(images.max()) < 1 - 2.2 * eps
    labels = model(images).argmax(1)
    return model, images, labels, exact_distance(model, images, labels, norm)


def exact_distance(model: Linear, images: Tensor, labels: Tensor, norm: str) -> Tensor:
    """(n,) min over classes of (z_y - z_k) / |w_y - w_k|, in the dual norm."""
    logits = model(images).detach()
    weights = model.weight.detach()
    gaps = logits.gather(1, labels[:, None]) - logits
    spread = (weights[labels][:, None] - weights[None]).double()
    order = {"linf": 1, "l2": 2, "l1": float("inf")}[norm]
    dual = torch.linalg.vector_norm(spread, order, dim=2)
    ratio = torch.where(dual > 0, gaps / dual.clamp_min(1e-30), torch.inf)
    return ratio.amin(1)


def convolutional(classes: int = 10, channels: int = 1) -> nn.Sequential:
    """A small conv net with batch normalisation, for images of 8 x 8."""
    return nn.Sequential(
        nn.Conv2d(channels, 8, 3, 1, 1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 16, 3, 2, 1),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(16 * 4 * 4, classes),
    )
