"""All diagnostics of one model, by its name, on the first images of a data set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from ..answers.trust import Finding
from ..data.registry import check_clean
from ..data.tensors import first_images
from ..errors import InputError, ModelError, SdnetBenchError
from ..lambdas import Fixed, WithPolicy
from ..planning.identity import model_spec, shown_name
from ..planning.setting import Setting
from ..running.engines import Job
from ..running.predict import classes_of
from ..running.ready import prepare
from ..running.worker import Worker
from ..specs import Eps, LambdaSpec, ModelSpec
from ..specs.models import NO_LAMBDA
from ..zoo import describe_model
from . import diagnose
from .doubts import doubts
from .of_cells import IMAGES


@dataclass(frozen=True)
class Diagnosis:
    """What all diagnostics say of a model.

    Attributes:
        data: the data set with its split.
        findings: one for each row of `DIAGNOSTICS`, in its order.
        notes: a line for whatever the user should know of model, data and workers.
    """

    model: str
    data: str
    images: int
    findings: list[Finding]
    notes: Sequence[str]


def diagnose_model(
    setting: Setting,
    eps: Eps,
    *,
    norm: str,
    lam: LambdaSpec | None,
    others: Sequence[str | Path],
    cheap: bool,
    seed: int,
) -> Diagnosis:
    """Load the one model of a setting and make every diagnostic of it.

    Args:
        setting: one model; without a limit, `IMAGES` images.
        eps: the budget under trial, above 0.
        lam: lambda as deployed, a number; None for the training value.
        others: models to transfer perturbations from.
        cheap: only the diagnostics that cost at most 20 steps a survivor.

    Raises:
        InputError: as `evaluation.diagnose`.
        ModelError: also where it ended every worker that it was given.
        EngineError: no worker could be started.
    """
    check_clean(setting.data, "A diagnosis")
    card = describe_model(setting.models[0])
    if lam is not None and not card.has_lambda:
        raise InputError(f"{card.name} has no lambda to set: {NO_LAMBDA}. Leave out --lambda.")
    setting = replace(setting, limit=setting.limit or IMAGES)
    ready = prepare(setting, stored=False)
    data, model = ready.data, ready.models[0]
    transfer = {str(other): model_spec(describe_model(other, data.image_shape)) for other in others}
    how = {"eps": float(eps), "norm": norm, "seed": seed, "cheap": cheap}
    job = Job(
        label=f"diagnostics of {card.name}",
        models=[model, *transfer.values()],
        ask=_findings,
        arguments=lambda: (model, ready.count, lam, transfer, how),
    )
    with closing(ready.engine):
        ((_, findings),) = ready.engine.ask([job], ready.worker)
    if isinstance(findings, SdnetBenchError):
        raise findings
    shown = f"{shown_name(data.name)} ({setting.split})"
    notes = [*doubts(ready, budgets=[(norm, eps)]), *ready.engine.notes]
    return Diagnosis(card.name, shown, ready.count, findings, notes)


def _findings(
    worker: Worker,
    spec: ModelSpec,
    count: int,
    lam: LambdaSpec | None,
    others: Mapping[str, ModelSpec],
    how: Mapping[str, Any],
) -> list[Finding]:
    """The findings on the first images, `how` being further arguments of `diagnose`; runs where the worker is."""
    images, labels, ids = first_images(worker.data, count, worker.device)
    base, name = worker.model(spec), spec.name
    worker.data.check_classes(classes_of(base, images, name), name)

    def model_at(value: float) -> nn.Module:
        return WithPolicy(base, Fixed(value), scope=lam.scope if lam else "stem")

    deployed = spec.training_lambda if lam is None else lam.fixed

    try:
        return diagnose(
            model_at(deployed) if lam and deployed is not None else base,
            images,
            labels,
            model_at=model_at,
            lambdas=transfer_lambdas(deployed, spec.training_lambda),
            others={other: worker.model(model) for other, model in others.items()},
            sample_ids=ids,
            batch_size=worker.batch_size,
            **how,
        )
    except ModelError as error:
        raise ModelError(f"{name}: {error}") from error


def transfer_lambdas(deployed: float | None, trained: float | None) -> tuple[float, ...]:
    """Where perturbations may carry over from: the training lambda, half and twice the deployed one."""
    if deployed is None:
        return ()
    near = {deployed / 2, deployed * 2, trained}
    return tuple(sorted(value for value in near if value is not None and value != deployed))
