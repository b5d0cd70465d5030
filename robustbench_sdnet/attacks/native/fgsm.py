"""Fast gradient sign method (Goodfellow et al. 2015, arXiv:1412.6572): one full step from the image."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from ..engine.passes import Classifier
from ..engine.result import AttackResult
from .pgd import PgdSearch
from .wrapper import run_native


def fgsm(
    model: Classifier,
    images: Tensor,
    labels: Tensor,
    *,
    eps: float,
    norm: str = "linf",
    early_stop: bool = True,
    precision: str = "auto",
    seed: int = 0,
    sample_ids: Tensor | Sequence[int] | None = None,
    batch_size: int | None = None,
) -> AttackResult:
    """x + eps * sign(gradient of the cross-entropy), or the step of l2 length eps; arguments as in `pgd`."""
    search = PgdSearch(eps=eps, norm=norm, steps=1, step_size=eps, random_start=False, attempts=1, seed=seed)
    return run_native(
        search, model, images, labels, eps=eps, norm=norm, precision=precision, sample_ids=sample_ids,
        batch_size=batch_size, early_stop=early_stop,
    )  # fmt: skip
