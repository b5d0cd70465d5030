"""What corruptions draw their random numbers with: one generator a sample, in the order of the samples."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

Generators = Iterator[np.random.Generator]
Draws = dict[str, NDArray[Any]]


def fill_uniform(generator: np.random.Generator, out: NDArray[Any]) -> None:
    """Fill an image's draws with numbers that are uniform in [0, 1)."""
    generator.random(out=out, dtype=out.dtype)


def drawn(
    generators: Generators,
    n: int,
    *shape: int,
    fill: Callable[[np.random.Generator, NDArray[Any]], None] = fill_uniform,
    dtype: DTypeLike = np.float64,
) -> NDArray[Any]:
    """(n, *shape), each image's draws filled by its own generator: `fill_uniform`, or `normals.fill_normal`."""
    found = np.empty((n, *shape), dtype)
    for row, generator in zip(found, generators, strict=True):
        fill(generator, row)
    return found


def raw_words(generators: Generators, n: int, count: int) -> NDArray[np.uint64]:
    """(n, count) random words of 64 bits, little-endian on every machine."""
    words = np.empty((n, count), np.uint64)
    for row, generator in zip(words, generators, strict=True):
        row[:] = generator.bit_generator.random_raw(len(row))
    return words.astype("<u8", copy=False)
