"""Small networks with and without shortcuts, whose BatchNorm layers have seen images."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from robustbench_sdnet.zoo import build_model, refresh_step_sizes
from robustbench_sdnet.zoo.nets.sdnet import Classifier


def pictures(n: int = 4, size: int = 8, seed: int = 3) -> Tensor:
    return torch.rand((n, 3, size, size), generator=torch.Generator().manual_seed(seed))


def settled(arch: str, **options: object) -> Classifier:
    """A random network with BatchNorm statistics and weights of its own, in evaluation mode."""
    torch.manual_seed(5)
    model = build_model(arch, **{"width": 4, "num_classes": 3, "input_size": 8, **options})  # type: ignore[arg-type]
    for part in model.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.weight.data.uniform_(0.5, 1.5)
            part.bias.data.uniform_(-0.5, 0.5)
    size = int(model.options["input_size"])
    with torch.no_grad():
        for step in range(3):
            model.train()(pictures(16, size, step))
    refresh_step_sizes(model)
    return model.eval().requires_grad_(False)


@pytest.fixture(scope="session")
def plain() -> Classifier:
    return settled("sdnet20_all", shortcut=False)
