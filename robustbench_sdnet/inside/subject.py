"""A model to look inside of, on the images that it is shown: clean, corrupted, attacked, and as noise of that size."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .. import attacks
from ..attacks.engine.balls import ball
from ..attacks.engine.result import stands_still
from ..corruptions import corrupt
from ..data.tensors import first_images, to_images
from ..draws import Draws
from ..errors import GradientWarning
from ..reports.document import plain, slug
from ..running.ready import Ready
from ..specs import AttackSpec, CorruptionSpec, ModelSpec
from .inversion import check_invertible, invertible
from .way import check_depth, stages

NOISE = "noise of "
LAMBDAS = (0.5, 1.0)  # beside the training lambda
SHOWN = 10


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What to look at.

    Attributes:
        depths: where to make images again; empty for every depth that can be inverted.
        lambdas: empty for the training lambda and `LAMBDAS`.
        attack: the attack with its budget; the same budget is drawn as noise.
        method: "inverse" or "gradient".
        every_atom: draw the dictionaries of all layers, not of the stem alone.
    """

    depths: tuple[int, ...]
    lambdas: tuple[float, ...]
    scope: str
    corruption: CorruptionSpec
    attack: AttackSpec
    method: str
    every_atom: bool


@dataclass(frozen=True, eq=False)
class Subject:
    """A model on its images: `seen` holds them clean, corrupted, as noise of the attack's size, and attacked; names of
    its pictures begin with `stem`."""

    name: str
    stem: str
    model: nn.Module
    lam: float | None
    lambdas: tuple[float | None, ...]
    depths: tuple[int, ...]
    seen: dict[str, Tensor]
    order: Tensor
    wanted: Wanted
    doubt: str | None


def depths_of(model: nn.Module, wanted: Wanted, *, coded: bool) -> tuple[int, ...]:
    """Where to make images again; an InputError where that cannot be done. `coded`: has sparse coding layers."""
    if wanted.method == "gradient":
        last = len(stages(model)) - 1
        for depth in wanted.depths:
            check_depth(depth, last + 1)
        return wanted.depths or tuple(sorted({0, last // 2, last}))
    for depth in wanted.depths if coded else ():
        check_invertible(model, depth)
    return (wanted.depths or invertible(model)) if coded else ()


def subject(ready: Ready, spec: ModelSpec, wanted: Wanted) -> Subject:
    """Load a model and make what it is shown of the first images."""
    worker, data, n = ready.worker, ready.data, ready.count
    model, trained = worker.model(spec), spec.training_lambda
    usual = () if trained is None else tuple(sorted({trained, *LAMBDAS}))
    lambdas: tuple[float | None, ...] = (wanted.lambdas or usual) if trained is not None else (None,)
    clean, labels, ids = first_images(data, n, worker.device)
    corruption, attack = wanted.corruption, wanted.attack
    severity, seed = corruption.severity or 5, corruption.seed
    noisy = corrupt(data.images(0, n), corruption.name, severity, seed, sample_ids=data.ids[:n])
    assert attack.eps is not None  # narrows the type: the command asks for a budget
    budget = f"{attack.norm} {attack.eps}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GradientWarning)  # said with the model's name
        attacked = attacks.run(
            attack.name,
            model,
            clean,
            labels,
            eps=float(attack.eps),
            norm=attack.norm,
            params=dict(attack.params),
            seed=attack.seed,
            sample_ids=ids,
            batch_size=worker.batch_size,
            early_stop=False,
        )
    drawn = Draws.of(attack.seed, "noise", ids)
    noise = ball(attack.norm).noise(drawn, clean, float(attack.eps), torch.zeros_like(labels))
    return Subject(
        name=spec.name,
        stem=_stem(spec.name, [other.name for other in ready.models]),
        model=model,
        lam=trained,
        lambdas=lambdas,
        depths=depths_of(model, wanted, coded=trained is not None),
        seen={
            "clean": clean,
            f"{corruption.name}@{corruption.severity}": to_images(noisy, worker.device),
            f"{NOISE}{budget}": noise,
            f"{attack.name} {budget}": attacked.images.to(clean.dtype),
        },
        order=torch.argsort(labels[:SHOWN], stable=True),
        wanted=wanted,
        doubt=stands_still(attacked.gradients, attacked.silent),
    )


def _stem(name: str, names: Sequence[str]) -> str:
    """A model's name in those of its files, with a hash where another of these would be the same there."""
    alike = [other for other in names if plain(other) == plain(name)]
    return plain(name) if len(alike) == 1 else slug(name)
