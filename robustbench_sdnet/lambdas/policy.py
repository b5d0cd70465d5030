"""What a policy is."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor, nn


class Policy(Protocol):
    """A pure function from a model and images to one lambda a sample.

    Attributes:
        name: how tables name it.
        upper_bound: it has seen test labels, so that its accuracy is a bound and no result.
        differentiable: its lambda has a useful gradient with respect to the images.
    """

    @property
    def name(self) -> str: ...

    @property
    def upper_bound(self) -> bool: ...

    @property
    def differentiable(self) -> bool: ...

    def __call__(self, model: nn.Module, images: Tensor) -> Tensor:
        """(n,) lambdas of images (n, 3, h, w) in [0, 1], in their dtype; the model is left as it is."""

    def identity(self) -> str:
        """A hash of everything fitted that its lambdas depend on; empty when nothing is."""
