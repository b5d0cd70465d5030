"""A small sparse coding network with fixed random weights, images, and the labels it gives them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from robustbench_sdnet.zoo import build_model, refresh_step_sizes


@pytest.fixture(scope="session")
def model(images):
    return _network("sdnet20", images)


@pytest.fixture(scope="session")
def every(images):
    """The same with sparse coding layers throughout."""
    return _network("sdnet20_all", images)


def _network(arch, images):
    torch.manual_seed(0)
    network = build_model(arch, width=4, input_size=8)
    with torch.no_grad():
        for _ in range(20):  # running statistics of BatchNorm
            network(images)
        refresh_step_sizes(network)
        network.eval().requires_grad_(False)
        # Centred and widened logits, so that all classes occur.
        network.linear.weight *= 10
        network.linear.bias -= network(images).mean(0)
    return network


@pytest.fixture(scope="session")
def pixels() -> np.ndarray:
    rng = np.random.default_rng(0)
    coarse = rng.integers(64, 192, (24, 3, 3, 3))
    return np.kron(coarse, np.ones((1, 3, 3, 1)))[:, :8, :8].astype(np.uint8)


@pytest.fixture(scope="session")
def images(pixels):
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255


@pytest.fixture(scope="session")
def labels(model, images):
    return model(images).argmax(1)
