"""Light, running water and turning snow."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from .. import colour
from ..filters import gaussian
from ..members import Setting
from ..precipitation import sample_spatter, snow_layer, snowed, watered
from .pipeline import Draw


def brightness(images: Tensor, _: Draw, __: Setting) -> Iterator[Tensor]:
    """HSV value + 0.015 (i - 15)."""
    for frame in range(31):
        yield colour.brightness(images, {}, ((frame - 15) * 1.5 / 100,))


def spatter(images: Tensor, draw: Draw, _: Setting) -> Iterator[Tensor]:
    """Drops of water that run down 0.8 pixels a frame, and thin out.

    A frame that no drop is left in shows the clean image; the published generator divides by zero there.
    """
    normal = draw(sample_spatter, 0)["normal"]
    liquid = gaussian((normal * 0.265 + 0.6)[..., None], 1.75)[..., 0]
    liquid = liquid.masked_fill(liquid < 0.7, 0)
    for _frame in range(31):
        yield watered(images, liquid, 0.6)
        above = torch.nn.functional.pad(liquid, (0, 0, 1, 0))[:, :-1]
        liquid = liquid * 0.2 + above * 0.8


def snow(images: Tensor, draw: Draw, _: Setting) -> Iterator[Tensor]:
    """One layer of snow, its streaks turning by 4 degrees a frame from -150 on."""
    layer = snow_layer(draw(sample_spatter, 0)["normal"], 0.05, 0.3, 2, 0.5)
    for frame in range(31):
        angle = torch.full((len(images),), 4.0 * frame - 150, dtype=torch.float64)
        yield snowed(images, layer, angle, 10, 2, 0.85)
