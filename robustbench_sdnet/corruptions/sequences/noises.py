"""The clean image, then thirty independent draws of a noise."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from .. import noise
from ..members import Setting
from ..pipeline import Apply, Sample
from .pipeline import Draw, Frames

DRAWS = 30


def _drawn(apply: Apply, sample: Sample) -> Frames:
    def frames(images: Tensor, draw: Draw, setting: Setting) -> Iterator[Tensor]:
        yield images
        for frame in range(1, DRAWS + 1):
            yield apply(images, draw(sample, frame), setting)

    return frames


gaussian_noise = _drawn(noise.gaussian_noise, noise.sample_normal)
shot_noise = _drawn(noise.shot_noise, noise.sample_words)
speckle_noise = _drawn(noise.speckle_noise, noise.sample_normal)
