"""What a policy is, a model that follows one, and what a policy may look at when it is fitted for a model."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast

import torch
from torch import Tensor, nn

from ..data.images import ImageData
from ..errors import DataError, InputError
from ..reading.numbers import number
from ..specs import ModelSpec, canonical, decimal_text
from ..specs.lambdas import POLICIES, PolicyName, check_deployed
from ..wording import shown
from ..zoo.nets.control import has_lambda, one_thread, use_lambda
from ..zoo.nets.hooks import looking

GRADIENTS = ("through", "bpda")
T = TypeVar("T")


class Policy(Protocol):
    """A pure function from a model and images to one lambda per sample.

    Attributes:
        name: how tables name it.
        differentiable: its lambda has a useful gradient with respect to the images.
        passes: passes through the whole network per image that choosing takes; 0 if it uses the stem alone.
    """

    @property
    def name(self) -> str: ...

    @property
    def differentiable(self) -> bool: ...

    @property
    def passes(self) -> int: ...

    def __call__(self, model: nn.Module, images: Tensor) -> Tensor:
        """(n,) lambdas of images (n, 3, h, w) in [0, 1], in their dtype; the model is left as it is."""

    def identity(self) -> str:
        """A hash of everything fitted that its lambdas depend on; empty when nothing is."""


@dataclass(frozen=True, slots=True)
class Fixed:
    """One lambda for every image."""

    value: float
    differentiable = False  # a constant has no gradient to follow
    passes = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "value", number(self.value, "lambda must be finite and not negative", 0))

    @property
    def name(self) -> str:
        """The number."""
        return decimal_text(self.value)

    def __call__(self, model: nn.Module, images: Tensor) -> Tensor:
        """(n,) times the number."""
        return images.new_full((len(images),), self.value)

    def identity(self) -> str:
        """Empty: the name says it all."""
        return ""


class WithPolicy(nn.Module):
    """Logits of each image at the lambda the policy chooses for it.

    Attributes:
        model: a model with sparse coding layers.
        policy: from (model, images) to lambda (n,).
        scope: "stem" or "all" layers.
        gradient: "through" differentiates lambda(x) as well; "bpda" holds lambda constant in the backward
            pass (Athalye et al. 2018, arXiv:1802.00420), the one to take for a policy without a useful
            gradient.
    """

    chooses_lambda = True  # which `use_lambda` would set in vain

    def __init__(
        self, model: nn.Module, policy: Policy, *, scope: str = "stem", gradient: str = "through"
    ) -> None:
        super().__init__()
        if not has_lambda(model):
            raise InputError(
                "This model has no sparse coding layers, so it has no lambda for a policy to choose."
            )
        if not callable(policy):
            raise InputError(f"policy must be one such as lambdas.Fixed(0.5), got {shown(repr(policy))}.")
        if gradient not in GRADIENTS:
            raise InputError(f"gradient must be 'through' or 'bpda', got '{gradient}'.")
        self.model, self.policy, self.scope, self.gradient = model, policy, scope, gradient
        self.train(model.training)

    @property
    def network_passes(self) -> int:
        """Passes through the network that an image takes, with those that choose its lambda."""
        return 1 + int(getattr(self.policy, "passes", 0))

    def lambdas(self, images: Tensor) -> Tensor:
        """(n,) lambda of each image."""
        follows = self.gradient == "through" and self.policy.differentiable
        with looking(), torch.set_grad_enabled(follows and torch.is_grad_enabled()):
            return self.policy(self.model, images)

    def forward(self, images: Tensor) -> Tensor:
        """(n, classes) logits of images (n, 3, h, w) in [0, 1]; threads that share the model take turns."""
        with one_thread(self.model), use_lambda(self.model, self.lambdas(images), scope=self.scope):
            logits: Tensor = self.model(images)
        return logits


class Kept(Protocol):
    """Where fits are kept, so that a model's is made once."""

    def read(self, name: str) -> str | None:
        """The text kept under that name, or None."""

    def one_process(self, name: str) -> AbstractContextManager[None]:
        """Hold a name in the block against other processes, which wait for the fit that is made there."""

    def keep(self, name: str, text: str, draw: Callable[[Path], object] = ...) -> None:
        """Keep a text, and beside it the picture that `draw` writes into a file."""

    def forget(self, name: str) -> None:
        """Keep it no longer."""


class Measure(Protocol):
    """Asks a network, on whatever workers have it."""

    def __call__(
        self, ask: Callable[..., T], arguments: Sequence[Callable[[], tuple[Any, ...]]]
    ) -> Iterator[tuple[int, T]]:
        """What `ask(network, device, *arguments)` returns for each of the arguments, with its number, as they come.

        Args:
            ask: a function of a module; what it is given and returns may travel.
            arguments: made when their turn comes.
        """


@dataclass(frozen=True, kw_only=True)
class Fitting:
    """A model and the images that a policy is fitted on; no test label is within reach of a rule that does not say so.

    Attributes:
        model, measure: the model by its weights, and what asks the network itself.
        data: the training split; for a rule on test labels the images that are asked.
        count: how many of its images to look at, see `ImageData.positions`.
        scope: the layers that lambda will be set on, "stem" or "all".
        batch_size: the most images to ask the network at once.
    """

    model: ModelSpec
    measure: Measure
    data: ImageData
    count: int
    scope: str
    batch_size: int
    kept: Kept

    def kept_as(self, policy: str, **more: Any) -> str:
        """The name to keep a policy's fit under: it hashes the model, the images, and whatever `more` decides it."""
        positions = self.data.positions(self.count)
        apart = {} if positions[-1] == self.count - 1 else {"positions": "evenly apart"}
        images = {"data": self.data.content_hash, "images": self.count, **apart}
        made_from = canonical({**self.model.identity(), **images, **more})
        return f"{policy}-{hashlib.sha256(made_from.encode()).hexdigest()[:16]}"

    def once(self, name: str, read: Callable[[str], T], make: Callable[[], T]) -> T:
        """What is kept under a name; where nothing is, or what is damaged, one process makes and keeps it.

        Args:
            read: from the text that is kept; a DataError for a damaged one.
            make: makes it, and keeps its text in `kept`.
        """
        found = self.at_hand(name, read)
        if found is None:
            with self.kept.one_process(name):
                found = self.at_hand(name, read) or make()
        return found

    def at_hand(self, name: str, read: Callable[[str], T]) -> T | None:
        """What is kept under a name, None for nothing or what is damaged; `read` as for `once`."""
        text = self.kept.read(name)
        with suppress(DataError):
            return None if text is None else read(text)
        return None


def deploy(asked: PolicyName, fitting: Fitting) -> Policy:
    """Fit a policy for a model, or read the fit that is kept; InputError where it has no rule to deploy."""
    check_deployed(asked)
    home = import_module(f".{POLICIES[asked.name].home}", __package__)
    return cast("Policy", home.deploy(asked.detail, fitting))
