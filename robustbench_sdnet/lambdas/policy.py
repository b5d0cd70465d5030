"""What a policy is, and what it may look at when it is fitted for a model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

from torch import Tensor, nn

from ..data.images import ImageData
from ..errors import InputError
from ..specs import ModelSpec
from ..specs.lambdas import POLICIES, PolicyName


class Policy(Protocol):
    """A pure function from a model and images to one lambda a sample.

    Attributes:
        name: how tables name it.
        differentiable: its lambda has a useful gradient with respect to the images.
    """

    @property
    def name(self) -> str: ...

    @property
    def differentiable(self) -> bool: ...

    def __call__(self, model: nn.Module, images: Tensor) -> Tensor:
        """(n,) lambdas of images (n, 3, h, w) in [0, 1], in their dtype; the model is left as it is."""

    def identity(self) -> str:
        """A hash of everything fitted that its lambdas depend on; empty when nothing is."""


class Kept(Protocol):
    """Where fits are kept, so that a model's is made once."""

    def read(self, name: str) -> str | None:
        """The text kept under that name, or None."""

    def keep(self, name: str, text: str, draw: Callable[[Path], object]) -> None:
        """Keep a text, and beside it the picture that `draw` writes into a file."""


@dataclass(frozen=True, kw_only=True)
class Fitting:
    """A model and the images that a policy is fitted on; no test label is within reach of a rule that does not say so.

    Attributes:
        model, load: the model by its weights, and the network itself when it is asked for.
        data: the training split; for a rule on test labels the images that are asked.
        count: how many of its images to look at.
        scope: the layers that lambda will be set on, "stem" or "all".
        on_step: called with the steps done and all steps of a fit that takes time.
    """

    model: ModelSpec
    load: Callable[[ModelSpec], nn.Module]
    data: ImageData
    count: int
    scope: str
    device: str
    kept: Kept
    on_step: Callable[[int, int], None]


def deploy(asked: PolicyName, fitting: Fitting) -> Policy:
    """Fit a policy for a model, or read the fit that is kept; InputError where it has no rule to deploy."""
    row = POLICIES[asked.name]
    if not row.home:
        able = " or ".join(name for name, other in POLICIES.items() if other.home)
        raise InputError(f"Lambda policy '{asked.text}' has no rule to deploy. Take {able}.")
    return cast("Policy", import_module(f".{row.home}", __package__).deploy(asked.detail, fitting))
