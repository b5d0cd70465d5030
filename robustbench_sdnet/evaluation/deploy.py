"""A model as it is deployed: at a fixed lambda, or behind a policy that chooses lambda from the input."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ..specs import LambdaSpec
from .predict import logits

if TYPE_CHECKING:
    from ..lambdas import Policy

Policies = Mapping[LambdaSpec, "Policy"]
"""What a model's input-dependent lambdas stand for."""


@contextmanager
def deployed(model: nn.Module, lam: LambdaSpec | None, policies: Policies) -> Iterator[nn.Module]:
    """The classifier that answers at `lam`; a model without CSC layers (None) as it is.

    Attacks on a policy differentiate through lambda(x) where it has a useful gradient, and hold lambda constant in
    the backward pass (BPDA) where it has none.
    """
    from ..lambdas import WithPolicy
    from ..zoo import use_lambda

    if lam is None:
        yield model
    elif lam.fixed is None:
        yield WithPolicy(model, policies[lam], scope=lam.scope)
    else:
        with use_lambda(model, lam.fixed, scope=lam.scope):
            yield model


def logits_at_each(
    model: nn.Module,
    images: Tensor,
    lams: Sequence[LambdaSpec | None],
    policies: Policies,
    *,
    size: int,
    name: str,
) -> Iterator[tuple[Tensor, float | Tensor | None]]:
    """The logits of one batch at each lambda, with the lambda that was used: a number, (n,) or None."""
    for lam in lams:
        with deployed(model, lam, policies) as classifier, torch.no_grad():
            used = (
                None if lam is None else lam.fixed if lam.fixed is not None else policies[lam](model, images)
            )
            yield logits(classifier, images, size=size, name=name), used
