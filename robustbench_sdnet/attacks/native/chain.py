"""Attacks that are several attacks in a row, each on the survivors of the one before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from importlib import import_module

import torch
from torch import Tensor

from ..engine.guards import usable
from ..engine.passes import Classifier
from ..engine.result import AttackResult
from ..registry import ATTACKS, Value, attack_info, chain, check_params
from .wrapper import Run, checked, nothing


@torch.inference_mode(False)
def run_chain(
    name: str,
    params: Mapping[str, Value],
    model: Classifier,
    images: Tensor,
    labels: Tensor,
    eps: float,
    run: Run,
) -> AttackResult:
    """Run the stages of a chain.

    Returns:
        Outcomes a sample. `broken_at` counts the steps of the stage that broke it, and `extra["stage"]` (n,)
        int64 says which one that was (-1: none, or misclassified from the start).
    """
    options, norm = check_params(attack_info(name), params), run.get("norm", "linf")
    ids = checked(images, labels, eps=eps, sample_ids=run.get("sample_ids"))
    images, labels = usable(images), usable(labels)
    whole = nothing(images)
    stage = torch.full_like(labels, -1)
    alive = torch.arange(len(images), device=images.device)
    for number, (part_name, own) in enumerate(chain(name, options, norm)):
        module, _, function = ATTACKS[part_name].function.partition(":")
        attack = getattr(import_module(module), function)
        part: AttackResult = attack(
            model, images[alive], labels[alive], eps=eps, **{**run, "sample_ids": ids[alive]}, **own
        )
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
