"""Convolutional sparse coding layers: unrolled FISTA on vectors, 1-D signals and images.

A layer receives `x` and returns the code `z` that approximately solves

    min_z  lam |z|_1 + mu/2 |z|_2^2 + 1/2 |x - A z|_2^2,   z >= 0 when non-negative,

where `A z` synthesises with a dictionary of unit-norm atoms and `A^T x` analyses with the same dictionary
(Dai et al. 2022, arXiv:2210.12945).
"""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import InputError

STEP_FRACTION = 0.9  # of 1 / L, the largest step for which every iteration is a contraction
GRADIENTS = ("code", "momentum")


@dataclass(frozen=True, slots=True, kw_only=True)
class Coding:
    """How a layer codes its input.

    Attributes:
        lam: weight of |z|_1, the layer's lambda unless `use_lambda` overrides it.
        mu: weight of |z|_2^2 / 2.
        n_steps: FISTA iterations from z = 0.
        non_negative: restrict codes to z >= 0.
        gradient_at: where iterations after the second take the gradient: at the "code" z, as the published
            checkpoints were trained, or at the "momentum" point, as Beck and Teboulle 2009 have it.
        square_noise: data term |x - A z|^2 / 2; without, |x - A z| / 2.
        rescale_lambda: multiply lambda by size(x) / size(z).
        n_dict: repeat the input that many times over as many sub-dictionaries.
        power_steps: power iterations at each training forward.
    """

    lam: float = 0.1
    mu: float = 0.0
    n_steps: int = 2
    non_negative: bool = True
    gradient_at: str = "code"
    square_noise: bool = True
    rescale_lambda: bool = False
    n_dict: int = 1
    power_steps: int = 1

    def __post_init__(self) -> None:
        for name in ("lam", "mu"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise InputError(f"{name} must be finite and not negative, got {value}.")
        for name, low in (("n_steps", 1), ("n_dict", 1), ("power_steps", 0)):
            if not low <= getattr(self, name) <= 100_000:
                raise InputError(f"{name} must be at least {low}, got {getattr(self, name)}.")
        if self.gradient_at not in GRADIENTS:
            raise InputError(f"gradient_at must be one of {', '.join(GRADIENTS)}, got '{self.gradient_at}'.")


class SparseCoding(nn.Module):
    """The part of the layer that does not depend on the kind of input.

    Attributes:
        weight: (d, n_dict * c, *kernel) dictionary; atoms are normalised before use.
        step_size: 0-d buffer, 0.9 / L with L the largest eigenvalue of A^T A on the layer's own input size.
        power_vector: (1, n_dict * c, *size) buffer, the running power iteration of training.
        coding: the layer's hyper-parameters.
    """

    step_size: Tensor
    power_vector: Tensor

    def __init__(self, weight_shape: tuple[int, ...], input_shape: tuple[int, ...], coding: Coding) -> None:
        super().__init__()
        self.coding = coding
        self.weight = nn.Parameter(torch.empty(weight_shape))
        self.register_buffer("step_size", torch.ones(()))
        self.register_buffer("power_vector", _seeded_unit_vector(input_shape))
        self._override: float | Tensor | None = None
        self._objectives: list[Tensor] | None = None
        self._atoms_are_unit = False
        nn.init.kaiming_uniform_(self.weight)
        with torch.no_grad():
            self.weight.copy_(_unit_atoms(self.weight))
        self.register_load_state_dict_post_hook(_forget_unit_atoms)

    @abstractmethod
    def analyse(self, x: Tensor, dictionary: Tensor, bias: Tensor | None = None) -> Tensor:
        """A^T x, plus a bias an atom."""

    @abstractmethod
    def synthesise(self, code: Tensor, dictionary: Tensor, like: Tensor) -> Tensor:
        """A z, of the shape of `like`."""

    @abstractmethod
    def per_sample(self, values: Tensor, x: Tensor) -> Tensor:
        """Values (n,) in a shape that broadcasts over codes of `x`."""

    @property
    def lam(self) -> float | Tensor:
        """Lambda in force: what `use_lambda` set, else the layer's own."""
        return self.coding.lam if self._override is None else self._override

    def dictionary(self) -> Tensor:
        """The dictionary with unit-norm atoms; frozen weights were normalised once and are returned as they are."""
        return self.weight if self._atoms_are_unit and not self.training else _unit_atoms(self.weight)

    def train(self, mode: bool = True) -> SparseCoding:
        """Set the mode; training may move the atoms off the unit sphere."""
        if mode:
            self._atoms_are_unit = False
        return super().train(mode)

    def forward(self, x: Tensor) -> Tensor:
        """The code of `x`.

        Raises:
            InputError: a per-sample lambda of another length than the batch.
        """
        code, x, dictionary = self._encode(x)
        if self._objectives is not None:
            self._objectives.append(self._objective(x, code, dictionary))
        return code

    def residual(self, x: Tensor) -> Tensor:
        """(n,) energy |x - A z|^2 at the lambda in force."""
        code, x, dictionary = self._encode(x)
        return (x - self.synthesise(code, dictionary, x)).square().flatten(1).sum(1)

    def _encode(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        dictionary = self.dictionary()
        step = self._warm_step(dictionary) if self.training and self.coding.power_steps else self.step_size
        if self.coding.n_dict > 1:
            x = self.repeat(x)
        return self._fista(x, dictionary, step), x, dictionary

    def repeat(self, x: Tensor) -> Tensor:
        """The input once for every sub-dictionary, along the channels."""
        return x.repeat(1, self.coding.n_dict, *(1 for _ in x.shape[2:]))

    def _fista(self, x: Tensor, dictionary: Tensor, step: Tensor) -> Tensor:
        """`n_steps` iterations; the step size is folded into the analysis dictionary, the threshold into its bias."""
        shrink = 1.0 if self.coding.mu == 0 else 1 / (1 + self.coding.mu * step)
        analysis = dictionary * (step * shrink)
        threshold = self._threshold(x, step * shrink)
        code = self._prox(x, analysis, threshold, None)
        previous, t = code, 1.0
        for _ in range(self.coding.n_steps - 1):
            t_next = (1 + math.sqrt(1 + 4 * t * t)) / 2
            # The first momentum weight is exactly zero: the second step starts from the code itself.
            point = code if t == 1.0 else code + (t - 1) / t_next * (code - previous)
            at = code if self.coding.gradient_at == "code" else point
            residual = x - self.synthesise(at, dictionary, x)
            if not self.coding.square_noise:
                residual = residual / (2 * _norms(residual))
            start = point if self.coding.mu == 0 else point * shrink
            previous, code, t = code, self._prox(residual, analysis, threshold, start), t_next
        return code

    def _threshold(self, x: Tensor, scale: Tensor) -> Tensor:
        """lambda * step (0-d), or one threshold a sample, shaped like codes."""
        lam = self.lam
        if self.coding.rescale_lambda:
            lam = lam * self._size_ratio(x)
        if isinstance(lam, Tensor) and lam.dim() > 0:
            if lam.shape != x.shape[:1]:
                raise InputError(
                    f"A per-sample lambda needs one value an image: got {tuple(lam.shape)} values for a batch of "
                    f"{x.shape[0]}. Set lambda for each batch, or use one number."
                )
            return self.per_sample(lam.to(scale), x) * scale
        return lam * scale

    def _prox(self, x: Tensor, analysis: Tensor, threshold: Tensor, start: Tensor | None) -> Tensor:
        """prox(start + step * A^T x): non-negative codes at one lambda are a convolution with a bias and a ReLU."""
        if self.coding.non_negative and threshold.dim() == 0:
            code = self.analyse(x, analysis, -threshold.expand(analysis.shape[0]))
            # Convolutions do not keep their output for the backward pass: adding in place saves one map.
            return (code if start is None else code.add_(start)).relu_()
        code = self.analyse(x, analysis)
        code = code if start is None else code.add_(start)
        if self.coding.non_negative:
            return (code - threshold).relu_()
        return code - torch.clamp(code, -threshold, threshold)

    @abstractmethod
    def _size_ratio(self, x: Tensor) -> float:
        """size(x) / size(z) of one sample."""

    def _objective(self, x: Tensor, code: Tensor, dictionary: Tensor) -> Tensor:
        """(n,) |x - A z|^2 + lambda |z|_1 + mu/2 |z|^2."""
        energy = (x - self.synthesise(code, dictionary, x)).square().flatten(1).sum(1)
        flat = code.flatten(1)
        return energy + self.lam * flat.abs().sum(1) + self.coding.mu / 2 * flat.square().sum(1)

    def _warm_step(self, dictionary: Tensor) -> Tensor:
        """The step size after some more power iterations from where the last training forward stopped."""
        with torch.no_grad(), torch.autocast(dictionary.device.type, enabled=False):
            vector, bound = self._power(self.power_vector, dictionary.detach(), self.coding.power_steps)
            step = STEP_FRACTION / bound
            self.power_vector.copy_(vector)
            self.step_size.copy_(step)
        return step  # not the buffer: a second forward before the backward pass would change it in place

    def _power(self, vector: Tensor, dictionary: Tensor, steps: int) -> tuple[Tensor, Tensor]:
        """Power iteration on A A^T, which has the eigenvalues of A^T A and lives on the smaller side."""
        bound = vector.new_ones(())
        for _ in range(steps):
            image = self.synthesise(self.analyse(vector, dictionary), dictionary, vector)
            bound = image.norm().clamp_min(torch.finfo(image.dtype).tiny)
            vector = image / bound
        return vector, bound

    @torch.no_grad()
    def refresh(self, tolerance: float = 1e-5, max_steps: int = 2000) -> None:
        """Normalise the atoms in place and compute the step size to convergence, from the weights alone.

        Args:
            tolerance: stop when ten more iterations raise L by less than this fraction.
            max_steps: stop after that many iterations in any case.
        """
        self.normalise()
        vector, last = _seeded_unit_vector(tuple(self.power_vector.shape)).to(self.power_vector), 0.0
        for _ in range(max(max_steps // 10, 1)):
            vector, bound = self._power(vector, self.weight, 10)
            if bound.item() <= last * (1 + tolerance):
                break
            last = bound.item()
        self.power_vector.copy_(vector)
        self.step_size.copy_(STEP_FRACTION / bound)

    @torch.no_grad()
    def normalise(self) -> None:
        """Normalise the atoms in place; atoms of unit norm keep their bits."""
        self.weight.copy_(_unit_atoms(self.weight))
        self._atoms_are_unit = True


class CSC2d(SparseCoding):
    """The layer on images: x (n, c, h, w) to z (n, d, h/stride, w/stride)."""

    def __init__(
        self,
        channels: int,
        atoms: int,
        *,
        size: tuple[int, int],
        kernel: int = 3,
        stride: int = 1,
        coding: Coding | None = None,
    ) -> None:
        """Make the layer.

        Args:
            channels: c.
            atoms: d.
            size: (h, w) of the input, on which the step size is computed; other sizes can be coded.
            kernel: side of an atom, odd.
            stride: of the code.
            coding: hyper-parameters.
        """
        coding = coding or Coding()
        inputs = channels * coding.n_dict
        super().__init__((atoms, inputs, kernel, kernel), (1, inputs, *size), coding)
        self.stride, self.padding = stride, kernel // 2

    def analyse(self, x: Tensor, dictionary: Tensor, bias: Tensor | None = None) -> Tensor:
        """Convolution with the dictionary, zero padding."""
        return F.conv2d(x, dictionary, bias, self.stride, self.padding)

    def synthesise(self, code: Tensor, dictionary: Tensor, like: Tensor) -> Tensor:
        """Transposed convolution with the dictionary."""
        extra = [_output_padding(like.shape[i], code.shape[i], self) for i in (2, 3)]
        return F.conv_transpose2d(code, dictionary, None, self.stride, self.padding, extra)

    def per_sample(self, values: Tensor, x: Tensor) -> Tensor:
        """(n, 1, 1, 1)."""
        return values.reshape(-1, 1, 1, 1)

    def _size_ratio(self, x: Tensor) -> float:
        height, width = (_code_size(x.shape[i], self) for i in (2, 3))
        return x[0].numel() / (self.weight.shape[0] * height * width)


class CSC1d(SparseCoding):
    """The layer on 1-D signals: x (n, c, t) to z (n, d, t/stride)."""

    def __init__(
        self,
        channels: int,
        atoms: int,
        *,
        length: int,
        kernel: int = 3,
        stride: int = 1,
        coding: Coding | None = None,
    ) -> None:
        """Make the layer; arguments as in `CSC2d`, with `length` t of the input."""
        coding = coding or Coding()
        inputs = channels * coding.n_dict
        super().__init__((atoms, inputs, kernel), (1, inputs, length), coding)
        self.stride, self.padding = stride, kernel // 2

    def analyse(self, x: Tensor, dictionary: Tensor, bias: Tensor | None = None) -> Tensor:
        """Convolution with the dictionary, zero padding."""
        return F.conv1d(x, dictionary, bias, self.stride, self.padding)

    def synthesise(self, code: Tensor, dictionary: Tensor, like: Tensor) -> Tensor:
        """Transposed convolution with the dictionary."""
        extra = _output_padding(like.shape[2], code.shape[2], self)
        return F.conv_transpose1d(code, dictionary, None, self.stride, self.padding, extra)

    def per_sample(self, values: Tensor, x: Tensor) -> Tensor:
        """(n, 1, 1)."""
        return values.reshape(-1, 1, 1)

    def _size_ratio(self, x: Tensor) -> float:
        return x[0].numel() / (self.weight.shape[0] * _code_size(x.shape[2], self))


class CSCLinear(SparseCoding):
    """The layer on vectors (n, c) or token sequences (n, tokens, c): the dictionary is a matrix (d, c)."""

    def __init__(self, features: int, atoms: int, *, coding: Coding | None = None) -> None:
        """Make the layer for vectors of `features` entries and a dictionary of `atoms` atoms."""
        coding = coding or Coding()
        inputs = features * coding.n_dict
        super().__init__((atoms, inputs), (1, inputs), coding)

    def analyse(self, x: Tensor, dictionary: Tensor, bias: Tensor | None = None) -> Tensor:
        """x D^T."""
        return F.linear(x, dictionary, bias)

    def synthesise(self, code: Tensor, dictionary: Tensor, like: Tensor) -> Tensor:
        """z D."""
        return code @ dictionary

    def per_sample(self, values: Tensor, x: Tensor) -> Tensor:
        """(n, 1) or (n, 1, 1)."""
        return values.reshape(-1, *(1 for _ in x.shape[1:]))

    def repeat(self, x: Tensor) -> Tensor:
        """The input once for every sub-dictionary, along the last axis."""
        return x.repeat(*(1 for _ in x.shape[1:]), self.coding.n_dict)

    def _size_ratio(self, x: Tensor) -> float:
        return x.shape[-1] / self.weight.shape[0]


def _norms(x: Tensor) -> Tensor:
    """(n, 1, ...) l2 norm of each sample, kept away from zero where its gradient does not exist."""
    squares = x.square().flatten(1).sum(1).clamp_min(1e-24)
    return squares.sqrt().reshape(-1, *(1 for _ in x.shape[1:]))


def _unit_atoms(weight: Tensor) -> Tensor:
    """Every slice along the first axis at unit l2 norm; slices that are there within rounding stay as they are."""
    norms = torch.linalg.vector_norm(weight, dim=tuple(range(1, weight.dim())), keepdim=True)
    rounding = 8 * torch.finfo(weight.dtype).eps
    norms = norms.clamp_min(1e-12)
    return weight / torch.where((norms.detach() - 1).abs() <= rounding, torch.ones_like(norms), norms)


def _seeded_unit_vector(shape: tuple[int, ...]) -> Tensor:
    """The start of every power iteration: the same for every layer of a shape, on every machine."""
    vector = torch.rand(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64) + 0.1
    return (vector / vector.norm()).to(torch.get_default_dtype())


def _output_padding(size: int, code_size: int, layer: CSC1d | CSC2d) -> int:
    """What a transposed convolution must add to reach the input's size: 1 at stride 2 for even sizes."""
    kernel = layer.weight.shape[-1]
    return size - ((code_size - 1) * layer.stride - 2 * layer.padding + kernel)


def _code_size(size: int, layer: CSC1d | CSC2d) -> int:
    return (size + 2 * layer.padding - layer.weight.shape[-1]) // layer.stride + 1


def _forget_unit_atoms(layer: nn.Module, _incompatible_keys: object) -> None:
    assert isinstance(layer, SparseCoding)
    layer._atoms_are_unit = False
