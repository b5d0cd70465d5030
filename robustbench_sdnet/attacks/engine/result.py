"""What an attack hands back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class AttackResult:
    """Per-sample outcomes of one attack; every prediction is a float32 (or float64) one.

    Attributes:
        images: (n, c, h, w) what the attack found, inside the ball and in [0, 1], in the dtype of the input.
        clean: (n,) bool, the unperturbed image is classified correctly.
        robust: (n,) bool, correct before and at `images`.
        broken_at: (n,) int64: -1 robust, 0 misclassified from the start, k >= 1 the step of the first
            confirmed success, counted through restarts and targets.
        margin: (n,) float32, logit of the label minus the largest other logit, at `images`.
        forwards: samples passed forward through the model.
        backwards: samples passed backward through the model.
        gradients: samples whose first gradient was looked at, where the prediction was still right.
        silent: those of them whose first gradient was zero or not finite, so that the attack stands still.
        extra: what only some attacks have, such as `distance` (n,) of a minimal-norm attack, or
            `lost_success` (n,) bool: broken on the way, not at the end (only with `early_stop=False`), and
            `cycled` (n,) bool: left since its iterates repeated.
    """

    images: Tensor
    clean: Tensor
    robust: Tensor
    broken_at: Tensor
    margin: Tensor
    forwards: int
    backwards: int
    gradients: int = 0
    silent: int = 0
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def robust_accuracy(self) -> float:
        """Share of robust samples in [0, 1]; NaN without samples."""
        return float(self.robust.double().mean())

    @property
    def clean_accuracy(self) -> float:
        """Share of samples that are right before the attack, in [0, 1]; NaN without samples."""
        return float(self.clean.double().mean())
