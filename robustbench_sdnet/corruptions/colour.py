"""Brightness and saturation, by way of HSV, and contrast."""

from __future__ import annotations

import torch
from torch import Tensor

from .filters import divisor, unit_interval
from .member import Setting

# Which of (value, middle, least) red, green and blue are in each sixth of the hue circle.
_SECTORS = ((0, 1, 2), (1, 0, 2), (2, 0, 1), (2, 1, 0), (1, 2, 0), (0, 2, 1))


def brightness(images: Tensor, _: dict[str, Tensor], setting: Setting) -> Tensor:
    """HSV value + c, clipped. Equal to the reference to the byte."""
    hue, saturation, value = _to_hsv(images)
    return _from_hsv(images, hue, saturation, value.add_(setting[0]).clamp_(0, 1))


def saturate(images: Tensor, _: dict[str, Tensor], setting: Setting) -> Tensor:
    """HSV saturation a S + b, clipped; grey pixels, whose hue counts as red, turn reddish where b > 0."""
    factor, offset = setting
    hue, saturation, value = _to_hsv(images)
    return _from_hsv(images, hue, saturation.mul_(factor).add_(offset).clamp_(0, 1), value)


def contrast(images: Tensor, _: dict[str, Tensor], setting: Setting) -> Tensor:
    """(x - mean) c + mean, mean per image and channel, taken from an exact integer sum."""
    height, width = images.shape[1:3]
    total = images.sum(dim=(1, 2), keepdim=True, dtype=torch.int64).to(torch.float64)
    mean = (total / torch.full_like(total, height * width)).to(torch.float32)
    return (images - mean).mul_(setting[0]).add_(mean).clamp_(0, 255).to(torch.uint8)


def _to_hsv(images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Hue in sixths of the circle, saturation and value, (n, h, w) float64.

    In the order of operations of scikit-image: rounding decides the byte of what is nearly a whole level.
    """
    red, green, blue = (unit_interval(plane) for plane in images.unbind(-1))
    value = torch.maximum(torch.maximum(red, green), blue)
    spread = value - torch.minimum(torch.minimum(red, green), blue)
    grey = spread == 0
    span = spread.masked_fill(grey, 1)
    hue = torch.where(green == value, (blue - red).div_(span).add_(2), (green - blue).div_(span))
    hue = torch.where(blue == value, (red - green).div_(span).add_(4), hue)
    hue = (hue / divisor(6, hue)).masked_fill_(grey, 0)
    hue = torch.where(hue < 0, hue + 1, hue).mul_(6)
    return hue, spread / torch.where(value > 0, value, 1), value


def _from_hsv(images: Tensor, hue: Tensor, saturation: Tensor, value: Tensor) -> Tensor:
    """Images (n, h, w, 3) uint8 of these colours, see `_to_hsv`."""
    sector = hue.floor()
    share = hue.sub_(sector)
    sector = sector.to(torch.int32)
    share = torch.where((sector & 1).to(torch.bool), share, 1 - share)
    middle = (1 - share.mul_(saturation)).mul_(value)
    least = (1 - saturation).mul_(value)
    first, second, third = (level.mul(255).to(torch.int32) for level in (value, middle, least))
    word = first | second << 8 | third << 16
    found = torch.empty_like(images)
    for channel in range(3):
        places = torch.tensor(
            [8 * sixth[channel] for sixth in _SECTORS], dtype=torch.int32, device=word.device
        )
        shift = places.index_select(0, sector.reshape(-1)).reshape(word.shape)
        found[..., channel] = (word >> shift).bitwise_and_(255)
    return found
