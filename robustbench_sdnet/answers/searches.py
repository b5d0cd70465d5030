"""How good the attacks themselves were: how near the best known distances, and how soon accuracy stops falling."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import numpy as np

from ..planning.chains import chain_of
from ..specs import AttackSpec, Eps, LambdaSpec
from ..wording import natural
from .answered import Answered
from .per_image import Numbers, distances, positions, shared
from .rows import grouped, lambda_order
from .snapshot import Snapshot
from .trust import UNTRUSTED


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """An attack of a model at a lambda on `n` images."""

    data: str
    model: str
    lam: LambdaSpec | None
    norm: str
    attack: str
    n: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Optimality(Search):
    """How near an attack came to the best known distances of a model's images (Cina et al. 2025, arXiv:2404.19460).

    Attributes:
        attacks: how many attacks of the store the best are taken from; `n` images all of them saw.
        optimality: 1 where no other attack came nearer anywhere; the farther from the best known, the lower; 0 where
            nothing was found within the largest best distance.
        passes: forward and backward, an image.
    """

    attacks: int
    optimality: float
    passes: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Convergence(Search):
    """What an attack left after 0, 1, ... steps: `right` (steps + 1,) of `n` images.

    untrusted: a diagnostic failed.
    """

    eps: Eps
    right: tuple[int, ...]
    untrusted: bool = False


def optimality(store: Snapshot) -> tuple[Optimality, ...]:
    """Every minimal-norm attack of models that at least two were run on, in a fixed order.

    The curve of accuracy against distance has an area up to the largest best distance d; an attack's optimality is
    1 - (its area - the best's) / (clean accuracy times d - the best's).
    """
    found = [(answered, distances(answered.cell, answered.outcome)) for answered in store.exact]
    asked = attrgetter(
        "cell.model", "cell.data.label", "cell.data.content", "cell.lam", "cell.perturbation.norm"
    )
    groups = grouped((pair for pair in found if len(pair[1])), lambda pair: asked(pair[0]))
    rows = [row for group in groups.values() if len(group) > 1 for row in _optimalities(group)]
    return tuple(
        sorted(rows, key=lambda r: (r.data, *_who_order(r), r.norm, -r.optimality, natural(r.attack)))
    )


def _optimalities(group: list[tuple[Answered, Numbers]]) -> Iterator[Optimality]:
    ids = shared(answered.right for answered, _ in group)
    if not len(ids):
        return
    every = [found[positions(answered.outcome.ids, ids)] for answered, found in group]
    best = np.min(every, axis=0)
    for (answered, _), found in zip(group, every, strict=True):
        value, passes = _nearness(found, best), answered.cost.forwards + answered.cost.backwards
        if value is not None:
            each = passes / len(answered.outcome)
            yield Optimality(**_who(answered, len(ids)), attacks=len(group), optimality=value, passes=each)


def _who_order(one: Search) -> tuple[Any, ...]:
    return natural(one.model), lambda_order(one.lam)


def _who(answered: Answered, n: int) -> dict[str, Any]:
    cell, spec = answered.cell, answered.cell.perturbation
    assert isinstance(spec, AttackSpec)  # narrows the type
    names = {"data": cell.data.label, "model": cell.model.name, "attack": spec.label}
    return {**names, "lam": cell.lam, "norm": spec.norm, "n": n}


def _nearness(distances: Numbers, best: Numbers) -> float | None:
    """The optimality; None where the best leave nothing to tell attacks apart by."""
    finite = best[np.isfinite(best)]
    farthest = float(finite.max()) if len(finite) else 0.0
    least, most = area(best, farthest), float((best > 0).mean()) * farthest
    return 1 - (area(distances, farthest) - least) / (most - least) if most > least else None


def area(distances: Numbers, end: float) -> float:
    """Under accuracy against distance from 0 to `end`, by the trapezium rule at the distances themselves.

    What lies farther than `end`, or was never found, is still right there.
    """
    places = np.unique(np.minimum(np.append(distances, 0.0), end))
    within = np.searchsorted(np.sort(distances), places, side="right")
    accuracies = (len(distances) - within) / len(distances)
    return float(((accuracies[1:] + accuracies[:-1]) / 2 * np.diff(places)).sum())


def convergence(store: Snapshot) -> tuple[Convergence, ...]:
    """Every attack on a budget that took more than one step, alone and from the images themselves, of what is right or
    not: a mean of draws has no such steps."""
    found = []
    for answered in store.exact:
        cell, spec, outcome = answered.cell, answered.cell.perturbation, answered.outcome
        if not isinstance(spec, AttackSpec) or spec.eps is None or cell.kind != "attack":
            continue
        steps = dict(spec.params).get("steps")
        if chain_of(spec) or cell.parents or not isinstance(steps, int) or steps < 2:
            continue
        if (~outcome.right & (outcome.broken_at < 0)).any():
            continue  # nobody wrote down when they broke
        if answered.credit.right.dtype != bool:
            continue  # steps break images whole, and tables count the mean of draws
        last = max(steps, int(outcome.broken_at.max(initial=0)))
        counts = np.bincount(np.where(outcome.right, last + 1, outcome.broken_at), minlength=last + 2)
        right = len(outcome) - np.cumsum(counts[: last + 1])
        doubted = store.verdicts[answered.id] == UNTRUSTED
        who = _who(answered, len(outcome))
        found.append(Convergence(**who, eps=spec.eps, right=tuple(right.tolist()), untrusted=doubted))
    return tuple(
        sorted(found, key=lambda c: (c.data, natural(c.attack), c.norm, float(c.eps), *_who_order(c)))
    )
