"""Standard AutoAttack (Croce & Hein 2020, arXiv:2003.01690): four attacks in a row, each on the survivors."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from ..engine.guards import usable
from ..engine.passes import Classifier
from ..engine.result import AttackResult
from ..registry import ATTACKS, chain, check_params
from .wrapper import checked, nothing


@torch.inference_mode(False)
def autoattack(
    model: Classifier,
    images: Tensor,
    labels: Tensor,
    *,
    eps: float,
    norm: str = "linf",
    variant: str = "standard",
    early_stop: bool = True,
    precision: str = "auto",
    seed: int = 0,
    sample_ids: Tensor | Sequence[int] | None = None,
    batch_size: int | None = None,
) -> AttackResult:
    """APGD-CE (100 steps), APGD-T (100 x 9 targets), FAB-T (100 x 9 targets), Square (5,000 queries).

    Args:
        variant: "standard", or "rand" for models that draw random numbers: APGD-CE and APGD-DLR, each
            gradient averaged over 20 passes.
        early_stop: as in `pgd`, within a stage; stages always run on survivors only.

    Returns:
        Outcomes a sample. `broken_at` counts the steps of the stage that broke it, and `extra["stage"]` (n,)
        int64 says which one that was (-1: none, or misclassified from the start).

    Other arguments and the errors are those of `pgd`.
    """
    options = check_params(ATTACKS["autoattack"], {"variant": variant})
    ids = checked(images, labels, eps=eps, norm=norm, sample_ids=sample_ids)
    images, labels = usable(images), usable(labels)
    whole = nothing(images)
    stage = torch.full_like(labels, -1)
    alive = torch.arange(len(images), device=images.device)
    for number, (name, params) in enumerate(chain("autoattack", options)):
        module, _, function = ATTACKS[name].function.partition(":")
        part: AttackResult = getattr(importlib.import_module(module), function)(
            model, images[alive], labels[alive], eps=eps, norm=norm, early_stop=early_stop,
            precision=precision, seed=seed, sample_ids=ids[alive], batch_size=batch_size, **params,
        )  # fmt: skip
        stage[alive[part.clean & ~part.robust]] = number
        whole = part if number == 0 else _merged(whole, part, alive)
        alive = alive[part.robust]
        if len(alive) == 0:
            break
    return replace(whole, extra={"stage": stage})


def _merged(whole: AttackResult, part: AttackResult, index: Tensor) -> AttackResult:
    """The outcomes of a later stage in the place of those of its survivors.

    A sample that a randomised model gets wrong at once in a later stage was broken by the earlier one.
    """
    broken_at = torch.where(part.broken_at == 0, 1, part.broken_at)
    return AttackResult(
        images=whole.images.index_copy(0, index, part.images),
        clean=whole.clean,
        robust=whole.robust.index_copy(0, index, part.robust),
        broken_at=whole.broken_at.index_copy(0, index, broken_at),
        margin=whole.margin.index_copy(0, index, part.margin),
        forwards=whole.forwards + part.forwards,
        backwards=whole.backwards + part.backwards,
        gradients=whole.gradients + part.gradients,
        silent=whole.silent + part.silent,
    )
