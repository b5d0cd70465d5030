"""Sparse coding layers (Dai et al. 2022, arXiv:2210.12945): a layer returns the sparse code of its input.

`csc2d`, `csc1d` and `csc_linear` make the same layer for images, 1-D signals, and vectors or token sequences.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from ...errors import InputError
from ...reading.numbers import whole
from ...wording import shown
from .architectures import Coding
from .fista import STEP_FRACTION, Convolutional, Dictionary, Linear, fista, power_iterations
from .inputs import traced

_CHANGED = (0, -1, 0)  # of a weight whose atoms may have any norm
_ROUND = 10  # power iterations between two looks at the progress, each of which waits for the device


class SparseCoding(nn.Module):
    """A layer whose output approximately solves a sparse coding problem over its dictionary.

    Attributes:
        weight: (d, n_dict * c, *kernel); atoms are normalised before use.
        step_size: 0-d buffer, 0.9 / L with L the largest eigenvalue of A^T A on the layer's own input size.
        power_vector: (1, n_dict * c, *size) buffer, where the power iteration of training stands.
        coding: the hyper-parameters.
        operator: A and A^T.
    """

    step_size: Tensor
    power_vector: Tensor
    _stepped = False  # whether the step size is known to have been computed

    def __init__(
        self, weight_shape: tuple[int, ...], size: tuple[int, ...], operator: Dictionary, coding: Coding
    ) -> None:
        """Make a layer with random atoms; its step size is computed on inputs of `size`, others can be coded too."""
        super().__init__()
        self.coding, self.operator = coding, operator
        self.weight = nn.Parameter(torch.empty(weight_shape))
        self.register_buffer("step_size", torch.ones(()))
        self._override: float | Tensor | None = None
        self._objectives: list[Tensor] | None = None
        self._unit = _CHANGED
        shape = (1, weight_shape[1], *size)
        if self.weight.is_meta:  # for its sizes alone: the first norm there would take a second of imports
            self.register_buffer("power_vector", torch.empty(shape))
            return
        nn.init.kaiming_uniform_(self.weight)
        with torch.no_grad():
            self.weight.copy_(_unit_atoms(self.weight))
        self.register_buffer("power_vector", _start_vector(shape).to(self.weight))

    @property
    def lam(self) -> float | Tensor:
        """Lambda in force: what `use_lambda` set, else the layer's own."""
        return self.coding.lam if self._override is None else self._override

    def atoms(self) -> Tensor:
        """The dictionary with unit-norm atoms; in evaluation, those that are so within rounding come as they are."""
        if self.training or torch.compiler.is_compiling():
            return _unit_atoms(self.weight) if self.weight.requires_grad else self._settled()
        if self.weight.requires_grad and torch.is_grad_enabled():  # the gradient of normalising, too
            return (unit := _unit_atoms(self.weight)) + (self._settled() - unit).detach()
        return self.weight if not self.weight.is_inference() and self._is_unit() else self._settled()

    def _is_unit(self) -> bool:
        """Whether the weight is the one that was normalised: writes in place raise its version, new values for the
        same parameter (pruning, `vector_to_parameters`) lie elsewhere. Writes into `weight.data` leave no trace."""
        if self._unit[:2] != (id(self.weight), self.weight._version):
            return False
        if self._unit[2:] == (self.weight.data_ptr(),):
            return True
        self._unit = _CHANGED  # the next values may lie where those lay
        return False

    def _mark_unit(self) -> None:
        """Keep that the atoms are of unit norm; tensors of inference mode have no version, and are normalised anew."""
        if not self.weight.is_inference():
            self._unit = (id(self.weight), self.weight._version, self.weight.data_ptr())

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> SparseCoding:
        """Move or convert the layer; atoms of unit norm are so elsewhere."""
        unit = not self.weight.is_inference() and self._is_unit()
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]  # torch states no types here
        if unit:
            self._mark_unit()
        return self

    def _settled(self) -> Tensor:
        """Unit atoms; those that are there within rounding keep their bits: saving, loading, copying change nothing."""
        unit = _unit_atoms(self.weight)
        rounding = 8 * torch.finfo(unit.dtype).eps
        error = (self.weight.flatten(1).norm(dim=1) - 1).abs().reshape(-1, *(1 for _ in unit.shape[1:]))
        return torch.where(error <= rounding, self.weight, unit)

    def train(self, mode: bool = True) -> SparseCoding:
        """Switch to training or evaluation; training may change the weights without a trace, as fused optimisers do."""
        if mode:
            self._unit = _CHANGED
        super().train(mode)
        return self

    def forward(self, x: Tensor) -> Tensor:
        """The code (n, d, *size / stride) of `x` (n, c, *size); InputError for lambdas of another length."""
        code, atoms = self._encode(x)
        if self._objectives is not None:
            penalty = self.per_sample(x) * code.abs() + self.coding.mu / 2 * code.square()
            self._objectives.append(self.energy(x, code, atoms) + penalty.flatten(1).sum(1))
        return code

    def residual(self, x: Tensor) -> Tensor:
        """(n,) energy |x - A z|^2 at the lambda in force, averaged over the sub-dictionaries."""
        return self.energy(x, *self._encode(x))

    def _encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The code and the atoms."""
        atoms = self.atoms()
        step = self.warm_step(atoms) if self.training and self.coding.power_steps else self.known_step(atoms)
        lam = self.per_sample(x)
        return fista(self._repeated(x), atoms, self.operator, step=step, lam=lam, coding=self.coding), atoms

    def _repeated(self, x: Tensor) -> Tensor:
        return self.operator.repeat(x, self.coding.n_dict) if self.coding.n_dict > 1 else x

    def energy(self, x: Tensor, code: Tensor, atoms: Tensor) -> Tensor:
        """(n,) |x - A z|^2 of a code, averaged over the sub-dictionaries."""
        repeated = self._repeated(x)
        difference = repeated - self.operator.synthesise(code, atoms, repeated)
        return difference.square().flatten(1).sum(1) / self.coding.n_dict

    def per_sample(self, x: Tensor) -> float | Tensor:
        """Lambda for a batch: a number, or one a sample in a shape that broadcasts; else an InputError."""
        lam = self.lam.to(x) if isinstance(self.lam, Tensor) else self.lam
        if self.coding.rescale_lambda:
            lam = lam * (math.prod(x.shape[1:]) / self.operator.code_numel(x, self.weight))
        if not isinstance(lam, Tensor) or lam.dim() == 0:
            return lam
        if lam.shape != x.shape[:1]:
            raise InputError(
                f"A per-sample lambda needs one value per image, got {lam.shape[0]} values for a batch of "
                f"{x.shape[0]}. Set lambda again for each batch, or use one number."
            )
        return lam.reshape(-1, *(1 for _ in x.shape[1:]))

    def known_step(self, atoms: Tensor) -> Tensor:
        """The step size, computed where it never was: then it is 1, which 0.9 / L is for no dictionary.

        It is looked at once, for on a GPU every look waits.
        """
        if self._stepped or self.step_size.is_meta or traced():
            return self.step_size
        if self.step_size.item() == 1:
            with torch.no_grad(), torch.autocast(atoms.device.type, enabled=False):
                self.step_size.fill_(STEP_FRACTION / self._largest(atoms.detach())[1])
        self._stepped = True
        return self.step_size

    def warm_step(self, atoms: Tensor, steps: int | None = None) -> Tensor:
        """The step size after more power iterations, `power_steps` of them, from where the last ones stopped."""
        with torch.no_grad(), torch.autocast(atoms.device.type, enabled=False):
            steps = self.coding.power_steps if steps is None else steps
            vector, bound = power_iterations(self.power_vector, atoms.detach(), self.operator, steps)
            step = STEP_FRACTION / bound
            self.power_vector.copy_(vector)
            self.step_size.copy_(step)
        return step  # not the buffer: a second forward before the backward pass would overwrite it

    @torch.no_grad()
    def refresh(self, tolerance: float = 1e-5, max_steps: int = 2000) -> None:
        """Normalise the atoms in place and compute the step size from them, see `control.refresh_step_sizes`."""
        self.normalise()
        vector, largest = self._largest(self.weight, tolerance, max_steps)
        self.power_vector.copy_(vector)
        self.step_size.fill_(STEP_FRACTION / largest)

    def _largest(self, atoms: Tensor, tolerance: float = 1e-5, max_steps: int = 2000) -> tuple[Tensor, float]:
        """Where the power iteration ends, and L; in rounds of `_ROUND` steps, of which one is always made."""
        vector, last = _start_vector(tuple(self.power_vector.shape)).to(self.power_vector), 0.0
        for _ in range(max(max_steps // _ROUND, 1)):
            vector, bound = power_iterations(vector, atoms, self.operator, _ROUND)
            estimate = bound.item()
            if estimate <= last * (1 + tolerance):
                break
            last = estimate
        return vector, estimate

    @torch.no_grad()
    def normalise(self) -> None:
        """Normalise the atoms in place; the step size stays as it is."""
        self.weight.copy_(self._settled())
        self._mark_unit()


def _start_vector(shape: tuple[int, ...]) -> Tensor:
    """Where every power iteration starts: the same float32 for a shape on every machine, with positive entries."""
    seeded = torch.Generator().manual_seed(0)
    vector = torch.rand(shape, generator=seeded, dtype=torch.float64, device="cpu") + 0.1
    vector /= torch.linalg.vector_norm(vector)
    return vector.float()


def _unit_atoms(weight: Tensor) -> Tensor:
    """Every slice along the first axis at unit l2 norm."""
    norms: Tensor = torch.linalg.vector_norm(weight, dim=tuple(range(1, weight.dim())), keepdim=True)
    return weight / norms.clamp_min(1e-12)


def _windows(dims: int, kernel: int, stride: int) -> Convolutional:
    """Atoms of an odd length, which have a middle to be padded around; an InputError for others."""
    if kernel % 2 == 0:
        raise InputError(f"kernel must be odd, such as 3, got {kernel}.")
    return Convolutional(dims, stride, kernel // 2)


def _counts(**given: object) -> list[int]:
    """The numbers, once each is found to be whole and at least 1; else an InputError."""
    return [whole(value, f"{name} must be a whole number", 1) for name, value in given.items()]


def _coding(given: Coding | None) -> Coding:
    """The hyper-parameters, the published ones for None; an InputError for what is no `Coding`."""
    if given is not None and not isinstance(given, Coding):
        raise InputError(f"coding must be one such as Coding(lam=0.1), got {shown(repr(given))}.")
    return given or Coding()


def csc2d(
    channels: int,
    atoms: int,
    *,
    size: tuple[int, int],
    kernel: int = 3,
    stride: int = 1,
    coding: Coding | None = None,
) -> SparseCoding:
    """A sparse coding layer on images or feature maps: a drop-in for `nn.Conv2d` with padding.

    Args:
        channels: channels of the input.
        atoms: number of atoms, the channels of the code.
        size: (height, width) of the inputs that the step size is computed for; other sizes can be coded too.
        kernel: side of an atom, odd.
        stride: distance between two positions of an atom.
        coding: lambda, steps and the like; None for the published values.

    Returns:
        A layer from (n, channels, height, width) to non-negative codes (n, atoms, height / stride, width / stride),
        both rounded up, in training mode; call `zoo.refresh_step_sizes` on the model after training.

    Raises:
        InputError: a count that is not whole or below 1, an even kernel, or a `coding` that is no `Coding`.
    """
    channels, atoms, kernel, stride = _counts(channels=channels, atoms=atoms, kernel=kernel, stride=stride)
    if not isinstance(size, tuple | list) or len(size) != 2:
        raise InputError(f"size must be (height, width), such as (32, 32), got {shown(repr(size))}.")
    height, width = _counts(height=size[0], width=size[1])
    coding, operator = _coding(coding), _windows(2, kernel, stride)
    return SparseCoding((atoms, channels * coding.n_dict, kernel, kernel), (height, width), operator, coding)


def csc1d(
    channels: int, atoms: int, *, length: int, kernel: int = 3, stride: int = 1, coding: Coding | None = None
) -> SparseCoding:
    """A sparse coding layer on 1-D signals, such as audio: a drop-in for `nn.Conv1d` with padding.

    Args:
        channels: channels of the signal.
        atoms: number of atoms, the channels of the code.
        length: length of the signals that the step size is computed for; other lengths can be coded too.
        kernel: length of an atom, odd.
        stride: distance between two positions of an atom.
        coding: lambda, steps and the like; None for the published values.

    Returns:
        A layer from (n, channels, length) to non-negative codes (n, atoms, length / stride, rounded up), in training
        mode; what to call after training, and the errors, are those of `csc2d`.
    """
    channels, atoms, length = _counts(channels=channels, atoms=atoms, length=length)
    kernel, stride = _counts(kernel=kernel, stride=stride)
    coding, operator = _coding(coding), _windows(1, kernel, stride)
    return SparseCoding((atoms, channels * coding.n_dict, kernel), (length,), operator, coding)


def csc_linear(features: int, atoms: int, *, coding: Coding | None = None) -> SparseCoding:
    """A sparse coding layer on vectors or token sequences: a drop-in for `nn.Linear`.

    Returns:
        A layer from (n, features) or (n, tokens, features) to non-negative codes (n, atoms) or (n, tokens, atoms), in
        training mode; `coding`, what to call after training, and the errors are as for `csc2d`.
    """
    features, atoms = _counts(features=features, atoms=atoms)
    coding = _coding(coding)
    return SparseCoding((atoms, features * coding.n_dict), (), Linear(), coding)
