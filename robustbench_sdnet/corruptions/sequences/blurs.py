"""Blurs that turn, or grow."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from ..filters import gaussian, to_bytes, unit_interval
from ..members import Setting
from ..motion import blur_along
from .geometry import zoomed
from .pipeline import Draw


def motion_blur(images: Tensor, _: Draw, __: Setting) -> Iterator[Tensor]:
    """Radius 6 and width 1.8, the direction turning by 9 degrees a frame, from -180 to 0."""
    for frame in range(21):
        angle = torch.full((len(images),), 9.0 * (frame - 20), dtype=torch.float64)
        yield blur_along(images, angle, 6, 1.8)


def zoom_blur(images: Tensor, _: Draw, __: Setting) -> Iterator[Tensor]:
    """The mean of the image and its zooms by 1.004, 1.008, ... up to the frame's own."""
    total = images.to(torch.int32)
    yield images
    for frame in range(1, 31):
        total = total + zoomed(images, 1 + 0.004 * frame)
        yield (total // (frame + 1)).to(torch.uint8)


def gaussian_blur(images: Tensor, _: Draw, __: Setting) -> Iterator[Tensor]:
    """Width 0.3 + 0.015 i, the kernel cut at seven widths."""
    clean = unit_interval(images)
    for frame in range(31):
        yield to_bytes(gaussian(clean, 0.3 + 0.015 * frame, truncate=7))
