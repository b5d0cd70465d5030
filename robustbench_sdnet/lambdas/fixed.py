"""One lambda for every image."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor, nn

from ..errors import InputError


@dataclass(frozen=True, slots=True)
class Fixed:
    """The same number whatever the image."""

    value: float
    differentiable = False  # a constant has no gradient to follow

    def __post_init__(self) -> None:
        if not 0 <= self.value < math.inf:
            raise InputError(f"lambda must be finite and not negative, got {self.value}.")

    @property
    def name(self) -> str:
        """The number."""
        return f"{self.value:g}"

    def __call__(self, model: nn.Module, images: Tensor) -> Tensor:
        """(n,) times the number."""
        return images.new_full((len(images),), self.value)

    def identity(self) -> str:
        """Empty: the name says it all."""
        return ""
