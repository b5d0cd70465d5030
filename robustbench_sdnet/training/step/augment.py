"""Random crops, flips and holes, in batches on the device that holds the images."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from ..recipes.options import TrainOptions


class Placement(NamedTuple):
    """Where images are cut: `positions` (n,) of the images, shifts `down` and `right` (n,) in pixels, `mirrored` (n,)
    bool, and the centres of their holes as fractions of height and width, `hole` (n, 2).
    """

    positions: Tensor
    down: Tensor
    right: Tensor
    mirrored: Tensor
    hole: Tensor


def draw_placements(options: TrainOptions, positions: Tensor, generator: torch.Generator) -> Placement:
    """Placements of the images; every draw is made whatever the options, so that options do not shift each other."""
    pad, size = options.crop, (len(positions),)
    down, right = (torch.randint(-pad, pad + 1, size, generator=generator, device="cpu") for _ in range(2))
    mirrored = torch.rand(size, generator=generator, dtype=torch.float32, device="cpu") < 0.5
    hole = torch.rand((*size, 2), generator=generator, dtype=torch.float32, device="cpu")
    return Placement(positions, down, right, mirrored & options.flip, hole)


def place(images: Tensor, placement: Placement, cutout: int = 0) -> Tensor:
    """Crop with zero padding, flip and cut holes: one gather.

    Of `images` (n, 3, h, w) uint8, on any device, those that `placement` names come back, (m, 3, h, w) uint8; a hole
    of side `cutout` is mid-grey, so that it is close to zero after normalisation.
    """
    height, width = images.shape[2:]
    rows = torch.arange(height, device=images.device) + placement.down[:, None]
    columns = torch.arange(width, device=images.device).expand(len(placement.positions), -1)
    columns = torch.where(placement.mirrored[:, None], width - 1 - columns, columns)
    columns = columns + placement.right[:, None]
    inside = _inside(rows, height)[:, :, None] & _inside(columns, width)[:, None, :]
    rows, columns = rows.clamp(0, height - 1), columns.clamp(0, width - 1)
    channels = torch.arange(images.shape[1], device=images.device)[None, :, None, None]
    picked = images[
        placement.positions[:, None, None, None], channels, rows[:, None, :, None], columns[:, None, None, :]
    ]
    picked = picked * inside[:, None]
    if cutout:
        picked = torch.where(_holes(placement.hole, cutout, height, width)[:, None], 128, picked)
    return picked


def reduced(images: Tensor, side: int) -> Tensor:
    """(m, 3, h, w) uint8 with a longer side of at most `side` pixels: bilinear, antialiased, rounded."""
    height, width = images.shape[2:]
    share = side / max(height, width)
    if share >= 1:
        return images
    size = [max(round(length * share), 1) for length in (height, width)]
    smaller = F.interpolate(images.float(), size, mode="bilinear", antialias=True)
    return smaller.round_().clamp_(0, 255).to(torch.uint8)


def _inside(index: Tensor, size: int) -> Tensor:
    return (index >= 0) & (index < size)


def _holes(centre: Tensor, cutout: int, height: int, width: int) -> Tensor:
    """(n, h, w): squares of side `cutout` around centres anywhere in the image (DeVries and Taylor 2017)."""
    half = cutout / 2
    rows, columns = (
        torch.arange(size, device=centre.device, dtype=centre.dtype) + 0.5 for size in (height, width)
    )
    down, right = rows - centre[:, :1] * height, columns - centre[:, 1:] * width
    return (down.abs() <= half)[:, :, None] & (right.abs() <= half)[:, None, :]
