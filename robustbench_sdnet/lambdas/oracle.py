"""The best lambda in hindsight: chosen on test labels, so an upper bound and never a result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..errors import InputError
from ..specs.lambdas import LAMBDAS
from .sweep import sweep_lambdas


@dataclass(frozen=True, slots=True)
class Oracle:
    """The lambda that was best on the labels of one corruption at one severity.

    Attributes:
        value: that lambda.
        accuracies: (lambda, accuracy) of every candidate, for the record.
    """

    value: float
    accuracies: tuple[tuple[float, float], ...] = ()

    @property
    def name(self) -> str:
        """ "oracle"."""
        return "oracle"

    @property
    def upper_bound(self) -> bool:
        """True: it has seen the test labels."""
        return True

    @property
    def differentiable(self) -> bool:
        """False: a constant has no gradient to follow."""
        return False

    def __call__(self, model: nn.Module, images: Tensor) -> Tensor:
        """(n,) times the chosen number."""
        return images.new_full((len(images),), self.value)

    def identity(self) -> str:
        """The chosen number: it depends on the labels."""
        return f"{self.value:g}"


def best_lambda(right: Tensor, lambdas: Sequence[float]) -> Oracle:
    """The lambda with the most right answers; of equals, the smallest.

    Args:
        right: (lambdas, n) bool.
        lambdas: as many numbers.

    Raises:
        InputError: no images, or another number of lambdas.
    """
    if right.dim() != 2 or right.shape[0] != len(lambdas) or right.numel() == 0:
        raise InputError(
            f"An oracle needs (lambdas, n) outcomes, got {tuple(right.shape)} for {len(lambdas)} lambdas."
        )
    pairs = sorted(zip((float(value) for value in lambdas), right.double().mean(1).tolist(), strict=True))
    best = max(pairs, key=lambda pair: (pair[1], -pair[0]))
    return Oracle(best[0], tuple(pairs))


def choose_oracle(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    lambdas: Sequence[float] = LAMBDAS,
    *,
    scope: str = "stem",
    batch_size: int = 250,
) -> Oracle:
    """Try every lambda on test images and keep the best: one oracle for each corruption and severity.

    Args:
        images: (n, 3, h, w) in [0, 1], of one corruption at one severity.
        labels: (n,) int64, the test labels it is allowed to see.
    """
    if len(images) == 0:
        raise InputError("An oracle needs at least one image, got none.")
    rights = []
    with torch.no_grad():
        for start in range(0, len(images), batch_size):
            part, truth = (values[start : start + batch_size] for values in (images, labels))
            answers = sweep_lambdas(model, part, lambdas, scope=scope)
            rights.append(torch.stack([logits.argmax(1) == truth for logits in answers]))
    return best_lambda(torch.cat(rights, 1), lambdas)
