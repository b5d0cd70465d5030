"""A chain of AutoAttack's strength at a small part of its passes, which goes on with AutoAttack where asked to."""

from __future__ import annotations

from functools import partial

from torch import Tensor
from typing_extensions import Unpack

from ..engine.passes import Classifier
from ..engine.result import AttackResult
from .chain import run_chain
from .wrapper import Run, attack


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
    """PMA (two courses of 100 steps), then APGD-T on the survivors (20 steps at each of 9 targets).

    It finds what AutoAttack finds on most models, and certifies nothing: with `then` the survivors go through the whole
    standard, so that the number is AutoAttack's and costs hardly more.

    Args:
        then: "autoattack", or None.

    Returns what `run_chain` does; other arguments and the errors are those of `pgd`.
    """
    name = "lean" if then is None else f"lean+{then}"
    return run_chain(name, {}, model, images, labels, eps, run)


lean_autoattack = partial(lean, then="autoattack")
