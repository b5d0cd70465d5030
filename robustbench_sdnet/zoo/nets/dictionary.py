"""The linear maps of a sparse coding layer with one dictionary, `atoms` (d, inputs, *kernel) with slices of unit norm.

`analyse` is A^T x plus a bias (d,), `synthesise` A z in the shape of `like`; `repeat` puts the input several times
along its channels, and `code_numel` counts the entries of the code of one sample.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True, slots=True)
class Convolutional:
    """Atoms slide over images (dims 2) or 1-D signals (dims 1), with zero padding of half the kernel."""

    dims: int
    stride: int
    padding: int

    def analyse(self, x: Tensor, atoms: Tensor, bias: Tensor | None = None) -> Tensor:
        """Convolution: (n, c, *size) to (n, d, *size/stride)."""
        convolve = F.conv2d if self.dims == 2 else F.conv1d
        return convolve(x, atoms, bias, self.stride, self.padding)

    def synthesise(self, code: Tensor, atoms: Tensor, like: Tensor) -> Tensor:
        """Transposed convolution; the output padding (1 at stride 2) restores the input's size."""
        kernel, dims = atoms.shape[-1], range(2, 2 + self.dims)
        extra = [like.shape[i] - (code.shape[i] - 1) * self.stride + 2 * self.padding - kernel for i in dims]
        transpose = F.conv_transpose2d if self.dims == 2 else F.conv_transpose1d
        return transpose(code, atoms, None, self.stride, self.padding, extra)

    def repeat(self, x: Tensor, times: int) -> Tensor:
        """Along the second axis."""
        return x.repeat(1, times, *(1 for _ in range(self.dims)))

    def code_numel(self, x: Tensor, atoms: Tensor) -> int:
        """Atoms times positions."""
        kernel = atoms.shape[-1]
        positions = ((size + 2 * self.padding - kernel) // self.stride + 1 for size in x.shape[2:])
        return int(atoms.shape[0] * math.prod(positions))


@dataclass(frozen=True, slots=True)
class Linear:
    """Atoms are the rows of a matrix, for vectors (n, c) and token sequences (n, tokens, c)."""

    def analyse(self, x: Tensor, atoms: Tensor, bias: Tensor | None = None) -> Tensor:
        """(n, ..., c) to (n, ..., d)."""
        return F.linear(x, atoms, bias)

    def synthesise(self, code: Tensor, atoms: Tensor, like: Tensor) -> Tensor:
        """(n, ..., d) to (n, ..., c)."""
        return code @ atoms

    def repeat(self, x: Tensor, times: int) -> Tensor:
        """Along the last axis."""
        return x.repeat(*(1 for _ in x.shape[1:]), times)

    def code_numel(self, x: Tensor, atoms: Tensor) -> int:
        """Atoms times tokens."""
        return int(atoms.shape[0] * math.prod(x.shape[1:-1]))


Dictionary = Convolutional | Linear
