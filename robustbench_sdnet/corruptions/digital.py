"""JPEG compression and pixelation."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .member import Setting


def jpeg_compression(images: Tensor, _: dict[str, Tensor], setting: Setting) -> Tensor:
    """Save as JPEG at a quality and read back.

    On the CPU whatever the device: the bytes are libjpeg-turbo's, as Pillow, OpenCV and torchvision ship it.
    OpenCV has by far the least overhead for small images.
    """
    import cv2

    quality = [cv2.IMWRITE_JPEG_QUALITY, int(setting[0])]
    clean = images.cpu().numpy()
    compressed = np.empty_like(clean)
    for source, target in zip(clean, compressed, strict=True):
        encoded = cv2.imencode(".jpg", cv2.cvtColor(source, cv2.COLOR_RGB2BGR), quality)[1]
        target[:] = cv2.cvtColor(np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR)), cv2.COLOR_BGR2RGB)
    return torch.from_numpy(compressed).to(images.device)


def pixelate(images: Tensor, _: dict[str, Tensor], setting: Setting) -> Tensor:
    """Shrink by averaging boxes and enlarge again: Pillow's BOX filter, in its integers, which round after each axis.

    Enlarging repeats whole pixels, so that an axis is a rounded mean of a few gathers.
    """
    result = images.to(torch.int32)
    for axis in (2, 1):  # Pillow goes along rows first
        size = images.shape[axis]
        members, weights, box = (
            torch.from_numpy(index).to(images.device) for index in _boxes(size, int(size * setting[0]))
        )
        shape = [-1 if along == axis else 1 for along in range(4)]
        total = torch.zeros_like(result.narrow(axis, 0, members.shape[1]), dtype=torch.int32)
        for member, weight in zip(members, weights, strict=True):
            total += result.index_select(axis, member) * weight.reshape(shape)
        result = ((total + _HALF) >> _BITS).index_select(axis, box)
    return result.to(torch.uint8)


_BITS = 22  # of Pillow's fixed point
_HALF = 1 << (_BITS - 1)


@lru_cache(maxsize=256)
def _boxes(size: int, small: int) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int64]]:
    """The source pixels of each box and their weights, (most, small) each, and the box of each pixel, (size,)."""
    scale = size / small
    centre = (np.arange(small) + 0.5) * scale
    first = np.maximum((centre - scale / 2 + 0.5).astype(np.int64), 0)
    stop = np.minimum((centre + scale / 2 + 0.5).astype(np.int64), size)
    members = first + np.arange((stop - first).max())[:, None]
    place = (members - centre + 0.5) / scale
    inside = (members < stop) & (place > -0.5) & (place <= 0.5)
    weights = np.where(inside, (0.5 + (1 << _BITS) / inside.sum(0)).astype(np.int32), 0)
    box = ((np.arange(size) + 0.5) * (small / size)).astype(np.int64)
    return np.minimum(members, size - 1), weights.astype(np.int32), box
