"""Noises: an independent draw for every pixel and channel.

The additive ones draw standard normals. Shot noise draws one 32-bit word a value and turns it into a Poisson
count by the alias method, in integers, so that every device gives the same bytes.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .filters import below, chosen, truncated
from .members import Setting
from .sampling import Draws, Generators, drawn, fill_normal, fill_words

_THRESHOLD_BITS = 24
_LOW = (1 << _THRESHOLD_BITS) - 1


def sample_normal(generators: Generators, n: int, height: int, width: int, _: Setting) -> Draws:
    """Standard normals, (n, h, w, 3) float32."""
    return {"normal": drawn(generators, n, height, width, 3, fill=fill_normal, dtype=np.float32)}


def sample_uniform(generators: Generators, n: int, height: int, width: int, _: Setting) -> Draws:
    """Uniform in [0, 1), (n, h, w, 3) float32."""
    return {"uniform": drawn(generators, n, height, width, 3, dtype=np.float32)}


def sample_words(generators: Generators, n: int, height: int, width: int, _: Setting) -> Draws:
    """Random 32-bit words, (n, h, w, 3) int32."""
    count = height * width * 3
    words = drawn(generators, n, (count + 1) // 2, fill=fill_words, dtype="<u8").view("<i4")
    return {"words": words[:, :count].reshape(n, height, width, 3)}


def gaussian_noise(images: Tensor, draws: dict[str, Tensor], setting: Setting) -> Tensor:
    """x + N(0, sigma), the same as the reference to rounding."""
    (sigma,) = setting
    return truncated((draws["normal"] * (255 * sigma)).add_(images).clamp_(0, 255))


def speckle_noise(images: Tensor, draws: dict[str, Tensor], setting: Setting) -> Tensor:
    """x + x N(0, sigma)."""
    (sigma,) = setting
    return truncated((draws["normal"] * sigma).add_(1).mul_(images).clamp_(0, 255))


def impulse_noise(images: Tensor, draws: dict[str, Tensor], setting: Setting) -> Tensor:
    """Each value becomes 0 or 255, half each, with probability `amount`, channels independent."""
    (amount,) = setting
    hit, black = (below(draws["uniform"], share) for share in (amount, amount / 2))
    return (images | hit).bitwise_and_(black.bitwise_not_())


salt_and_pepper = impulse_noise  # under the name and with the amounts of SDNet's protocol


def shot_noise(images: Tensor, draws: dict[str, Tensor], setting: Setting) -> Tensor:
    """Poisson(x c) / c, where c is the number of photons of a white pixel."""
    (photons,) = setting
    words = draws["words"]
    column = (words >> _THRESHOLD_BITS).bitwise_and_(255)
    index = images.to(torch.int32).bitwise_left_shift_(8).add_(column)
    entry = torch.from_numpy(_shot_table(photons)).to(images.device).index_select(0, index.reshape(-1))
    entry = entry.reshape(images.shape)
    threshold = (entry >> 8).bitwise_and_(_LOW)
    keep = (words & _LOW).sub_(threshold).bitwise_right_shift_(31)  # -1 where it lies below, else 0
    return chosen(*(part.to(torch.uint8) for part in (column, entry, keep)))


@lru_cache(maxsize=32)
def _shot_table(photons: float) -> NDArray[np.int32]:
    """An alias table (Walker 1977) of the byte that a Poisson count ends in, for each of the 256 clean bytes.

    Returns:
        (256 * 256,): keep the column where the 24 low bits of a word are below the 24 upper ones here, else take the
        byte here.
    """
    threshold, other = np.empty((2, 256, 256), np.int64)
    for clean in range(256):
        threshold[clean], other[clean] = _alias(_shot_probabilities(clean, photons))
    # Columns that are always kept stand for themselves: 24 bits hold no threshold of 2^24.
    other = np.where(threshold > _LOW, np.arange(256), other)
    return (np.minimum(threshold, _LOW) << 8 | other).astype(np.uint32).view(np.int32).reshape(-1)


def _shot_probabilities(clean: int, photons: float) -> NDArray[np.float64]:
    """(256,) the probability of each byte: Poisson counts, scaled, clipped and truncated."""
    rate = photons * clean / 255
    if rate == 0:
        return np.asarray(np.eye(1, 256)[0])
    counts = np.arange(math.ceil(rate + 12 * math.sqrt(rate) + 20))
    log_factorial = np.concatenate([[0.0], np.log(counts[1:]).cumsum()])
    mass = np.exp(counts * math.log(rate) - rate - log_factorial)
    found = (np.clip(counts / photons, 0, 1) * 255).astype(np.uint8)
    weights = np.bincount(found, weights=mass, minlength=256)
    return np.asarray(weights / weights.sum())


def _alias(probabilities: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Vose's tables of a distribution over 256 values: thresholds of 24 bits, and the values beyond them."""
    scaled = (probabilities * 256).tolist()
    threshold, other = np.full(256, 1 << _THRESHOLD_BITS), np.arange(256)
    small = [index for index, value in enumerate(scaled) if value < 1]
    large = [index for index, value in enumerate(scaled) if value >= 1]
    while small and large:
        low, high = small.pop(), large[-1]
        threshold[low] = round(scaled[low] * (1 << _THRESHOLD_BITS))
        other[low] = high
        scaled[high] -= 1 - scaled[low]
        if scaled[high] < 1:
            small.append(large.pop())
    return threshold, other
