"""Unrolled FISTA (Beck and Teboulle 2009) for the elastic-net sparse coding problem, and its step size.

    min_z  lam |z|_1 + mu/2 |z|_2^2 + 1/2 |x - A z|_2^2,   z >= 0 when non-negative

With mu = 0 and non-negative codes, one step from zero is `relu(step * A^T x - step * lam)`: the step size is
folded into the dictionary and the threshold into a bias, so that it costs one convolution and one ReLU.

A dictionary A is `atoms` (d, inputs, *kernel), slices of unit norm, under an operator: `analyse` is A^T x plus a bias
(d,), `synthesise` A z in the shape of `like`; `repeat` puts the input several times along its channels, and
`code_numel` counts the entries of the code of one sample.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from .architectures import Coding

STEP_FRACTION = 0.9  # of 1 / L, as published; below 1 every iteration lowers the objective


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


def fista(
    x: Tensor, atoms: Tensor, operator: Dictionary, *, step: Tensor, lam: float | Tensor, coding: Coding
) -> Tensor:
    """The code after `coding.n_steps` iterations from zero.

    Args:
        x: (n, inputs, *size), repeated already where `coding.n_dict` says so.
        step: 0-d, at most 1 / L.
        lam: a number, a 0-d tensor, or one value a sample in a shape that broadcasts over codes.
        coding: the rest. By default iterations after the second take the gradient at the code, not at the
            momentum point: the published checkpoints were trained that way and give their logits only so.
            Without `square_noise` the first step is that of the squared problem, as published: from zero the
            gradient of the unsquared norm stays below the threshold, and no code would ever leave zero.

    Returns:
        Codes (n, d, *size / stride).
    """
    shrink: float | Tensor = 1.0 if coding.mu == 0 else 1 / (1 + coding.mu * step)
    scale = step * shrink
    analysis, threshold = atoms * scale, lam * scale
    code = _proximal_step(None, x, analysis, operator, threshold, coding.non_negative)
    previous, t = code, 1.0
    for _ in range(coding.n_steps - 1):
        t_next = (1 + math.sqrt(1 + 4 * t * t)) / 2
        # At the second iteration the weight of the momentum is exactly zero.
        point = code if t == 1.0 else code + (t - 1) / t_next * (code - previous)
        at = code if coding.gradient_at == "code" else point
        residual = x - operator.synthesise(at, atoms, x)
        if not coding.square_noise:
            residual = residual / (2 * _norms(residual))
        start = point if coding.mu == 0 else point * shrink
        step_taken = _proximal_step(start, residual, analysis, operator, threshold, coding.non_negative)
        previous, code, t = code, step_taken, t_next
    return code


def _proximal_step(
    start: Tensor | None,
    x: Tensor,
    analysis: Tensor,
    operator: Dictionary,
    threshold: Tensor,
    non_negative: bool,
) -> Tensor:
    """Soft-threshold `start + analysis x`, in place: convolutions keep no output for the backward pass."""
    if non_negative and threshold.dim() == 0:
        code = operator.analyse(x, analysis, -threshold.expand(analysis.shape[0]))
        return (code if start is None else code.add_(start)).relu_()
    code = operator.analyse(x, analysis)
    code = code if start is None else code.add_(start)
    if non_negative:
        return (code - threshold).relu_()
    return code - torch.clamp(code, -threshold, threshold)


def _norms(x: Tensor) -> Tensor:
    """(n, 1, ...) l2 norm of each sample, kept away from zero, where it has no gradient."""
    squares = x.square().flatten(1).sum(1).clamp_min(1e-24)
    return squares.sqrt().reshape(-1, *(1 for _ in x.shape[1:]))


def power_iterations(
    vector: Tensor, atoms: Tensor, operator: Dictionary, steps: int
) -> tuple[Tensor, Tensor]:
    """Power iteration on A A^T, which shares its largest eigenvalue with A^T A and has fewer entries.

    From a vector (1, inputs, *size) of unit norm to the one to go on from, and the 0-d estimate of L, which grows from
    below.
    """
    bound = vector.new_ones(())
    for _ in range(steps):
        image = operator.synthesise(operator.analyse(vector, atoms), atoms, vector)
        bound = image.norm().clamp_min(torch.finfo(image.dtype).tiny)
        vector = image / bound
    return vector, bound
