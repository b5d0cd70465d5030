"""What corruptions draw their random numbers with: one generator a sample, in the order of the samples."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from statistics import NormalDist
from typing import Any

import numpy as np
import torch
from numpy.typing import DTypeLike, NDArray
from torch import Tensor

from .members import LARGE, Setting

Generators = Iterator[np.random.Generator]
Draws = dict[str, NDArray[Any]]
Sample = Callable[[Generators, int, int, int, Setting], Draws]
"""The draws of n images of a height and width under a setting."""
Apply = Callable[[Tensor, dict[str, Tensor], Setting], Tensor]
Draw = Callable[[Sample, int], dict[str, Tensor]]
"""The draws of a frame, by what draws them."""
Frames = Callable[[Tensor, Draw, Setting], Iterator[Tensor]]
_CELLS = 1 << 16


def fill_uniform(generator: np.random.Generator, out: NDArray[Any]) -> None:
    """Fill an image's draws with numbers that are uniform in [0, 1)."""
    generator.random(out=out, dtype=out.dtype)


def fill_words(generator: np.random.Generator, out: NDArray[Any]) -> None:
    """Fill an image's draws (count,) with random words of 64 bits: "<u8", little-endian on every machine."""
    out[:] = generator.bit_generator.random_raw(len(out))


def fill_normal(generator: np.random.Generator, out: NDArray[Any]) -> None:
    """Fill an image's draws (h, w, ...) with standard normals: NumPy's up to `LARGE` pixels, a table's beyond."""
    if out.shape[0] * out.shape[1] > LARGE:
        out[:] = normals(generator, out.size).reshape(out.shape)
    else:
        generator.standard_normal(out=out, dtype=out.dtype)


def drawn(
    generators: Generators,
    n: int,
    *shape: int,
    fill: Callable[[np.random.Generator, NDArray[Any]], None] = fill_uniform,
    dtype: DTypeLike = np.float64,
) -> NDArray[Any]:
    """(n, *shape), each image's draws filled by its own generator."""
    found = np.empty((n, *shape), dtype)
    for row, generator in zip(found, generators, strict=True):
        fill(generator, row)
    return found


def normals(generator: np.random.Generator, count: int) -> NDArray[np.float32]:
    """(count,) standard normals, one from each 32 bits: the same on every machine, at a third of the cost of NumPy's.

    Sixteen bits of a word say which of 65,536 equally likely intervals a value lies in, sixteen where in it. In the two
    that reach to infinity the latter are the quantile's next bits, down to 2^-33.
    """
    words = generator.bit_generator.random_raw((count + 1) // 2).astype("<u8", copy=False)
    bits = torch.from_numpy(words.view("<i4")[:count])
    lower, widths = _quantiles()
    cell = (bits >> 16).bitwise_and_(_CELLS - 1)
    share = (bits & (_CELLS - 1)).to(torch.float32).add_(0.5).mul_(1 / _CELLS)
    found = share.mul_(widths.index_select(0, cell)).add_(lower.index_select(0, cell)).numpy()
    low, high = words.view("<u2")[: 2 * count].reshape(count, 2).T
    for end in np.flatnonzero(high + np.uint16(1) < 2):
        upper, place = bool(high[end]), int(low[end])
        tail = NormalDist().inv_cdf(((_CELLS - 1 - place if upper else place) + 0.5) / _CELLS**2)
        found[end] = -tail if upper else tail
    return found


@lru_cache(maxsize=1)
def _quantiles() -> tuple[Tensor, Tensor]:
    """Where each interval begins, and its width, (65536,) float32 each.

    Multiples of 2^-20, so that they do not turn on the last bit of a machine's logarithm.
    """
    half = [NormalDist().inv_cdf(cell / _CELLS) for cell in range(1, _CELLS // 2)]
    edges = np.array([half[0], *half, 0.0, *(-edge for edge in reversed(half)), -half[0]])
    edges = np.round(edges * 2.0**20) * 2.0**-20
    lower, widths = edges[:-1].astype(np.float32), np.diff(edges).astype(np.float32)
    return torch.from_numpy(lower), torch.from_numpy(widths)
