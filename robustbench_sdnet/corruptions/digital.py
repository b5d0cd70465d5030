"""JPEG compression and pixelation."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from .members import Setting

_SMALL = 64  # pixels a side: there many images at once are faster than one after another


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
    """Shrink by averaging boxes and enlarge again: Pillow's BOX filter, which rounds after each axis, rows first."""
    small = max(images.shape[1:3]) <= _SMALL and all(
        2 * int(side * setting[0]) >= side for side in images.shape[1:3]
    )
    return (_by_gathers if small else _by_pillow)(images, setting[0])


def _by_pillow(images: Tensor, share: float) -> Tensor:
    """One by one, on the CPU whatever the device; in whole numbers, and so the same on every machine."""
    height, width = images.shape[1:3]
    small = int(width * share), int(height * share)
    found = np.empty(tuple(images.shape), np.uint8)
    columns, rows = (_box_of(size, kept) for size, kept in ((width, small[0]), (height, small[1])))
    plain = _is_nearest(width, small[0])
    for source, target in zip(images.cpu().numpy(), found, strict=True):
        # Along rows, then along columns: some versions of Pillow begin with the columns of tall images.
        narrow = Image.fromarray(source).resize((small[0], height), Image.Resampling.BOX)
        shrunk = narrow.resize(small, Image.Resampling.BOX)
        # Enlarging repeats whole pixels.
        if plain:
            wide = np.asarray(shrunk.resize((width, small[1]), Image.Resampling.NEAREST))
        else:
            wide = np.asarray(shrunk).take(columns, 1)
        wide.take(rows, 0, out=target, mode="clip")
    return torch.from_numpy(found).to(images.device)


def _by_gathers(images: Tensor, share: float) -> Tensor:
    """The same where a box holds one or two pixels: an axis is one rounded mean of two gathers, since enlarging repeats
    whole pixels."""
    result = images.to(torch.int16)
    for axis in (2, 1):
        size = images.shape[axis]
        first, last = (torch.from_numpy(index).to(images.device) for index in _boxes(size, int(size * share)))
        result = result.index_select(axis, first).add_(result.index_select(axis, last)).add_(1) >> 1
    return result.to(torch.uint8)


@lru_cache(maxsize=256)
def _boxes(size: int, small: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First and last source pixel of the box that each pixel ends up in, (size,) each.

    Pillow says which those are: where a pixel's centre lies on the edge of a box, its rounding decides.
    """
    ones = Image.fromarray(np.eye(size, dtype=np.float32))
    weighs = np.asarray(ones.resize((small, size), Image.Resampling.BOX)) > 0
    first, last = weighs.argmax(0), size - 1 - weighs[::-1].argmax(0)
    box = _box_of(size, small)
    return first[box], last[box]


@lru_cache(maxsize=256)
def _is_nearest(size: int, small: int) -> bool:
    """Whether Pillow's nearest pixel is that of the box filter, which rounds otherwise between two."""
    numbers = Image.fromarray(np.arange(small, dtype=np.int32)[None])
    nearest = np.asarray(numbers.resize((size, 1), Image.Resampling.NEAREST))[0]
    return bool((nearest == _box_of(size, small)).all())


@lru_cache(maxsize=256)
def _box_of(size: int, small: int) -> NDArray[np.int64]:
    """(size,) the box that each pixel ends up in."""
    return ((np.arange(size) + 0.5) * (small / size)).astype(np.int64)
