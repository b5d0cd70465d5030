"""Brightness and saturation, by way of HSV, and contrast."""

from __future__ import annotations

import torch
from torch import Tensor

from .filters import chosen, divisor, merged, planes, truncated, unit_interval
from .members import Setting

# Which of (value, middle, least) red, green and blue are in each sixth of the hue circle, times 8 bits, in 5 bits each.
_SECTORS = ((0, 1, 2, 2, 1, 0), (1, 0, 0, 1, 2, 2), (2, 2, 1, 0, 0, 1))
_PLACES = [sum(8 * part << 5 * sixth for sixth, part in enumerate(parts)) for parts in _SECTORS]
_TINY = 1e-9  # in place of a divisor of zero, below all others; what it divides is zero as well


def brightness(images: Tensor, _: dict[str, Tensor], setting: Setting) -> Tensor:
    """HSV value + c, clipped. Equal to the reference to the byte."""
    hue, saturation, value = _to_hsv(images)
    return _from_hsv(hue, saturation, value.add_(setting[0]).clamp_(0, 1))


def saturate(images: Tensor, _: dict[str, Tensor], setting: Setting) -> Tensor:
    """HSV saturation a S + b, clipped; grey pixels, whose hue counts as red, turn reddish where b > 0."""
    factor, offset = setting
    hue, saturation, value = _to_hsv(images)
    return _from_hsv(hue, saturation.mul_(factor).add_(offset).clamp_(0, 1), value)


def contrast(images: Tensor, _: dict[str, Tensor], setting: Setting) -> Tensor:
    """(x - mean) c + mean, mean per image and channel, taken from an exact integer sum."""
    n, height, width, channels = images.shape
    rows = images.reshape(n, height, width * channels)
    total = rows.sum(1, dtype=torch.int32).reshape(n, width, channels).sum(1).to(torch.float64)
    mean = (total / torch.full_like(total, height * width)).to(torch.float32).repeat(1, width)[:, None]
    return truncated((rows - mean).mul_(setting[0]).add_(mean).clamp_(0, 255)).reshape(images.shape)


def _to_hsv(images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Hue in sixths of the circle, saturation and value, (n, h, w) float64.

    In the order of operations of scikit-image: rounding decides the byte of what is nearly a whole level. What a
    comparison decides is chosen as bytes: blue before green before red where two are the largest; grey counts as red.
    """
    red, green, blue = planes(images)
    largest = torch.maximum(torch.maximum(red, green), blue)
    least = torch.minimum(torch.minimum(red, green), blue)
    coloured = _mask(largest != least)
    is_blue = _mask(blue == largest).bitwise_and_(coloured)
    is_green = _mask(green == largest).bitwise_and_(coloured).bitwise_and_(is_blue.bitwise_not())
    plus = chosen(red, chosen(blue, green, is_green), is_blue)
    minus = chosen(green, chosen(red, blue, is_green), is_blue)
    value = unit_interval(largest)
    spread = value - unit_interval(least)
    first = (is_green & 2).add_(is_blue & 4)  # the sixth where a largest channel's hues are centred
    hue = unit_interval(plus).sub_(unit_interval(minus)).div_(spread.clamp_min(_TINY)).add_(first)
    hue = hue / divisor(6, hue)
    hue.sub_(hue.floor()).mul_(6)
    return hue, spread.div_(value.clamp_min(_TINY)), value


def _mask(condition: Tensor) -> Tensor:
    """255 where true, uint8."""
    return condition.view(torch.uint8).neg()


def _from_hsv(hue: Tensor, saturation: Tensor, value: Tensor) -> Tensor:
    """Images (n, h, w, 3) uint8 of these colours, see `_to_hsv`."""
    sector = hue.floor()
    share = hue.sub_(sector)
    sixth = sector.to(torch.int32)
    # The share in odd sixths, what is left of it in even ones.
    share = share.neg_().add_((sixth + 1).bitwise_and_(1)).abs_()
    middle = (1 - share.mul_(saturation)).mul_(value)
    least = (1 - saturation).mul_(value)
    first, second, third = (level.mul(255).to(torch.int32) for level in (value, middle, least))
    word = first | second << 8 | third << 16
    place = sixth * 5
    places = torch.tensor(_PLACES, dtype=torch.int32, device=word.device).reshape(3, 1, 1, 1)
    return merged((word >> (places >> place).bitwise_and_(31)).to(torch.uint8).unbind())
