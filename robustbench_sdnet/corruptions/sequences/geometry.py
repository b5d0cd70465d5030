"""Shifts, turns, tilts, zooms and shears, black where there was no image.

Affine maps are Pillow's, bilinear and truncated, about the image's centre as torchvision has it today; the published
files come from a torchvision of 2018, which took a point half a pixel lower and further right for the centre, and whose
shear also shortened columns by its cosine. Tilts look up at thirty-seconds of a pixel and round, as OpenCV did before
version 5; its current one does not, and differs.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..members import Setting
from ..sampling import Draw

Places = NDArray[np.int64]
Floats = NDArray[np.float64]
Affine = tuple[float, float, float, float]  # a, b, c, d: x' = a x + b y, y' = c x + d y, about the centre
_PARTS = 32  # places between two pixels that a tilt can look at
_DIGITS = 12  # without the last bits, in which machines differ
_BELOW, _BESIDE = np.array([[0], [0], [1], [1]]), np.array([[0], [1], [0], [1]])  # the corners of a place


def translate(images: Tensor, _: Draw, __: Setting) -> Iterator[Tensor]:
    """i - 7 pixels to the right."""
    for frame in range(16):
        shift = frame - 7
        yield torch.nn.functional.pad(images, (0, 0, shift, -shift))


def rotate(images: Tensor, _: Draw, __: Setting) -> Iterator[Tensor]:
    """i - 15 degrees clockwise."""
    for frame in range(31):
        angle = math.radians(frame - 15)
        cosine, sine = round(math.cos(angle), _DIGITS), round(math.sin(angle), _DIGITS)
        yield affine(images, (cosine, sine, -sine, cosine))


def scale(images: Tensor, _: Draw, __: Setting) -> Iterator[Tensor]:
    """By (2 i + 70) / 100."""
    for frame in range(31):
        yield zoomed(images, (2 * frame + 70) / 100)


def shear(images: Tensor, _: Draw, __: Setting) -> Iterator[Tensor]:
    """Rows moved against each other, by i - 15 degrees."""
    for frame in range(31):
        slope = round(math.tan(math.radians(frame - 15)), _DIGITS)
        yield affine(images, (1.0, slope, 0.0, 1.0))


def tilt(images: Tensor, _: Draw, __: Setting) -> Iterator[Tensor]:
    """A card turned by 0.75 (i - 15) degrees about both axes, seen from as far as its diagonal is long."""
    height, width = images.shape[1:3]
    pixels = images.reshape(len(images), height * width, images.shape[3]).to(torch.int32)
    for frame in range(31):
        index, weight = (torch.from_numpy(array).to(images.device) for array in _tilted(frame, height, width))
        total = torch.zeros_like(pixels)
        for corner in range(4):
            total += pixels.index_select(1, index[corner]) * weight[corner, :, None]
        yield ((total + _PARTS**2 // 2) // _PARTS**2).to(torch.uint8).reshape(images.shape)


def zoomed(images: Tensor, factor: float) -> Tensor:
    """Larger or smaller about the centre."""
    return affine(images, (1 / factor, 0.0, 0.0, 1 / factor))


def affine(images: Tensor, matrix: Affine) -> Tensor:
    """Where each pixel of (n, h, w, c) uint8 comes from: as Pillow transforms, bilinear; black outside."""
    height, width = images.shape[1:3]
    index, shares, inside = _looked_up(matrix, height, width)
    corners = torch.from_numpy(index).to(images.device)
    right, down = torch.from_numpy(shares).to(images.device)[..., None]
    pixels = images.reshape(len(images), height * width, images.shape[3]).to(torch.float64)
    near, far, below, across = (pixels.index_select(1, corner) for corner in corners)
    upper = far.sub_(near).mul_(right).add_(near)
    lower = across.sub_(below).mul_(right).add_(below)
    found = lower.sub_(upper).mul_(down).add_(upper).to(torch.uint8)
    return found.mul_(torch.from_numpy(inside).to(images.device)[:, None]).reshape(images.shape)


@lru_cache(maxsize=128)
def _looked_up(matrix: Affine, height: int, width: int) -> tuple[Places, Floats, NDArray[np.uint8]]:
    """Pixels at the four corners of each place (4, h w), shares of the right and lower ones (2, h w), and whether the
    place is in the image (h w,). Edges are repeated by half a pixel, as Pillow does."""
    a, b, c, d = matrix
    rows, columns = np.mgrid[:height, :width].reshape(2, -1) + 0.5
    middle = width * 0.5, height * 0.5
    x = a * columns + b * rows + (middle[0] - a * middle[0] - b * middle[1])
    y = c * columns + d * rows + (middle[1] - c * middle[0] - d * middle[1])
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    x, y = x - 0.5, y - 0.5
    left, top = np.floor(x).astype(np.int64), np.floor(y).astype(np.int64)
    places = (top + _BELOW).clip(0, height - 1) * width + (left + _BESIDE).clip(0, width - 1)
    return places, np.stack([x - left, y - top]), inside.astype(np.uint8)


@lru_cache(maxsize=64)
def _tilted(frame: int, height: int, width: int) -> tuple[Places, NDArray[np.int32]]:
    """Pixels at the four corners of each place (4, h w), and their weights in 1/1024; outside they weigh nothing."""
    back = np.linalg.inv(_perspective(math.radians(0.75 * (frame - 15)), height, width))
    back = np.round(back / back[2, 2], _DIGITS)  # a map of any scale is the same map
    rows, columns = np.mgrid[:height, :width].reshape(2, -1)
    x, y, depth = (line[0] * columns + line[1] * rows + line[2] for line in back)
    right, down = (np.rint(_PARTS * part / depth).astype(np.int64) for part in (x, y))
    row, column = down // _PARTS + _BELOW, right // _PARTS + _BESIDE
    inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    weight = inside * np.where(_BELOW, down % _PARTS, _PARTS - down % _PARTS)
    weight *= np.where(_BESIDE, right % _PARTS, _PARTS - right % _PARTS)
    index = row.clip(0, height - 1) * width + column.clip(0, width - 1)
    return index, weight.astype(np.int32)


def _perspective(angle: float, height: int, width: int) -> Floats:
    """(3, 3) where a pixel goes when the image turns by an angle about both of its axes."""
    focal = math.sqrt(width**2 + height**2)
    cosine, sine = math.cos(angle), math.sin(angle)
    flat = np.array([[1, 0, -width / 2], [0, 1, -height / 2], [0, 0, 1], [0, 0, 1]])
    about_x = np.array([[1, 0, 0, 0], [0, cosine, -sine, 0], [0, sine, cosine, 0], [0, 0, 0, 1]])
    about_y = np.array([[cosine, 0, -sine, 0], [0, 1, 0, 0], [sine, 0, cosine, 0], [0, 0, 0, 1]])
    away = np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, focal], [0, 0, 0, 1]])
    seen = np.array([[focal, 0, width / 2, 0], [0, focal, height / 2, 0], [0, 0, 1, 0]])
    return np.asarray(seen @ away @ about_x @ about_y @ flat)
