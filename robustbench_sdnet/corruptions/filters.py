"""Borders, Gaussians and linear interpolation, in operations that give the same bits on every machine.

Sums are written out term by term (in SciPy's order, which makes Gaussians equal to the bit), because a matrix
product or a convolution may add in another order for another batch size.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .members import LARGE

# Taps of a kernel on one side that are added one by one, in small images and in large ones.
_LONGEST, _LONGEST_LARGE = 64, 40


def divisor(value: float, like: Tensor) -> Tensor:
    """A number to divide by, on the device and of the type: GPUs multiply by the reciprocal of a plain number."""
    return torch.full((1,), value, dtype=like.dtype, device=like.device)


def unit_interval(images: Tensor, dtype: torch.dtype = torch.float64) -> Tensor:
    """uint8 to floats in [0, 1], by a true division."""
    exact = images.to(dtype)
    return exact / divisor(255, exact)


def to_bytes(images: Tensor) -> Tensor:
    """Floats in [0, 1] to uint8: clipped, scaled and truncated, as by the reference. Changes its argument."""
    return truncated(images.clamp_(0, 1).mul_(255))


def truncated(images: Tensor) -> Tensor:
    """Floats in 0..255 to uint8 without their fraction, by int16: a quarter of the time of the direct conversion."""
    return images.to(torch.int16).to(torch.uint8)


def below(values: Tensor, bound: float) -> Tensor:
    """255 where values are less than a bound as float32, else 0, uint8: signs cost less than comparing."""
    return ((values.to(torch.float32) - bound).view(torch.int32) >> 31).to(torch.uint8)


def at_least(values: Tensor, bound: float) -> Tensor:
    """Float64 values, those below a bound as 0."""
    return torch.nn.functional.threshold(values, math.nextafter(bound, -math.inf), 0)


def chosen(first: Tensor, second: Tensor, mask: Tensor) -> Tensor:
    """Integers: the first where the mask is -1, the second where it is 0. `torch.where` costs ten times as much."""
    return (first ^ second).bitwise_and_(mask).bitwise_xor_(second)


def planes(images: Tensor) -> Sequence[Tensor]:
    """The three channels of (n, h, w, 3) uint8, (n, h, w) each, whole in memory."""
    n, height, width = images.shape[:3]
    if images.device.type != "cpu" or not n:
        return images.permute(3, 0, 1, 2).contiguous().unbind()
    import cv2

    split = cv2.split(images.reshape(n * height, width, 3).numpy())
    return [torch.from_numpy(plane).reshape(n, height, width) for plane in split]


def merged(channels: Sequence[Tensor]) -> Tensor:
    """The inverse of `planes`."""
    if channels[0].device.type != "cpu" or not len(channels[0]):
        return torch.stack(list(channels), -1)
    import cv2

    n, height, width = channels[0].shape
    whole = cv2.merge([plane.reshape(n * height, width).numpy() for plane in channels])
    return torch.from_numpy(whole).reshape(n, height, width, 3)


def to_words(images: Tensor) -> Tensor:
    """(n, h, w, 3) uint8 to (n, h, w) int32: a pixel as one word is a third of the elements to move."""
    return torch.nn.functional.pad(images, (0, 1)).view(torch.int32)[..., 0]


def from_words(words: Tensor) -> Tensor:
    """The inverse of `to_words`."""
    return words.contiguous()[..., None].view(torch.uint8)[..., :3]


def border_index(size: int, before: int, after: int, mode: str) -> NDArray[np.int64]:
    """(before + size + after,) the row that each padded row copies.

    The mode is "nearest" (a a | a b c | c c), "reflect" (b a | a b c | c b) or "mirror" (c b | a b c | b a).
    """
    row = np.arange(-before, size + after)
    if mode == "nearest":
        return row.clip(0, size - 1)
    if mode == "reflect":
        row = row % (2 * size)
        return np.minimum(row, 2 * size - 1 - row)
    row = row % (2 * size - 2)
    return np.minimum(row, 2 * size - 2 - row)


def pad(images: Tensor, axis: int, before: int, after: int, mode: str) -> Tensor:
    """Add rows at both ends of an axis, see `border_index`."""
    if not before and not after:
        return images
    size = images.shape[axis]
    index = torch.from_numpy(border_index(size, before, after, mode)).to(images.device)
    ends = index[:before], index[before + size :]
    head, tail = (images.index_select(axis, end) for end in ends)
    return torch.cat([head, images, tail], axis)


def gaussian(images: Tensor, sigma: float, mode: str = "nearest", truncate: float = 4.0) -> Tensor:
    """Smooth (n, h, w, ...) float64 along h and w as `scipy.ndimage.gaussian_filter` does: equal to the bit.

    `sigma` counts pixels, `truncate` is the kernel's radius in standard deviations; for `mode` see `border_index`.
    """
    taps = _gaussian_taps(sigma, truncate)
    for axis in (1, 2):
        images = _correlate(images, taps, axis, mode)
    return images


@lru_cache(maxsize=64)
def _gaussian_taps(sigma: float, truncate: float) -> tuple[float, ...]:
    """The centre of a normalised kernel, then its weights outwards."""
    radius = int(truncate * sigma + 0.5)
    if radius == 0:
        return (1.0,)
    offset = np.arange(-radius, radius + 1)
    kernel = np.exp(-0.5 / (sigma * sigma) * offset**2)
    return tuple((kernel / kernel.sum())[radius:].tolist())


def smooth_field(fields: Tensor, sigma: float) -> Tensor:
    """Smooth (n, h, w) float32 fields of uniform draws: reflected, truncated at three standard deviations, float64.

    A kernel of hundreds of taps is a matrix product instead. Draws are multiples of 2^-23 below 1 in size; with weights
    rounded to 2^-28, and the first result to 2^-24, every partial sum is a float64 number: no order of adding matters.
    """
    longest = _LONGEST if fields[0].numel() <= LARGE else _LONGEST_LARGE
    if int(3 * sigma + 0.5) <= longest:
        return gaussian(fields[..., None], sigma, "reflect", truncate=3)[..., 0]
    down, across = (_smoothing(size, sigma).to(fields.device) for size in fields.shape[1:])
    rows = (down @ fields.to(torch.float64)).mul_(2.0**24).round_().mul_(2.0**-24)
    return rows @ across.T


@lru_cache(maxsize=16)
def _smoothing(size: int, sigma: float) -> Tensor:
    """(size, size) the Gaussian along an axis with a reflected border, as a matrix of multiples of 2^-28."""
    taps = _gaussian_taps(sigma, 3)
    radius = len(taps) - 1
    matrix = np.zeros((size, size))
    index = border_index(size, radius, radius, "reflect")
    for offset in range(-radius, radius + 1):
        np.add.at(
            matrix, (np.arange(size), index[radius + offset : radius + offset + size]), taps[abs(offset)]
        )
    return torch.from_numpy(np.round(matrix * 2.0**28) * 2.0**-28)


def _correlate(images: Tensor, taps: tuple[float, ...], axis: int, mode: str) -> Tensor:
    """A symmetric kernel along an axis: the centre, then pairs from the outside in, as SciPy adds them."""
    radius, size = len(taps) - 1, images.shape[axis]
    padded = pad(images, axis, radius, radius, mode)
    result = padded.narrow(axis, radius, size) * taps[0]
    pair = torch.empty_like(result)
    for offset in range(radius, 0, -1):
        before, after = (padded.narrow(axis, radius + side * offset, size) for side in (-1, 1))
        torch.add(before, after, out=pair)
        result.add_(pair.mul_(taps[offset]))
    return result


def zoom_extent(size: int, factor: float) -> tuple[int, int]:
    """How many rows a centred zoom keeps, and how many they become: at least as many as there were."""
    cropped = math.ceil(size / factor)
    return cropped, round(cropped * factor)


def mix_rows(images: Tensor, size: int, extent: tuple[int, int]) -> Tensor:
    """Zoom axis 1 of (n, size, ...) floats about its centre to an extent of `zoom_extent`, and trim it to `size`."""
    upper, lower, rest, share = _mixing(size, *extent, images.dtype, images.device)
    shape = (-1, *[1] * (images.ndim - 2))
    near, far = images.index_select(1, upper), images.index_select(1, lower)
    return near.mul_(rest.reshape(shape)).add_(far.mul_(share.reshape(shape)))


@lru_cache(maxsize=256)
def _mixing(
    size: int, cropped: int, zoomed: int, dtype: torch.dtype, device: torch.device
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Where rows come from, cropped, zoomed linearly and trimmed as by the reference: both rows to mix, and the share
    of each, (size,) all."""
    first, trim = (size - cropped) // 2, (zoomed - size) // 2
    position = np.arange(trim, trim + size, dtype=np.float64) * ((cropped - 1) / (zoomed - 1))
    upper = np.minimum(position, cropped - 2).astype(np.int64)
    index = torch.from_numpy(upper + first).to(device)
    weight = torch.from_numpy(position - upper).to(device, dtype)
    return index, index + 1, 1 - weight, weight


def turned(images: Tensor) -> Tensor:
    """(n, h, w, ...) with rows and columns exchanged, in memory too: whole rows move faster than columns."""
    if len(images) != 1 or images.device.type != "cpu":
        return images.transpose(1, 2).contiguous()
    import cv2

    return torch.from_numpy(np.asarray(cv2.transpose(images[0].numpy())))[None]
