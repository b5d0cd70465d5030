"""Lambda policies of a run: read by name, fitted once a model on training images, kept beside the store.

A fitted policy's hash is part of the cell (`LambdaSpec.fit`), so answers of two fits are never mixed up.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InputError, StoreError
from ..specs import LambdaSpec, ModelSpec, canonical, decimal_text
from ..specs.lambdas import DEFAULT_CALIBRATION, LAMBDAS, parse_policy

if TYPE_CHECKING:
    from torch import nn

    from ..data import ImageData
    from ..lambdas import CalibratedFit, Policy

CALIBRATION_IMAGES = (
    200  # of the training split; each is seen clean and at half of the 35 published noise levels
)
FITTED = ("calibrated", "label-free")
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


def expand_oracle(lambdas: Sequence[LambdaSpec]) -> tuple[LambdaSpec, ...]:
    """Replace "oracle" by the numbers it chooses from; the choice itself is made from their answers, in the records."""
    found: dict[LambdaSpec, None] = {}
    for lam in lambdas:
        if lam.text == "oracle":
            found.update((LambdaSpec(decimal_text(value), lam.scope), None) for value in LAMBDAS)
        else:
            found[lam] = None
    return tuple(found)


def fit_policies(
    models: Sequence[ModelSpec],
    lambdas: Sequence[LambdaSpec],
    *,
    load: Callable[[ModelSpec], nn.Module],
    training_data: Callable[[], ImageData],
    folder: Path,
    device: str,
    count: int = CALIBRATION_IMAGES,
    on_fit: OnFit = silent,
) -> dict[Key, tuple[LambdaSpec, Policy]]:
    """Fit every policy for every model that has a lambda.

    Args:
        lambdas: numbers and policies; numbers are passed over.
        training_data: fetches the training split, called when a fit is needed.
        count: how many training images a fit looks at.
        folder: where fits are kept, JSON and picture, by the hash of what they were made from.
        on_fit: called before a fit that takes time, and after each of its steps.

    Returns:
        (the model's key, lambda as asked) to (lambda with its fit's hash, policy).
    """
    found: dict[Key, tuple[LambdaSpec, Policy]] = {}
    for lam in lambdas:
        if lam.fixed is not None:
            continue
        if parse_policy(lam.text).name not in FITTED:
            raise InputError(
                f"Lambda policy '{lam.text}' has no rule to deploy. Take calibrated or label-free."
            )
        for model in models:
            if model.has_lambda:
                policy = _fitted(model, lam, load, training_data(), folder, device, count, on_fit)
                found[model.key, lam] = (replace(lam, fit=policy.identity()), policy)
    return found


def _fitted(
    model: ModelSpec,
    lam: LambdaSpec,
    load: Callable[[ModelSpec], nn.Module],
    data: ImageData,
    folder: Path,
    device: str,
    count: int,
    on_fit: OnFit,
) -> Policy:
    from ..data.tensors import to_images
    from ..lambdas import Calibrated, CalibratedFit, LabelFree, calibrate, reference
    from ..lambdas.calibrated import VERSION

    asked, count = parse_policy(lam.text), min(count, len(data))
    if asked.name == "label-free":
        clean = to_images(data.images(0, count), device)
        return LabelFree(asked.criterion, reference=reference(load(model), clean), scope=lam.scope)
    rule = asked.criterion or DEFAULT_CALIBRATION
    made_from = canonical(
        {
            **model.identity(),
            "data": data.content_hash,
            "images": count,
            "scope": lam.scope,
            "version": VERSION,
        }
    )
    path = folder / f"calibrated-{hashlib.sha256(made_from.encode()).hexdigest()[:16]}.json"
    if path.exists():
        return Calibrated(CalibratedFit.from_json(path.read_text()), rule)
    started = time.monotonic()
    fit = calibrate(
        load(model),
        data.images(0, count),
        data.labels[:count],
        scope=lam.scope,
        sample_ids=data.ids[:count].tolist(),
        device=device,
        source=data.content_hash,
        weights=model.weights,
        on_level=lambda done, steps: on_fit(FitProgress(model, lam, done, steps, time.monotonic() - started)),
    )
    _keep(path, fit)
    return Calibrated(fit, rule)


def _keep(path: Path, fit: CalibratedFit) -> None:
    from ..lambdas.plots import plot_fit

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(f".{os.getpid()}")
        temporary.write_text(fit.to_json())
        temporary.replace(path)
        plot_fit(fit, path.with_suffix(".png"))
    except OSError as error:
        raise StoreError(f"Cannot keep the lambda fit {path}: {error.strerror}.") from None


def resolved(
    model: ModelSpec, lambdas: Sequence[LambdaSpec], fits: Mapping[Key, tuple[LambdaSpec, Policy]]
) -> tuple[LambdaSpec, ...]:
    """A model's lambdas with the hashes of its fits."""
    return tuple(fits[model.key, lam][0] if (model.key, lam) in fits else lam for lam in lambdas)
