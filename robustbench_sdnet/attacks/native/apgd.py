"""Auto-PGD (Croce & Hein 2020, arXiv:2003.01690) on three losses; the search itself stands in `apgd_search`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from ..engine.ball import Ball
from ..engine.losses import cross_entropy, dlr, targeted_dlr
from ..engine.passes import Classifier, Loss
from ..engine.result import AttackResult
from .apgd_search import ApgdSearch, RowLoss
from .apgd_sparse import SparseApgdSearch
from .wrapper import Run, attack, positive, run_native

if TYPE_CHECKING:
    from typing_extensions import Unpack


def _untargeted(loss: Loss) -> RowLoss:
    return lambda logits, labels, targets: loss(logits, labels)


def _run(
    loss: RowLoss,
    stream: str,
    attempts: int,
    steps: int,
    model: Classifier,
    images: Tensor,
    labels: Tensor,
    eps: float,
    run: Run,
    repeats: int = 1,
    targeted: bool = False,
) -> AttackResult:
    def search(ball: Ball, seed: int) -> ApgdSearch:
        kind = SparseApgdSearch if ball.sparse else ApgdSearch
        return kind(
            ball=ball,
            loss=loss,
            eps=eps,
            length=kind.evaluations(positive("steps", steps)),
            attempts=attempts,
            seed=seed,
            stream=stream,
            targeted=targeted,
        )

    return run_native(search, model, images, labels, eps=eps, repeats=repeats, **run)


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
        eot: gradients averaged a step (expectation over transformation), for models that draw random numbers.

    Other arguments, the result and the errors are those of `pgd`.
    """
    loss, attempts = _untargeted(cross_entropy), positive("restarts", restarts)
    return _run(loss, "apgd-ce", attempts, steps, model, images, labels, eps, run, eot)


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
    loss, attempts = _untargeted(dlr), positive("restarts", restarts)
    return _run(loss, "apgd-dlr", attempts, steps, model, images, labels, eps, run, eot)


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
    return _run(targeted_dlr, "apgd-t", attempts, steps, model, images, labels, eps, run, eot, targeted=True)
