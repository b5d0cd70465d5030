"""One batch at many lambdas, without repeating what lambda does not touch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from torch import Tensor, nn

from ..zoo.nets.control import use_lambda
from ..zoo.nets.csc import SparseCoding
from ..zoo.nets.sdnet import Classifier
from .stem import stem_of


def sweep_lambdas(
    model: nn.Module, images: Tensor, lambdas: Sequence[float | Tensor], *, scope: str = "stem"
) -> Iterator[Tensor]:
    """The logits of one batch at each lambda, one after the other.

    Logits at a lambda do not depend on which others are asked for. They agree with a forward pass under
    `use_lambda` to rounding: the analysis of the stem is shared, so sums are taken in another order.

    Args:
        model: in evaluation mode, with sparse coding layers.
        images: (n, 3, h, w) in [0, 1].
        lambdas: numbers, or one value a sample (n,).
        scope: "stem" or "all" layers.

    Yields:
        (n, classes) logits for each lambda in order.

    Raises:
        InputError: the model has no sparse coding layers, or a lambda is out of range.
    """
    # A model around one of ours may look at the stem twice, or at other images: only ours is known to share.
    if scope != "stem" or not isinstance(model, Classifier):
        yield from _one_by_one(model, images, lambdas, scope)
        return
    stem = stem_of(model, images)
    if not stem.shares_analysis:
        yield from _one_by_one(model, images, lambdas, scope)
        return
    for code in stem.codes(_checked(model, lambdas)):
        with _coded(stem.layer, code):
            logits = model(images)
        yield logits


def _one_by_one(
    model: nn.Module, images: Tensor, lambdas: Iterable[float | Tensor], scope: str
) -> Iterator[Tensor]:
    for lam in lambdas:
        with use_lambda(model, lam, scope=scope):
            logits = model(images)
        yield logits


def _checked(model: nn.Module, lambdas: Iterable[float | Tensor]) -> Iterator[float | Tensor]:
    """The lambdas, each refused where `use_lambda` would refuse it."""
    for lam in lambdas:
        with use_lambda(model, lam):
            pass
        yield lam


@contextmanager
def _coded(layer: SparseCoding, code: Tensor) -> Iterator[None]:
    """The layer answers with a code that is known already, whatever its input; the class is not touched."""
    # On the instance, which mypy does not allow, so that nothing else is.
    layer.forward = lambda x: code  # type: ignore[method-assign]
    try:
        yield
    finally:
        del layer.forward
