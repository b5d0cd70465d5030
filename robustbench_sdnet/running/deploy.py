"""A model as it is deployed: at a fixed lambda, or behind a policy that chooses lambda from the input."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..draws import seeded
from ..lambdas import WithPolicy, sweep_lambdas
from ..specs import Cell, LambdaSpec
from ..zoo import use_lambda
from ..zoo.nets.layout import laid_out
from ..zoo.others.guard import named_errors
from .predict import checked, pad, predict, screened

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


def seeding(cell: Cell, ids: NDArray[np.int64], device: str) -> AbstractContextManager[None]:
    """Around everything that a randomised model answers of a cell on the samples `ids`; nothing around others."""
    if cell.model.repeats is None:
        return nullcontext()
    return seeded(0, f"{cell.id}:{ids[0]}:{ids[-1]}", device)


@dataclass(frozen=True, eq=False)
class BatchLogits:
    """One batch at one lambda.

    Attributes:
        logits: (n, classes) float32.
        lam: the lambda that was used: a number, (n,) or None.
        passes: forward passes of samples that it took.
    """

    logits: Tensor
    lam: float | Tensor | None
    passes: int


def logits_at_each(
    model: nn.Module,
    images: Tensor,
    lams: Sequence[LambdaSpec | None],
    policies: Policies,
    *,
    size: int,
    name: str,
    screen: bool,
) -> Iterator[BatchLogits]:
    """The logits of one batch at each lambda.

    Lambdas of the stem share what lambda does not touch; which others are asked for changes no answer.

    Args:
        images: (n, 3, h, w), padded to `size` for the model.
        name: the model, for messages.
        screen: pass in bfloat16 and repeat close calls in float32, see `predict.screened`.

    Raises:
        ModelError: the model raised, or its output is not finite logits.
    """
    n = len(images)
    with named_errors(name), torch.no_grad():
        values = [lambda_of(model, images, lam, policies) for lam in lams]
        with torch.autocast(images.device.type, torch.bfloat16, enabled=screen):
            passed = list(_passed(model, images, lams, values, size, name))
    for lam, value, logits in zip(lams, values, passed, strict=True):
        repeated = 0
        if screen:

            def exact(rows: Tensor, lam: LambdaSpec | None = lam) -> Tensor:
                with deployed(model, lam, policies) as classifier:
                    return predict(classifier, images[rows], batch_size=size, name=name)

            logits, repeated = screened(logits, exact)
        passes_each = 1 + (policies[lam].passes if lam and lam.fixed is None else 0)
        yield BatchLogits(logits, value, passes_each * (n + repeated))


def _passed(
    model: nn.Module,
    images: Tensor,
    lams: Sequence[LambdaSpec | None],
    values: Sequence[float | Tensor | None],
    size: int,
    name: str,
) -> Iterator[Tensor]:
    """(n, classes) logits at each lambda; successive lambdas of one scope are passed together."""
    batch, n = laid_out(model, pad(images, size)), len(images)
    for scope, pairs in groupby(zip(lams, values, strict=True), key=lambda pair: pair[0] and pair[0].scope):
        numbers = (value for _, value in pairs if value is not None)
        swept = [pad(value, size) if isinstance(value, Tensor) else value for value in numbers]
        outputs = sweep_lambdas(model, batch, swept, scope=scope) if scope else iter([model(batch)])
        for output in outputs:
            yield checked(output, size, name)[:n].float()


def lambda_of(
    model: nn.Module, images: Tensor, lam: LambdaSpec | None, policies: Policies
) -> float | Tensor | None:
    """The lambda that images are answered at: a number, (n,) behind a policy, or None without any."""
    if lam is None:
        return None
    return policies[lam](model, images) if lam.fixed is None else lam.fixed
