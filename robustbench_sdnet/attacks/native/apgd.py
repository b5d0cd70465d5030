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


class Apgd(Run, total=False):
    """What every Auto-PGD takes beside its restarts or targets; `apgd_ce` says what each means."""

    steps: int
    eot: int


def _search(*, ball: Ball, steps: int, **how: Any) -> ApgdSearch:
    """The search of a ball, a sparse one where few values should move at a time."""
    kind = SparseApgdSearch if ball.sparse else ApgdSearch
    return kind(ball=ball, length=kind.evaluations(positive("steps", steps)), **how)


def _run(
    how: dict[str, Any],
    model: Classifier,
    images: Tensor,
    labels: Tensor,
    eps: float,
    *,
    steps: int = 100,
    eot: int = 1,
    **run: Unpack[Run],
) -> AttackResult:
    """Run the search of `how`, which no option of a caller reaches."""
    search = partial(_search, steps=steps, **how)
    return run_native(how["stream"], search, model, images, labels, eps=eps, repeats=eot, **run)


_apgd = partial(attack, options=Apgd, core=_run)


@_apgd
def apgd_ce(
    model: Classifier, images: Tensor, labels: Tensor, *, eps: float, restarts: int = 1, **run: Unpack[Apgd]
) -> AttackResult:
    """Auto-PGD on the cross-entropy.

    Args:
        restarts: runs per sample, each from its own random point on the sphere.
        steps: gradient steps per restart, 100 by default.
        eot: gradients averaged per step (expectation over transformation), for models that draw random numbers; 1 by
            default.

    Other arguments, the result and the errors are those of `pgd`.
    """
    how = {"loss": cross_entropy, "stream": "apgd-ce", "attempts": positive("restarts", restarts)}
    return _run(how, model, images, labels, eps, **run)


@_apgd
def apgd_dlr(
    model: Classifier, images: Tensor, labels: Tensor, *, eps: float, restarts: int = 1, **run: Unpack[Apgd]
) -> AttackResult:
    """Auto-PGD on the difference of logits ratio; arguments as in `apgd_ce`."""
    how = {"loss": dlr, "stream": "apgd-dlr", "attempts": positive("restarts", restarts)}
    return _run(how, model, images, labels, eps, **run)


@_apgd
def apgd_t(
    model: Classifier, images: Tensor, labels: Tensor, *, eps: float, targets: int = 9, **run: Unpack[Apgd]
) -> AttackResult:
    """Auto-PGD on the targeted DLR loss, towards one wrong class after another, the most likely first.

    Args:
        targets: at most this many classes; a model with fewer wrong classes has all of them attacked.
        steps: gradient steps per target, 100 by default.
        eot: as in `apgd_ce`.

    Other arguments, the result and the errors are those of `pgd`.
    """
    attempts = positive("targets", targets)
    how = {"loss": targeted_dlr, "stream": "apgd-t", "attempts": attempts, "targeted": True}
    return _run(how, model, images, labels, eps, **run)
