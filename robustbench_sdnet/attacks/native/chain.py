"""Attacks that are several attacks in a row, each on the survivors of the one before.

AutoAttack (Croce & Hein 2020, arXiv:2003.01690), and a chain of its strength at a small part of its passes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor
from typing_extensions import Unpack

from ...devices import full_float32
from ..engine.batches import usual_batch
from ..engine.guards import frozen, tracked
from ..engine.judging import Judge
from ..engine.passes import Classifier, Passes
from ..engine.result import AttackResult
from ..registry import ATTACKS, Value, attack_info, chain, check_params
from .wrapper import Run, attack, checked, nothing


@attack
def autoattack(
    model: Classifier,
    images: Tensor,
    labels: Tensor,
    *,
    eps: float,
    variant: str = "standard",
    **run: Unpack[Run],
) -> AttackResult:
    """APGD-CE (100 steps), APGD-T (100 x 9 targets), FAB-T (100 x 9 targets), Square (5,000 queries).

    In l1 APGD-CE has five restarts and APGD-T five targets (Croce & Hein 2021, arXiv:2103.01208).

    Args:
        variant: "standard", or "rand" for models that draw random numbers: APGD-CE and APGD-DLR, each
            gradient averaged over 20 passes.
        early_stop: as in `pgd`, within a stage; stages always run on survivors only.

    Returns what `run_chain` does; other arguments and the errors are those of `pgd`.
    """
    return run_chain("autoattack", {"variant": variant}, model, images, labels, eps, run)


@attack
def lean(
    model: Classifier,
    images: Tensor,
    labels: Tensor,
    *,
    eps: float,
    then: str | None = None,
    **run: Unpack[Run],
) -> AttackResult:
    """PMA (two restarts of 100 steps), then APGD-T on the survivors (20 steps at each of 9 targets).

    It finds what AutoAttack finds on most models, and certifies nothing: with `then` the survivors go through the whole
    standard, so that the number is AutoAttack's and costs hardly more.

    Args:
        then: "autoattack", or None.

    Returns what `run_chain` does; other arguments and the errors are those of `pgd`.
    """
    name = "lean" if then is None else f"lean+{then}"
    return run_chain(name, {}, model, images, labels, eps, run)


lean_autoattack = partial(lean, then="autoattack")


@full_float32()
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

    Of a model that draws random numbers an image is what the stage made of it that left the fewest right draws, and
    those of the last count are fresh.

    Returns:
        Outcomes a sample. `broken_at` counts the steps of the stage that broke it, and `extra["stage"]` (n,)
        int64 says which one that was (-1: none, or misclassified from the start).
    """
    options, norm = check_params(attack_info(name), params), run.get("norm", "linf")
    images, labels, ids = checked(images, labels, eps=eps, norm=norm, sample_ids=run.get("sample_ids"))
    whole = nothing(images)
    stage = torch.full_like(labels, -1)
    alive = torch.arange(len(images), device=images.device)
    for number, (part_name, own) in enumerate(chain(name, options, norm)):
        part: AttackResult = ATTACKS[part_name].load()(
            model, images[alive], labels[alive], eps=eps, **{**run, "sample_ids": ids[alive]}, **own
        )
        stage[alive[part.clean & ~part.robust]] = number
        whole = part if number == 0 else _merged(whole, part, alive)
        alive = alive[part.robust] if part.repeats is None else whole.extra["hits"].nonzero()[:, 0]
        if len(alive) == 0:
            break
    if whole.repeats is not None and len(images):
        whole = _recounted(whole, model, labels, run)
    return replace(whole, extra={**_counts(whole), "stage": torch.where(whole.robust, -1, stage)})


def _merged(whole: AttackResult, part: AttackResult, index: Tensor) -> AttackResult:
    """The outcomes of a later stage in the place of those of its survivors.

    A sample that a randomised model gets wrong at once in a later stage was broken by the earlier one.
    """
    rows, counts = torch.arange(len(index), device=index.device), _counts(whole)
    if part.repeats is not None:
        rows = (part.extra["hits"] < counts["hits"][index]).nonzero()[:, 0]
        counts["hits"] = counts["hits"].index_copy(0, index[rows], part.extra["hits"][rows])
    there = index[rows]
    broken_at = torch.where(part.broken_at == 0, 1, part.broken_at)
    return replace(
        whole,
        images=whole.images.index_copy(0, there, part.images[rows]),
        robust=whole.robust.index_copy(0, there, part.robust[rows]),
        broken_at=whole.broken_at.index_copy(0, there, broken_at[rows]),
        margin=whole.margin.index_copy(0, there, part.margin[rows]),
        forwards=whole.forwards + part.forwards,
        backwards=whole.backwards + part.backwards,
        gradients=whole.gradients + part.gradients,
        silent=whole.silent + part.silent,
        extra=counts,
    )


def _counts(result: AttackResult) -> dict[str, Tensor]:
    return {name: result.extra[name] for name in ("hits", "clean_hits") if name in result.extra}


def _recounted(whole: AttackResult, model: Classifier, labels: Tensor, run: Run) -> AttackResult:
    """The same judged by draws that chose none of its images."""
    assert whole.repeats is not None  # narrows the type
    size = run.get("batch_size") or usual_batch(whole.images)
    judge = Judge(Passes(tracked(model), size), whole.repeats)
    with frozen(judge.passes.model):
        hits, margins = judge.count(whole.images, labels)
    right = whole.repeats.right(hits)
    broken_at = torch.where(whole.broken_at > 0, whole.broken_at, 1)
    return replace(
        whole,
        robust=right,
        broken_at=torch.where(right, -1, torch.where(whole.clean, broken_at, 0)),
        margin=margins.float(),
        forwards=whole.forwards + judge.passes.forwards,
        extra={**whole.extra, "hits": hits},
    )
