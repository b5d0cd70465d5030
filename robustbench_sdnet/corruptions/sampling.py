"""What corruptions draw their random numbers with: one generator a sample, in the order of the samples."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

Generators = Iterator[np.random.Generator]
Draws = dict[str, NDArray[Any]]


def drawn(
    generators: Generators, n: int, *shape: int, method: str = "random", dtype: DTypeLike = np.float64
) -> NDArray[Any]:
    """(n, *shape) by a method of the generators: "random", uniform in [0, 1), or "standard_normal"."""
    found = np.empty((n, *shape), dtype)
    for row, generator in zip(found, generators, strict=True):
        getattr(generator, method)(out=row, dtype=dtype)
    return found


def raw_words(generators: Generators, n: int, count: int) -> NDArray[np.uint64]:
    """(n, count) random words of 64 bits, little-endian on every machine."""
    words = np.empty((n, count), np.uint64)
    for row, generator in zip(words, generators, strict=True):
        row[:] = generator.bit_generator.random_raw(len(row))
    return words.astype("<u8", copy=False)
