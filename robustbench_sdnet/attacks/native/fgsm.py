"""Fast gradient sign method (Goodfellow et al. 2015, arXiv:1412.6572): one full step from the image."""

from __future__ import annotations

from torch import Tensor
from typing_extensions import Unpack

from ..engine.passes import Classifier
from ..engine.result import AttackResult
from .pgd import pgd
from .wrapper import Run, attack


@attack
def fgsm(
    model: Classifier, images: Tensor, labels: Tensor, *, eps: float, **run: Unpack[Run]
) -> AttackResult:
    """x + eps * sign(gradient of the cross-entropy), or the steepest step of length eps; arguments as in `pgd`."""
    return pgd(model, images, labels, eps=eps, steps=1, step_size=eps, random_start=False, **run)
