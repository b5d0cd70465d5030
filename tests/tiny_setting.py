"""A setting small enough to run whole plans in seconds: two tiny networks and 130 images."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from robustbench_sdnet.data.images import from_arrays
from robustbench_sdnet.planning.identity import data_spec
from robustbench_sdnet.running.worker import Worker
from robustbench_sdnet.specs import ModelSpec

SDNET = ModelSpec(name="sdnet", source="s", arch="sdnet20", weights="a" * 64, training_lambda=0.1)
RESNET = ModelSpec(name="resnet", source="r", arch="resnet20", weights="b" * 64)


@pytest.fixture(scope="session")
def networks():
    from robustbench_sdnet.zoo import build_model, refresh_step_sizes

    torch.manual_seed(0)
    models = {
        spec.name: build_model(spec.arch, width=4, num_classes=3, input_size=8) for spec in (SDNET, RESNET)
    }
    for model in models.values():
        model.train()
        for _ in range(3):
            with torch.no_grad():
                model(torch.rand(32, 3, 8, 8))
        refresh_step_sizes(model)
        model.eval().requires_grad_(False)
        model.linear.bias -= model(torch.rand(64, 3, 8, 8)).mean(
            0
        )  # else one class is the answer to every image
    return models


@pytest.fixture(scope="session")
def images():
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 256, (130, 8, 8, 3), dtype=np.uint8)
    return from_arrays("tiny", "test", pixels, np.arange(130) % 3, 3, "tiny")


@pytest.fixture
def make_worker(networks, images):
    def make(batch_size=250, **changes):
        return Worker(
            data=replace(images, **changes), load=lambda spec: networks[spec.name], batch_size=batch_size
        )

    return make


@pytest.fixture
def data(images):
    return data_spec(images)
