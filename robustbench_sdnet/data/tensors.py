"""Pixels as models take them."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .images import ImageData


def to_images(pixels: NDArray[np.uint8], device: torch.device | str = "cpu") -> Tensor:
    """uint8 (n, h, w, 3) to float32 (n, 3, h, w) in [0, 1] on the device."""
    tensor = torch.from_numpy(np.ascontiguousarray(pixels)).to(device)
    return tensor.permute(0, 3, 1, 2).to(torch.float32).div_(255)


def first_images(data: ImageData, n: int, device: torch.device | str) -> tuple[Tensor, Tensor, Tensor]:
    """The first n images of a split as `to_images` makes them, their labels and their ids, (n,) int64 each."""
    labels, ids = (torch.from_numpy(column[:n]).to(device) for column in (data.labels, data.ids))
    return to_images(data.images(0, n), device), labels, ids
