"""All diagnostics of one model, by its name, on the first images of a data set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from ..data.tensors import to_images
from ..errors import InputError, ModelError
from ..lambdas import Fixed, WithPolicy
from ..planning.identity import shown_name
from ..planning.setting import Setting
from ..running.predict import check_labels, predict
from ..running.ready import Ready, prepare
from ..specs import Eps
from ..zoo import ModelCard, describe_model, load_model
from . import diagnose
from .doubts import training_doubt

if TYPE_CHECKING:
    from torch import nn

    from . import Finding

IMAGES = 100


@dataclass(frozen=True)
class Diagnosis:
    """What sixteen diagnostics say of a model.

    Attributes:
        model: its name.
        data: the data set with its split.
        images: how many were looked at.
        doubt: a line where the model was trained on other data, or None.
        findings: one for each row of `DIAGNOSTICS`, in its order.
    """

    model: str
    data: str
    images: int
    doubt: str | None
    findings: list[Finding]


def diagnose_model(
    setting: Setting,
    eps: Eps,
    *,
    norm: str = "linf",
    lam: float | None = None,
    lambda_scope: str = "stem",
    others: Sequence[str] = (),
    cheap: bool = False,
    seed: int = 0,
) -> Diagnosis:
    """Load the one model of a setting and make every diagnostic of it.

    Args:
        setting: one model; without data, what it was trained on; without a limit, `IMAGES` images.
        eps: the budget under trial, above 0.
        lam: lambda as deployed; None for the training value.
        others: models to transfer perturbations from.
        cheap: only the diagnostics that cost a few passes a sample.

    Raises:
        InputError: an unknown name, an eps of 0, or a lambda for a model that has none.
        ModelError: the model failed.
    """
    card, ready = _ready(setting, eps, lam)
    data, worker, n = ready.data, ready.worker, ready.count
    images = to_images(data.images(0, n), worker.device)
    labels = torch.from_numpy(data.labels[:n]).to(worker.device)
    base = worker.model(ready.models[0])
    classes = predict(base, images[:1], batch_size=1, name=card.name).shape[1]
    check_labels(int(labels.max()), classes, card.name)

    def model_at(value: float) -> nn.Module:
        return WithPolicy(base, Fixed(value), scope=lambda_scope)

    deployed = card.lam if lam is None else lam
    try:
        findings = diagnose(
            base if lam is None else model_at(lam),
            images,
            labels,
            eps=float(eps),
            norm=norm,
            seed=seed,
            cheap=cheap,
            model_at=model_at if deployed is not None else None,
            lambdas=transfer_lambdas(deployed, card.lam),
            others={other: load_model(other, device=worker.device) for other in others},
            sample_ids=torch.from_numpy(data.ids[:n]),
            batch_size=worker.batch_size,
        )
    except ModelError as error:
        raise ModelError(f"{card.name}: {error}") from error
    doubt = training_doubt(card, data, setting.data_root)
    shown = f"{shown_name(data.name)} ({setting.split})"
    return Diagnosis(card.name, shown, n, str(doubt) if doubt else None, findings)


def _ready(setting: Setting, eps: Eps, lam: float | None) -> tuple[ModelCard, Ready]:
    if eps.fraction == 0:
        raise InputError("--eps must be above 0, got 0: without a budget there is nothing to diagnose.")
    card = describe_model(setting.models[0])
    if lam is not None and not card.has_lambda:
        raise InputError(f"{card.name} has no sparse coding layers, so it has no lambda. Leave --lambda out.")
    ready = prepare(
        replace(setting, data=setting.data or card.data or None, limit=setting.limit or IMAGES), stored=False
    )
    return card, ready


def transfer_lambdas(deployed: float | None, trained: float | None) -> tuple[float, ...]:
    """Where perturbations may carry over from: the training lambda, half and twice the deployed one."""
    if deployed is None:
        return ()
    near = {deployed / 2, deployed * 2, trained}
    return tuple(sorted(value for value in near if value is not None and value != deployed))
