"""Trained models and images that several attack tests share."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from attack_networks import convolutional
from torch import Tensor, nn

Problem = tuple[nn.Module, Tensor, Tensor]


@pytest.fixture(autouse=True)
def one_thread():
    """Tiny networks gain nothing from threads, and threads spin when cores are shared."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def digits() -> tuple[Tensor, Tensor]:
    """scikit-learn's digits: (1797, 1, 8, 8) float32 in [0, 1] and labels."""
    from sklearn.datasets import load_digits

    found = load_digits()
    images = torch.from_numpy(found.images / 16).float()[:, None]
    return images, torch.from_numpy(found.target).long()


def _perturbed(model: nn.Module, images: Tensor, labels: Tensor, eps: float) -> Tensor:
    """Two signed gradient steps from a random start."""
    start = torch.empty_like(images).uniform_(-eps, eps)
    points = (images + start).clamp(0, 1)
    for _ in range(2):
        points.requires_grad_()
        (gradient,) = torch.autograd.grad(F.cross_entropy(model(points), labels, reduction="sum"), points)
        moved = points.detach() + 0.75 * eps * gradient.sign()
        points = torch.minimum(torch.maximum(moved, images - eps), images + eps).clamp(0, 1)
    return points


def _trained(digits: tuple[Tensor, Tensor], eps: float) -> Problem:
    images, labels = digits
    torch.manual_seed(0)
    model = convolutional()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    for _ in range(150):
        index = torch.randint(500, len(images), (64,))
        batch = images[index]
        if eps:
            batch = _perturbed(model.eval(), batch, labels[index], eps)
        model.train()
        optimizer.zero_grad()
        F.cross_entropy(model(batch), labels[index]).backward()
        optimizer.step()
    return model.eval().requires_grad_(False), images[:500], labels[:500]


@pytest.fixture(scope="session")
def standard(digits: tuple[Tensor, Tensor]) -> Problem:
    """A standard-trained conv net and 500 images it has not seen."""
    return _trained(digits, 0.0)


@pytest.fixture(scope="session")
def hardened(digits: tuple[Tensor, Tensor]) -> Problem:
    """An adversarially trained conv net (eps 0.15) and 500 images it has not seen."""
    return _trained(digits, 0.15)
