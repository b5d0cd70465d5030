"""Small networks with and without shortcuts, whose BatchNorm layers have seen images, and a folder of two runs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from torch import Tensor, nn
from torch.nn import functional as F

import robustbench_sdnet as rs
from robustbench_sdnet.cli import cli
from robustbench_sdnet.data.tensors import to_images
from robustbench_sdnet.zoo import build_model, refresh_step_sizes
from robustbench_sdnet.zoo.nets.sdnet import Classifier


def pictures(n: int = 4, size: int = 8, seed: int = 3) -> Tensor:
    return torch.rand((n, 3, size, size), generator=torch.Generator().manual_seed(seed))


def settled(arch: str, **options: object) -> Classifier:
    """A random network with BatchNorm statistics and weights of its own, in evaluation mode."""
    torch.manual_seed(5)
    model = build_model(arch, **{"width": 4, "num_classes": 3, "input_size": 8, **options})
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


@pytest.fixture(scope="session")
def trained() -> Classifier:
    """A network without shortcuts that has learned digits, in seconds: four atoms in its stem."""
    torch.manual_seed(0)
    data = rs.data.load("digits", "train")
    images, labels = to_images(data.images(0, 900)), torch.as_tensor(data.labels[:900])
    model = build_model("sdnet20_all", num_classes=10, input_size=32, shortcut=False, width=4)
    optimiser = torch.optim.Adam(model.parameters(), 0.01)
    batches = [part for _ in range(4) for part in torch.randperm(900).split(32)]
    falling = torch.optim.lr_scheduler.LinearLR(optimiser, 1, 0.02, len(batches))
    for part in batches:
        optimiser.zero_grad()
        F.cross_entropy(model(images[part]), labels[part]).backward()
        optimiser.step()
        falling.step()
    refresh_step_sizes(model)
    return model.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, trained: Classifier) -> Path:
    """A folder with two runs on digits."""
    folder = tmp_path_factory.mktemp("inside")
    for name, model in (("plain", trained), ("res", settled("resnet20", num_classes=10, input_size=32))):
        (folder / "runs" / name).mkdir(parents=True)
        rs.save_model(model, folder / "runs" / name / "last.safetensors", data="digits")
    return folder


def run(folder: Path, *arguments: object, code: int = 0) -> Any:
    before = Path.cwd()
    os.chdir(folder)
    try:
        result = CliRunner().invoke(cli, [str(argument) for argument in arguments])
    finally:
        os.chdir(before)
    if code:
        assert result.exception is not None
        return str(result.exception)
    assert result.exit_code == 0, f"{result.output}{result.exception!r}"
    return result


def numbers(album: dict[str, Any], **wanted: object) -> list[dict[str, Any]]:
    return [row for row in album["numbers"] if all(row[key] == value for key, value in wanted.items())]
