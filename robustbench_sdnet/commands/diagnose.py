"""`sdnet-bench diagnose`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..console import findings, options
from ..errors import InputError, ModelError
from ..specs import Eps, LambdaSpec
from ..wording import counted

if TYPE_CHECKING:
    from torch import nn

    from ..diagnostics import Verdict


@click.command()
@click.argument("source", metavar="MODEL")
@options.data_option
@options.data_root_option
@options.split_option
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=100,
    show_default=True,
    metavar="N",
    help="Images to attack.",
)
@click.option(
    "--eps", metavar="EPS", help="Budget as a fraction or decimal [default: the norm's usual, 8/255 in linf]."
)
@options.norm_option
@options.lambda_options
@click.option(
    "--transfer-from",
    "others",
    multiple=True,
    metavar="MODEL",
    help="Also try perturbations made on this model; repeatable.",
)
@click.option("--cheap", is_flag=True, help="Only the checks that cost a few passes a sample.")
@options.runs_option
@options.seed_option
@options.device_option
@options.batch_size_option
@options.json_option
def diagnose(
    source: str,
    data: str | None,
    data_root: str | None,
    split: str,
    limit: int,
    eps: str | None,
    norm: str,
    lambdas: tuple[LambdaSpec, ...] | None,
    lambda_scope: str,
    others: tuple[str, ...],
    cheap: bool,
    runs: Path,
    seed: int,
    device: str,
    batch_size: int | None,
    as_json: bool,
) -> None:
    """Check whether a model masks gradients: sixteen diagnostics, each pass, warn or fail with its number.

    MODEL is a run, a checkpoint, a zoo name or package.module:function. A fail says that an attack's
    accuracy cannot be trusted, and why. The data set is the one the model was trained on.

    \b
    Examples:
      sdnet-bench diagnose runs/digits-sdnet20
      sdnet-bench diagnose cifar10/sdnet20 --lambda 0.5 --limit 100 --eps 8/255
      sdnet-bench diagnose mypackage.models:defended --data cifar10 --json
    """
    from ..planning.questions import budgets

    _, found = budgets("pgd", norm, eps)
    if len(found) > 1:
        raise InputError(f"diagnose takes one budget as --eps, got '{eps}'. Run it once for each.")
    budget = found[0]
    if budget.fraction == 0:
        raise InputError("--eps must be above 0, got 0: without a budget there is nothing to diagnose.")
    lam = _one_lambda(lambdas)
    options.check_sources((source, *others), data, device)
    subject, verdicts = _verdicts(
        source,
        budget,
        lam,
        others,
        lambda_scope=lambda_scope,
        data=data,
        data_root=data_root,
        split=split,
        limit=limit,
        norm=norm,
        cheap=cheap,
        runs=runs,
        seed=seed,
        device=device,
        batch_size=batch_size,
    )
    if as_json:
        click.echo(json.dumps([asdict(verdict) for verdict in verdicts], indent=2))
        return
    lam_text = "" if lam is None else f" at lambda {lam:g}"
    click.echo(
        f"{subject.model}{lam_text} on {subject.data}, {counted(subject.images, 'image')}, {norm} {budget}"
    )
    click.echo(findings.table(verdicts))
    click.echo(findings.summary(verdicts))


@dataclass(frozen=True)
class Subject:
    """What was diagnosed: the model's name, the data set with its split, and on how many images."""

    model: str
    data: str
    images: int


def _verdicts(
    source: str,
    budget: Eps,
    lam: float | None,
    others: Sequence[str],
    *,
    lambda_scope: str,
    data: str | None,
    data_root: str | None,
    split: str,
    limit: int,
    device: str,
    batch_size: int | None,
    runs: Path,
    **asked: Any,
) -> tuple[Subject, list[Verdict]]:
    import torch

    from ..data import load
    from ..data.tensors import to_images
    from ..diagnostics import diagnose as run
    from ..diagnostics.doubts import training_doubt
    from ..lambdas import Fixed, WithPolicy
    from ..planning.questions import default_data, shown_name
    from ..running.device import pick_batch_size, pick_device
    from ..running.predict import check_labels, predict
    from ..zoo import describe_model, load_model

    card, chosen = describe_model(source), pick_device(device)
    if lam is not None and not card.has_lambda:
        raise InputError(f"{card.name} has no sparse coding layers, so it has no lambda. Leave --lambda out.")
    images_of = load(data or card.data or default_data(runs), split, data_root)
    doubt = training_doubt(card, images_of, data_root)
    if doubt:
        click.echo(f"Warning: {doubt}", err=True)
    count = min(limit, len(images_of))
    height, width = images_of.image_shape
    batch = pick_batch_size(batch_size, chosen, height * width)
    images = to_images(images_of.images(0, count), chosen)
    labels = torch.from_numpy(images_of.labels[:count]).to(chosen)
    base: nn.Module = load_model(source, device=chosen)
    check_labels(
        int(labels.max()), predict(base, images[:1], batch_size=1, name=card.name).shape[1], card.name
    )

    def model_at(value: float) -> nn.Module:
        return WithPolicy(base, Fixed(value), scope=lambda_scope)

    deployed = card.lam if lam is None else lam
    subject = Subject(card.name, f"{shown_name(images_of.name)} ({split})", count)
    try:
        return subject, run(
            base if lam is None else model_at(lam),
            images,
            labels,
            eps=float(budget),
            model_at=model_at if deployed is not None else None,
            lambdas=transfer_lambdas(deployed, card.lam),
            others={other: load_model(other, device=chosen) for other in others},
            sample_ids=torch.from_numpy(images_of.ids[:count]),
            batch_size=batch,
            **asked,
        )
    except ModelError as error:
        raise ModelError(f"{card.name}: {error}") from error


def transfer_lambdas(deployed: float | None, trained: float | None) -> tuple[float, ...]:
    """Where perturbations may carry over from: the training lambda, half and twice the deployed one."""
    if deployed is None:
        return ()
    near = {deployed / 2, deployed * 2, trained}
    return tuple(sorted(value for value in near if value is not None and value != deployed))


def _one_lambda(lambdas: tuple[LambdaSpec, ...] | None) -> float | None:
    if not lambdas:
        return None
    if len(lambdas) > 1 or lambdas[0].fixed is None:
        raise InputError("diagnose takes one number as --lambda, such as 0.5. Run it once for each.")
    return lambdas[0].fixed
