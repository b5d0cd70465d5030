"""The cells that the models of a setting are asked, lambda policies fitted first."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch

from ..attacks.registry import attack_info
from ..data.registry import check_clean
from ..data.tensors import to_images
from ..errors import ModelError
from ..planning import plan, questions
from ..planning.identity import data_spec
from ..specs import AttackSpec, Cell, CorruptionSpec, LambdaSpec, ModelSpec, SequenceSpec
from ..specs.budgets import check_reach
from .policies import OnFit, expand, fitted
from .predict import classes_of
from .ready import Ready


def corruption_plan(
    ready: Ready,
    corruptions: Sequence[CorruptionSpec | SequenceSpec],
    lambdas: Sequence[LambdaSpec] = (),
    precision: str = "float32",
    on_fit: OnFit = lambda progress: None,
) -> list[Cell]:
    """The cells of `corrupt`, lambda policies fitted first; in float32 unless the precision is "bfloat16"."""
    chosen = fitted(ready, expand(lambdas), on_fit)
    exact = "bfloat16" if precision == "bfloat16" else "float32"
    return plan.corruption_cells(
        ready.sound, data_spec(ready.data), corruptions, chosen, exact, ready.has_images()
    )


def attack_plan(
    ready: Ready,
    attacks: Sequence[AttackSpec],
    lambdas: Sequence[LambdaSpec] = (),
    attack_lambdas: Sequence[LambdaSpec] = (),
    eps_curve: bool = True,
    on_fit: OnFit = lambda progress: None,
    warm_start: bool = False,
) -> list[Cell]:
    """The cells of `attack`, with random noise of the same budget beside every attack."""
    check_clean(ready.data.name, "An attack")
    for attack in attacks:
        if attack.eps is not None:
            check_reach(attack.eps, attack.norm, *ready.data.image_shape)
    chosen = fitted(ready, lambdas, on_fit)
    attacked = fitted(ready, attack_lambdas, on_fit) if attack_lambdas else ()
    spec = data_spec(ready.data)
    for attack in attacks:
        for model in ready.sound if ":" in attack.name else ():
            _check_library(ready, attack, model)
    search = partial(search_precision, precision=ready.setting.precision, device=ready.worker.device)
    return plan.attack_cells(
        ready.sound, spec, _with_noise(attacks), chosen, attacked, search, eps_curve, warm_start
    )


def _check_library(ready: Ready, attack: AttackSpec, model: ModelSpec) -> None:
    """Refuse, with an InputError, a library's attack that this model, these images or its constructor rule out."""
    from ..attacks.backends.library import check_attack

    try:
        images = to_images(ready.data.images(0, 1), ready.worker.device)
        classes = classes_of(ready.worker.model(model), images, model.name)
    except ModelError:
        return  # the run names the model, and goes on with the others
    check_attack(attack, classes, images)


def search_precision(attack: AttackSpec, precision: str, device: str) -> str:
    """The precision of an attack's search on a device: part of a cell's identity, since a coarser one may find less."""
    from ..attacks.native.wrapper import wants_low_precision

    images = torch.empty(0, dtype=torch.float32, device=device)
    low = wants_low_precision(precision, images, exact=attack_info(attack.name).full_precision)
    return "bfloat16" if low else "float32"


def _with_noise(attacks: Sequence[AttackSpec]) -> list[AttackSpec]:
    """The attacks, each budget with its random noise first, in the norms that noise is drawn in."""
    noise: dict[AttackSpec, None] = {}
    known = attack_info("noise").norms
    for attack in attacks:
        if attack.eps is not None and attack.kind != "noise" and attack.norm in known:
            noise[questions.attack_specs("noise", [attack.eps], attack.norm, seed=attack.seed)[0]] = None
    return [*(spec for spec in noise if spec not in attacks), *attacks]
