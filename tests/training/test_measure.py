"""The accuracy that a run measures of itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from robustbench_sdnet.data.images import from_arrays
from robustbench_sdnet.training.step.device import Device
from robustbench_sdnet.training.step.measure import EVALUATION_BATCH, accuracy_of


class Bright(nn.Module):
    """Class 1 where an image is bright; keeps whether it was asked in bfloat16, and of how many images."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[bool, int]] = []

    def forward(self, images):
        self.seen.append((torch.is_autocast_enabled("cpu"), len(images)))
        score = images.flatten(1).mean(1) - 0.5
        return torch.stack([-score, score], 1)


@pytest.mark.parametrize("fast", [False, True])
@pytest.mark.parametrize("autocast", [False, True])
def test_accuracy_is_the_share_of_the_images_asked_in_the_precision_asked(autocast, fast):
    index = np.arange(2 * EVALUATION_BATCH + 5)
    pixels = np.broadcast_to((255 * (index % 2)).astype(np.uint8)[:, None, None, None], (len(index), 2, 2, 3))
    data, model = from_arrays("npz:x", "test", pixels, (index % 3 == 0).astype(np.int64), 2, "x"), Bright()
    device = Device(torch.device("cpu"), torch.float32, autocast, channels_last=False)
    right = (index % 2) == (index % 3 == 0)
    assert accuracy_of(model, data, device, fast=fast) == right.mean()
    assert model.seen == [(autocast and fast, size) for size in (EVALUATION_BATCH, EVALUATION_BATCH, 5)]
    assert not model.training
    some = index[::2]
    assert accuracy_of(model, data, device, torch.from_numpy(some), fast=fast) == right[some].mean()
