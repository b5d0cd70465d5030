"""The question of the adaptive adversary: attack at one lambda, evaluate at another, and keep the worst.

The diagonal is robust accuracy at a fixed lambda, everything off it is transfer. The robust accuracy of a
deployed lambda is the worst case over all perturbations, sample by sample.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from .. import attacks
from ..attacks.engine.passes import Passes
from ..attacks.engine.result import AttackResult
from ..attacks.registry import attack_info, check_params
from ..errors import InputError
from .fixed import Fixed
from .module import WithPolicy
from .policy import Policy


@dataclass(frozen=True, eq=False)
class LambdaMatrix:
    """Outcomes of every pair.

    Attributes:
        attacked: names of the lambdas or policies that were attacked, the rows.
        evaluated: names of those that answered, the columns.
        robust: (rows, columns, n) bool, right on the clean image and on the perturbed one.
        forwards, backwards: sample passes spent.
        images: (rows, n, c, h, w), the perturbed images.
    """

    attacked: tuple[str, ...]
    evaluated: tuple[str, ...]
    robust: Tensor
    forwards: int
    backwards: int
    images: Tensor

    def kind(self, row: int, column: int) -> str:
        """ "attack" on the diagonal, "transfer" off it: only the first is robust accuracy."""
        return "attack" if self.attacked[row] == self.evaluated[column] else "transfer"

    @property
    def accuracies(self) -> Tensor:
        """(rows, columns) share of robust samples."""
        return self.robust.double().mean(2)

    @property
    def worst_case(self) -> Tensor:
        """(columns, n) bool, robust under every perturbation: never more than under any single one."""
        return self.robust.all(0)


def lambda_matrix(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    attacked: Sequence[float | Policy],
    evaluated: Sequence[float | Policy] | None = None,
    eps: float,
    norm: str = "linf",
    attack: str = "pgd",
    params: Mapping[str, object] | None = None,
    scope: str = "stem",
    gradient: str = "through",
    warm_start: bool = False,
    seed: int = 0,
    sample_ids: Tensor | None = None,
    batch_size: int = 100,
    precision: str = "float32",
) -> LambdaMatrix:
    """Attack a model at each lambda or policy and evaluate every perturbation at every one.

    Args:
        attacked: numbers or policies whose gradients are taken.
        evaluated: numbers or policies that answer; None for those attacked.
        gradient: "through" lambda(x), or "bpda", which holds it constant.
        warm_start: begin each attack at the perturbations of the one before it, if the attack can start
            anywhere; numbers should then be in order, so that neighbours follow each other.

    Raises:
        InputError: nothing to attack, a model without lambda, or an attack that cannot be warm-started.
    """
    rows, columns = list(attacked), list(attacked if evaluated is None else evaluated)
    if not rows or not columns:
        raise InputError("A lambda matrix needs at least one lambda to attack and one to evaluate.")
    deployed = [_at(model, lam, scope, gradient) for lam in columns]
    clean = [_right(module, images, labels, batch_size) for module in deployed]
    found: list[Tensor] = []
    robust: list[Tensor] = []
    forwards, backwards = len(images) * len(deployed), 0
    for lam in rows:
        result = _attacked(
            _at(model, lam, scope, gradient), images, labels, found[-1] if warm_start and found else None,
            name=attack, eps=eps, norm=norm, params=params or {}, seed=seed, sample_ids=sample_ids,
            batch_size=batch_size, precision=precision,
        )  # fmt: skip
        found.append(result.images)
        here = [_right(module, result.images, labels, batch_size) for module in deployed]
        robust.append(torch.stack([before & after for before, after in zip(clean, here, strict=True)]))
        forwards += result.forwards + len(images) * len(deployed)
        backwards += result.backwards
    return LambdaMatrix(
        attacked=tuple(_name(lam) for lam in rows),
        evaluated=tuple(_name(lam) for lam in columns),
        robust=torch.stack(robust),
        forwards=forwards,
        backwards=backwards,
        images=torch.stack(found),
    )


def worst_case(matrices: Sequence[LambdaMatrix]) -> Tensor:
    """(columns, n) bool: robust under every perturbation of several attacks on the same images and lambdas.

    A white-box attack, a gradient-free one and noise of the same eps together are what a policy has to
    withstand.

    Raises:
        InputError: no matrix, or matrices that were not evaluated at the same lambdas on as many images.
    """
    if not matrices:
        raise InputError("A worst case needs at least one matrix.")
    if len({(matrix.evaluated, matrix.robust.shape[2]) for matrix in matrices}) > 1:
        raise InputError("A worst case needs matrices evaluated at the same lambdas on the same images.")
    return torch.stack([matrix.worst_case for matrix in matrices]).all(0)


def _attacked(
    module: nn.Module, images: Tensor, labels: Tensor, start: Tensor | None, *, name: str, **options: Any
) -> AttackResult:
    if start is None:
        return attacks.run(name, module, images, labels, **options)
    if name != "pgd":
        raise InputError(f"Only pgd can be warm-started, got '{name}'. Leave warm_start off.")
    given: dict[str, Any] = dict(check_params(attack_info(name), options.pop("params")))
    return attacks.pgd(module, images, labels, start=start, **{**given, "random_start": False}, **options)


def _at(model: nn.Module, lam: float | Policy, scope: str, gradient: str) -> WithPolicy:
    policy = Fixed(float(lam)) if isinstance(lam, int | float) else lam
    return WithPolicy(model, policy, scope=scope, gradient=gradient)


def _name(lam: float | Policy) -> str:
    return f"{lam:g}" if isinstance(lam, int | float) else lam.name


def _right(module: nn.Module, images: Tensor, labels: Tensor, batch_size: int) -> Tensor:
    """(n,) bool: predicted as labelled."""
    return Passes(module, low_precision=False, batch_size=batch_size).exact(images).argmax(1) == labels
