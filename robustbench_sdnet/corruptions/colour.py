"""Brightness, contrast and saturation.

The reference goes to HSV and back. Value and saturation scale an RGB pixel around black and around its
largest channel, so neither needs the hue.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .parameters import Setting


def brightness(images: Tensor, _: dict[str, Tensor], setting: Setting) -> Tensor:
    """HSV value + c, clipped: one look-up by a pixel's largest channel and the channel itself."""
    table = torch.from_numpy(_brightness_table(setting[0])).to(images.device)
    index = images.to(torch.int32)
    index += _extreme(images, torch.maximum).to(torch.int32)[..., None] << 8
    return table.index_select(0, index.reshape(-1)).reshape(images.shape)


@lru_cache(maxsize=16)
def _brightness_table(offset: float) -> NDArray[np.uint8]:
    """(256 * 256,) the byte that a channel becomes, by largest channel (row) and channel (column)."""
    value = np.arange(256)[:, None] / 255
    brighter = np.clip(value + offset, 0, 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(value > 0, np.minimum(value.T / value, 1), 1)  # black has no hue and turns grey
    # The largest channel is the value itself; the others lose an ulp on the way, which must not cost a level.
    return (brighter * share * 255 + 1e-9 * (share < 1)).astype(np.uint8).reshape(-1)


def contrast(images: Tensor, _: dict[str, Tensor], setting: Setting) -> Tensor:
    """(x - mean) c + mean, mean per image and channel, taken from an exact integer sum."""
    _n, height, width, _c = images.shape
    total = images.sum(dim=(1, 2), keepdim=True, dtype=torch.int64).to(torch.float64)
    mean = (total / torch.full_like(total, height * width)).to(torch.float32)
    return (images - mean).mul_(setting[0]).add_(mean).clamp_(0, 255).to(torch.uint8)


def saturate(images: Tensor, _: dict[str, Tensor], setting: Setting) -> Tensor:
    """HSV saturation a S + b, clipped; grey pixels, whose hue counts as red, turn reddish where b > 0."""
    factor, offset = setting
    largest = _extreme(images, torch.maximum).to(torch.float32)
    spread = largest - _extreme(images, torch.minimum)
    one = torch.ones_like(spread)
    saturation = spread / torch.maximum(largest, one)
    # By how much each channel's distance from the largest one grows.
    stretch = (saturation * factor + offset).clamp_(0, 1) * largest / torch.maximum(spread, one)
    distance = (largest[..., None] - images).mul_(stretch[..., None])
    if offset:
        grey = (largest * offset).mul_(spread == 0)
        distance[..., 1:] += grey[..., None]
    return (largest[..., None] - distance).add_(1e-4).clamp_(0, 255).to(torch.uint8)


def _extreme(images: Tensor, which: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """The largest or smallest channel of each pixel, (n, h, w) uint8."""
    red, green, blue = images.unbind(-1)
    return which(which(red, green), blue)
