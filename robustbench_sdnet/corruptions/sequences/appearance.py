"""Noises, blurs, light and weather: what changes how an image looks and leaves it where it is."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from .. import colour, noise
from ..filters import gaussian, to_bytes, unit_interval
from ..members import Setting
from ..motion import blur_along
from ..precipitation import sample_spatter, snow_layer, snowed, watered
from ..sampling import Apply, Draw, Frames, Sample
from .geometry import zoomed


def _drawn(apply: Apply, sample: Sample) -> Frames:
    """The clean image, then thirty independent draws of a noise."""

    def frames(images: Tensor, draw: Draw, setting: Setting) -> Iterator[Tensor]:
        yield images
        for frame in range(1, 31):
            yield apply(images, draw(sample, frame), setting)

    return frames


gaussian_noise = _drawn(noise.gaussian_noise, noise.sample_normal)
shot_noise = _drawn(noise.shot_noise, noise.sample_words)
speckle_noise = _drawn(noise.speckle_noise, noise.sample_normal)


def motion_blur(images: Tensor, _: Draw, __: Setting) -> Iterator[Tensor]:
    """Radius 6 and width 1.8, the direction turning by 9 degrees a frame, from -180 to 0."""
    for frame in range(21):
        angle = torch.full((len(images),), 9.0 * (frame - 20), dtype=torch.float64, device="cpu")
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
        angle = torch.full((len(images),), 4.0 * frame - 150, dtype=torch.float64, device="cpu")
        yield snowed(images, layer, angle, 10, 2, 0.85)
