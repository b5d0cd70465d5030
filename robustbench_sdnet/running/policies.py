"""Lambda policies of a run: read by name, fitted once a model on training images, kept beside the store.

A fitted policy's hash is part of the cell (`LambdaSpec.fit`), so answers of two fits are never mixed up.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import CheckpointError, ModelError
from ..lambdas.policy import Fitting, deploy
from ..planning.setting import CALIBRATION_IMAGES
from ..specs import LambdaSpec, ModelSpec, decimal_text
from ..specs.lambdas import POLICIES, parse_policy
from ..store.fits import Fits
from ..zoo.others.guard import named_errors

if TYPE_CHECKING:
    from torch import nn

    from ..data import ImageData
    from ..lambdas import Policy

Key = tuple[str, LambdaSpec]


@dataclass(frozen=True)
class FitProgress:
    """How far the fit of a policy has come: steps done of all, none at first, and the seconds they took."""

    model: ModelSpec
    lam: LambdaSpec
    done: int
    steps: int
    seconds: float


OnFit = Callable[[FitProgress], None]


def silent(_: FitProgress) -> None:
    """Say nothing of a fit."""


def expand(lambdas: Sequence[LambdaSpec]) -> tuple[LambdaSpec, ...]:
    """Replace "oracle" by the numbers it chooses from; the choice itself is made from their answers, in the records."""
    found: dict[LambdaSpec, None] = {}
    for lam in lambdas:
        numbers = () if lam.fixed is not None else POLICIES[parse_policy(lam.text).name].numbers
        found.update((LambdaSpec(decimal_text(value), lam.scope), None) for value in numbers)
        if not numbers:
            found[lam] = None
    return tuple(found)


def fit_policies(
    models: Sequence[ModelSpec],
    lambdas: Sequence[LambdaSpec],
    *,
    load: Callable[[ModelSpec], nn.Module],
    training_data: Callable[[], ImageData],
    test_data: ImageData,
    folder: Path,
    device: str,
    count: int = CALIBRATION_IMAGES,
    on_fit: OnFit = silent,
    failed: dict[str, str] | None = None,
) -> dict[Key, tuple[LambdaSpec, Policy]]:
    """Fit every policy for every model that has a lambda.

    Args:
        lambdas: numbers and policies; numbers are passed over.
        training_data: fetches the training split, called when a fit is needed.
        test_data: the images that are asked, for a policy that is drawn on their labels and says so.
        count: how many training images a fit looks at.
        folder: where fits are kept, JSON and picture, by the hash of what they were made from.
        on_fit: called before a fit that takes time, and after each of its steps.
        failed: takes by name why models failed, which are then left out; None raises what they raise.

    Returns:
        (the model's key, lambda as asked) to (lambda with its fit's hash, policy).

    Raises:
        ModelError: a model failed.
    """
    found: dict[Key, tuple[LambdaSpec, Policy]] = {}
    for lam in (lam for lam in lambdas if lam.fixed is None):
        for model in (model for model in models if model.has_lambda and model.name not in (failed or ())):
            data = test_data if lam.upper_bound else training_data()
            fitting = Fitting(
                model=model,
                load=load,
                data=data,
                count=min(count, len(data)),
                scope=lam.scope,
                device=device,
                kept=Fits(folder),
                on_step=_telling(on_fit, model, lam),
            )
            try:
                with named_errors(model.name, f"while {lam.text} was fitted"):
                    policy = deploy(parse_policy(lam.text), fitting)
            except (ModelError, CheckpointError) as error:
                if failed is None:
                    raise
                failed[model.name] = str(error)
                continue
            found[model.key, lam] = (replace(lam, fit=policy.identity()), policy)
    return found


def _telling(on_fit: OnFit, model: ModelSpec, lam: LambdaSpec) -> Callable[[int, int], None]:
    started = time.monotonic()
    return lambda done, steps: on_fit(FitProgress(model, lam, done, steps, time.monotonic() - started))


def resolved(
    model: ModelSpec, lambdas: Sequence[LambdaSpec], fits: Mapping[Key, tuple[LambdaSpec, Policy]]
) -> tuple[LambdaSpec, ...]:
    """A model's lambdas with the hashes of its fits."""
    return tuple(fits[model.key, lam][0] if (model.key, lam) in fits else lam for lam in lambdas)
