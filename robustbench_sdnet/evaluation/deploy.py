"""A model as it is deployed: at a fixed lambda, or behind a policy that chooses lambda from the input."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from ..specs import LambdaSpec
from .predict import logits

Classifier = Callable[[Tensor], Tensor]


@contextmanager
def deployed(model: nn.Module, lam: LambdaSpec | None) -> Iterator[nn.Module]:
    """The classifier that answers at `lam`; a model without CSC layers (None) as it is."""
    from ..zoo import use_lambda

    if lam is None:
        yield model
        return
    value = lam.fixed
    if value is None:
        raise NotImplementedError
    with use_lambda(model, value, scope=lam.scope):
        yield model


def logits_at_each(
    model: nn.Module, images: Tensor, lams: Sequence[LambdaSpec | None], *, size: int, name: str
) -> Iterator[tuple[Tensor, float | Tensor | None]]:
    """The logits of one batch at each lambda, with the lambda that was used: a number, (n,) or None."""
    for lam in lams:
        with deployed(model, lam) as classifier, torch.no_grad():
            yield logits(classifier, images, size=size, name=name), None if lam is None else lam.fixed
