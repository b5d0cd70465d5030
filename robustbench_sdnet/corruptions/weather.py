"""Fog and frost."""

from __future__ import annotations

import math
from functools import lru_cache
from importlib import metadata

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import DataError
from .filters import border_index, merged, planes, to_bytes, truncated, unit_interval
from .members import Setting
from .sampling import Draws, Generators, drawn

_PHOTOGRAPHS = ("frost1.png", "frost2.png", "frost3.png", "frost4.jpg", "frost5.jpg")


def sample_fog(generators: Generators, n: int, height: int, width: int, _: Setting) -> Draws:
    """Uniform in [0, 1): (n, size^2 - 1), in the order in which `_plasma` fills its map."""
    return {"uniform": drawn(generators, n, _map_size(height, width) ** 2 - 1)}


def fog(images: Tensor, draws: dict[str, Tensor], setting: Setting) -> Tensor:
    """Add a grey plasma cloud and scale back to the image's own maximum."""
    amount, decay = setting
    height, width = images.shape[1:3]
    cloud = _plasma(draws["uniform"], _map_size(height, width), decay)[:, :height, :width] * amount
    largest = unit_interval(images.amax((1, 2, 3)))[:, None, None]
    clean = (unit_interval(plane) for plane in planes(images))
    return merged([to_bytes(plane.add_(cloud).mul_(largest).div_(largest + amount)) for plane in clean])


def _map_size(height: int, width: int) -> int:
    """The power of two that holds the image."""
    return 1 << (max(height, width) - 1).bit_length()


def _plasma(uniform: Tensor, size: int, decay: float) -> Tensor:
    """Periodic diamond-square height maps (n, size, size), scaled to [0, 1]; the size is a power of two.

    Each new point is the mean of its four neighbours plus w U(-w, w); w falls by `decay` from step to step.
    """
    heights = torch.zeros((len(uniform), size, size), dtype=torch.float64, device=uniform.device)
    step, wibble, used = size, 100.0, 0

    def mean(total: Tensor) -> Tensor:
        nonlocal used
        draw = uniform[:, used : used + total[0].numel()].reshape(total.shape)
        used += total[0].numel()
        return total * 0.25 + (draw * (2 * wibble) - wibble) * wibble

    while step >= 2:
        half = step // 2
        corners = heights[:, ::step, ::step]
        pairs = corners + corners.roll(-1, 1)
        centres = mean(pairs + pairs.roll(-1, 2))
        heights[:, half::step, half::step] = centres
        heights[:, ::step, half::step] = mean(centres + centres.roll(1, 1) + (corners + corners.roll(-1, 2)))
        heights[:, half::step, ::step] = mean(centres + centres.roll(1, 2) + (corners + corners.roll(-1, 1)))
        step, wibble = half, wibble / decay
    heights -= heights.amin((1, 2), keepdim=True)
    return heights / heights.amax((1, 2), keepdim=True)


def sample_frost(generators: Generators, n: int, height: int, width: int, setting: Setting) -> Draws:
    """Photograph (0 to 4), first row and first column of the crop: (n, 3) int64."""
    uniform = drawn(generators, n, 3)
    textures = frost_textures(height, width, setting[2])
    room = np.array([(len(texture) - height, texture.shape[1] - width) for texture in textures])
    photograph = (uniform[:, 0] * len(room)).astype(np.int64)
    corner = (uniform[:, 1:] * room[photograph]).astype(np.int64)
    return {"crop": np.concatenate([photograph[:, None], corner], 1)}


def frost(images: Tensor, draws: dict[str, Tensor], setting: Setting) -> Tensor:
    """a x + b (a random crop of one of five photographs of frost). Equal to the reference to the byte.

    For images that are larger than a photograph it is continued by its mirror image.

    Raises:
        DataError: the distribution `imagecorruptions`, whose photographs these are, is not installed.
    """
    share, frost_share, scale = setting
    height, width = images.shape[1:3]
    layer = torch.empty_like(images)
    photograph, row, column = draws["crop"].unbind(1)
    textures = frost_textures(height, width, scale)
    for index in set(photograph.tolist()):
        chosen = (photograph == index).nonzero()[:, 0]
        ice = torch.from_numpy(textures[index]).to(images.device)
        stride, rows, columns = ice.stride(), ice.shape[0] - height + 1, ice.shape[1] - width + 1
        windows = ice.as_strided((rows, columns, height, width * 3), (stride[0], stride[1], stride[0], 1))
        layer[chosen] = windows[row[chosen], column[chosen]].reshape(-1, height, width, 3)
    mixed = images.to(torch.float64).mul_(share).add_(layer.to(torch.float64).mul_(frost_share))
    return truncated(mixed.clamp_(0, 255))


@lru_cache(maxsize=8)
def frost_textures(height: int, width: int, scale: float) -> tuple[NDArray[np.uint8], ...]:
    """The five photographs at a scale, larger than an image of this size: (rows, columns, 3) uint8 RGB each."""
    return tuple(
        _continued(_continued(photograph, 0, height), 1, width) for photograph in _photographs(scale)
    )


def _continued(texture: NDArray[np.uint8], axis: int, size: int) -> NDArray[np.uint8]:
    rows = texture.shape[axis]
    extra = 0 if rows > size else rows * math.ceil((size + 1 - rows) / rows)
    return np.ascontiguousarray(texture.take(border_index(rows, 0, extra, "reflect"), axis))


@lru_cache(maxsize=3)
def _photographs(scale: float) -> tuple[NDArray[np.uint8], ...]:
    """The photographs in the installed distribution, which is not imported; a fifth is every fifth pixel."""
    import cv2

    try:
        distribution = metadata.distribution("imagecorruptions")
    except metadata.PackageNotFoundError:
        raise DataError(
            "frost needs the photographs of the package imagecorruptions, which is not installed."
            " Install it with: python -m pip install imagecorruptions"
        ) from None
    found = []
    for name in _PHOTOGRAPHS:
        path = distribution.locate_file(f"imagecorruptions/frost/{name}")
        photograph = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if photograph is None:
            raise DataError(
                f"frost cannot read {name} of imagecorruptions."
                " Repair it with: python -m pip install --force-reinstall --no-deps imagecorruptions"
            )
        if scale == 0.2:
            photograph = photograph[2::5, 2::5]
        elif scale != 1:
            photograph = cv2.resize(photograph, (0, 0), fx=scale, fy=scale)
        found.append(np.asarray(photograph, np.uint8)[..., ::-1].copy())
    return tuple(found)
