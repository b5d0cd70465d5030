"""Auto-PGD (Croce & Hein 2020, arXiv:2003.01690) on three losses; the search itself stands in `apgd_search`."""

from __future__ import annotations

from collections.abc import Callable
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


def _search(stream: str, loss: Callable[..., Tensor], *, ball: Ball, steps: int, **how: Any) -> ApgdSearch:
    """The search of a ball, a sparse one where few values should move at a time."""
    kind = SparseApgdSearch if ball.sparse else ApgdSearch
    length = kind.evaluations(positive("steps", steps))
    return kind(stream=stream, loss=loss, ball=ball, length=length, **how)


@attack
def apgd_ce(
    model: Classifier,
    images: Tensor,
    labels: Tensor,
    *,
    eps: float,
    restarts: int = 1,
    steps: int = 100,
    eot: int = 1,
    **run: Unpack[Run],
) -> AttackResult:
    """Auto-PGD on the cross-entropy.

    Args:
        restarts: runs per sample, each from its own random point on the sphere.
        steps: gradient steps per restart, 100 by default.
        eot: gradients averaged per step (expectation over transformation), for models that draw random numbers; 1 by
            default.

    Other arguments, the result and the errors are those of `pgd`.
    """
    attempts = positive("restarts", restarts)
    search = partial(_search, "apgd-ce", cross_entropy, steps=steps, attempts=attempts)
    return run_native("apgd-ce", search, model, images, labels, eps=eps, repeats=eot, **run)


@attack
def apgd_dlr(
    model: Classifier,
    images: Tensor,
    labels: Tensor,
    *,
    eps: float,
    restarts: int = 1,
    steps: int = 100,
    eot: int = 1,
    **run: Unpack[Run],
) -> AttackResult:
    """Auto-PGD on the difference of logits ratio; arguments as in `apgd_ce`."""
    attempts = positive("restarts", restarts)
    search = partial(_search, "apgd-dlr", dlr, steps=steps, attempts=attempts)
    return run_native("apgd-dlr", search, model, images, labels, eps=eps, repeats=eot, **run)


@attack
def apgd_t(
    model: Classifier,
    images: Tensor,
    labels: Tensor,
    *,
    eps: float,
    targets: int = 9,
    steps: int = 100,
    eot: int = 1,
    **run: Unpack[Run],
) -> AttackResult:
    """Auto-PGD on the targeted DLR loss, towards one wrong class after another, the most likely first.

    Args:
        targets: at most this many classes; a model with fewer wrong classes has all of them attacked.
        steps: gradient steps per target, 100 by default.
        eot: as in `apgd_ce`.

    Other arguments, the result and the errors are those of `pgd`.
    """
    attempts = positive("targets", targets)
    search = partial(_search, "apgd-t", targeted_dlr, steps=steps, attempts=attempts, targeted=True)
    return run_native("apgd-t", search, model, images, labels, eps=eps, repeats=eot, **run)
