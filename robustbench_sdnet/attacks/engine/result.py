"""What an attack hands back, and the sign that it was blind: first gradients that were zero or not finite."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ...devices import exact_mean
from ...statistics import exceeds_rare_rate
from ...wording import counted, share_text

if TYPE_CHECKING:
    from torch import Tensor

    from ...specs import Repeats


@dataclass(frozen=True, eq=False)
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
        silent: those of them whose first gradient was zero everywhere, or not finite somewhere.
        extra: what only some attacks return, such as `distance` (n,) of a minimal-norm attack, or
            `lost_success` (n,) bool: broken on the way, not at the end (only with `early_stop=False`), and
            `cycled` (n,) bool: robust, and its iterates repeated; with `repeats`, `clean_hits` and `hits` (n,) int64:
            how many fresh draws were right, on the image as it was and at `images`.
        repeats: how the answers of a model that draws random numbers were counted; `clean` and `robust` then say what
            is right as a whole, and accuracies count as the protocol does.
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
    repeats: Repeats | None = None

    def __repr__(self) -> str:
        """One line, for a notebook, which the images would fill."""
        images = counted(len(self.clean), "image")
        before, after = share_text(self.clean_accuracy), share_text(self.robust_accuracy)
        right = f": {before} % right before, {after} % after" if len(self.clean) else ""
        return f"<AttackResult of {images}{right}>"

    @property
    def robust_accuracy(self) -> float:
        """Share of robust samples in [0, 1]; NaN without samples."""
        return self._accuracy("hits", self.robust)

    @property
    def clean_accuracy(self) -> float:
        """Share of samples that are right before the attack, in [0, 1]; NaN without samples."""
        return self._accuracy("clean_hits", self.clean)

    def _accuracy(self, counted: str, right: Tensor) -> float:
        hits = self.extra.get(counted)
        counts = right if hits is None or self.repeats is None else self.repeats.credit(hits)
        return exact_mean(counts)


def stands_still(gradients: int, silent: int) -> str | None:
    """What to say of an attack more of whose first gradients were silent than chance explains; None of others."""
    if not exceeds_rare_rate(silent, gradients):
        return None
    return (
        f"The first gradient is zero or not finite on {silent} of {gradients} images, where the attack stalls or "
        "goes astray. Attack with square, which needs none, or find the cause (saturated logits, rounding)."
    )
