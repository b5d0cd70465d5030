"""Auto-PGD (Croce & Hein 2020, arXiv:2003.01690) on three losses; the search itself stands in `apgd_search`."""

from __future__ import annotations

from functools import partial
from typing import Any

from torch import Tensor
from typing_extensions import Unpack

from ..engine.ball import Ball
from ..engine.losses import cross_entropy, dlr, targeted_dlr
from ..engine.passes import Classifier
from ..engine.result import AttackResult
from .apgd_search import ApgdSearch
from .apgd_sparse import SparseApgdSearch
from .wrapper import Run, attack, positive, run_native


def _search(*, ball: Ball, steps: int, **how: Any) -> ApgdSearch:
    """The search of a ball, a sparse one where few values should move at a time."""
    kind = SparseApgdSearch if ball.sparse else ApgdSearch
    return kind(ball=ball, length=kind.evaluations(positive("steps", steps)), **how)


@attack
def apgd_ce(
    model: Classifier,
    images: Tensor,
    labels: Tensor,
    *,
    eps: float,
    steps: int = 100,
    restarts: int = 1,
    eot: int = 1,
    **run: Unpack[Run],
) -> AttackResult:
    """Auto-PGD on the cross-entropy.

    Args:
        steps: gradient steps a restart.
        restarts: courses a sample, each from its own random point of the sphere.
        eot: gradients averaged a step (expectation over transformation), for models that draw random numbers.

    Other arguments, the result and the errors are those of `pgd`.
    """
    attempts = positive("restarts", restarts)
    search = partial(_search, steps=steps, loss=cross_entropy, stream="apgd-ce", attempts=attempts)
    return run_native(search, model, images, labels, eps=eps, repeats=eot, **run)


@attack
def apgd_dlr(
    model: Classifier,
    images: Tensor,
    labels: Tensor,
    *,
    eps: float,
    steps: int = 100,
    restarts: int = 1,
    eot: int = 1,
    **run: Unpack[Run],
) -> AttackResult:
    """Auto-PGD on the difference of logits ratio; arguments as in `apgd_ce`."""
    attempts = positive("restarts", restarts)
    search = partial(_search, steps=steps, loss=dlr, stream="apgd-dlr", attempts=attempts)
    return run_native(search, model, images, labels, eps=eps, repeats=eot, **run)


@attack
def apgd_t(
    model: Classifier,
    images: Tensor,
    labels: Tensor,
    *,
    eps: float,
    steps: int = 100,
    targets: int = 9,
    eot: int = 1,
    **run: Unpack[Run],
) -> AttackResult:
    """Auto-PGD on the targeted DLR loss, towards one wrong class after the other, the most likely first.

    Args:
        steps: gradient steps a target.
        targets: at most this many classes; a model with fewer wrong classes has all of them attacked.
        eot: as in `apgd_ce`.

    Other arguments, the result and the errors are those of `pgd`.
    """
    attempts = positive("targets", targets)
    search = partial(
        _search, steps=steps, loss=targeted_dlr, stream="apgd-t", attempts=attempts, targeted=True
    )
    return run_native(search, model, images, labels, eps=eps, repeats=eot, **run)
