"""A model as it is deployed: at a fixed lambda, or behind a policy that chooses lambda from the input."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import groupby
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ..lambdas import WithPolicy, sweep_lambdas
from ..specs import LambdaSpec
from ..zoo import use_lambda
from .predict import checked, named_errors, pad

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
    """The logits of one batch at each lambda, with the lambda that was used: a number, (n,) or None.

    Lambdas of the stem share what lambda does not touch; which others are asked for changes no answer.

    Args:
        images: (n, 3, h, w), padded to `size` for the model.
        name: the model, for messages.

    Raises:
        ModelError: the model raised, or its output is not finite logits.
    """
    batch, n = pad(images, size), len(images)
    with named_errors(name), torch.no_grad():
        for scope, together in groupby(lams, key=lambda lam: lam and lam.scope):
            if scope is None:
                for _ in together:
                    yield checked(model(batch), size, name)[:n], None
                continue
            values = [_value(model, batch, lam, policies) for lam in together if lam is not None]
            for found, value in zip(sweep_lambdas(model, batch, values, scope=scope), values, strict=True):
                used = value[:n] if isinstance(value, Tensor) else value
                yield checked(found, size, name)[:n], used


def _value(model: nn.Module, images: Tensor, lam: LambdaSpec, policies: Policies) -> float | Tensor:
    return policies[lam](model, images) if lam.fixed is None else lam.fixed
