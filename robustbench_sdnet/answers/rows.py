"""Results, typed: a row an answered question, and what several answers come to: the worst case and the oracle."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Any, TypeVar

import numpy as np

from ..corruptions.registry import CORRUPTIONS
from ..planning.chains import stage_order
from ..specs import AttackSpec, CorruptionSpec, DataSpec, Eps, LambdaSpec, ModelSpec, Perturbation, canonical
from ..specs.lambdas import policy_shown
from ..statistics import wilson
from ..wording import brief, natural
from .answered import Answered, Cost
from .per_image import Numbers, Stability, distances, places, stability, worst
from .snapshot import Snapshot
from .trust import UNCHECKED, UNTRUSTED, Finding, doubt

Key = TypeVar("Key", bound=Hashable)
Item = TypeVar("Item")

KINDS = ("clean", "corruption", "sequence", "noise", "attack", "worst_case", "transfer")
ORACLE_CHOICES = 3  # fewer lambdas are no sweep, and their best is no bound worth naming


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Row:
    """One result.

    Attributes:
        kind: one of `KINDS`.
        right, n: images that are right, of so many; of a randomised model's mean of draws, what they count together.
        images: which, as ranges; empty where they are the first `n` of the data set.
        verdict: trusted, untrusted or unchecked.
        findings: of the diagnostics that the verdict comes from.
        cells: ids of the cells it is made of; several for a worst case and an oracle.
        distances: of a minimal-norm attack, (n,) sorted; empty for everything else.
        disputed: on how many images the answers of several stores differ.
        stability: of a sequence, whose images are right where every frame is; None for everything else.
    """

    model: ModelSpec
    data: DataSpec
    kind: str
    perturbation: Perturbation
    lam: LambdaSpec | None
    lam_attack: LambdaSpec | None
    precision: str
    right: float
    n: int
    images: str
    verdict: str
    cost: Cost
    cells: tuple[str, ...]
    findings: tuple[Finding, ...]
    distances: Numbers
    stability: Stability | None
    disputed: int

    @property
    def cell(self) -> str:
        """The cell, or those it is made of, as one text."""
        return "+".join(self.cells)

    @property
    def severity(self) -> int | None:
        """Of a corruption that has one."""
        return self.perturbation.severity if isinstance(self.perturbation, CorruptionSpec) else None

    @property
    def norm(self) -> str | None:
        """Of an attack or noise."""
        return self.perturbation.norm if isinstance(self.perturbation, AttackSpec) else None

    @property
    def eps(self) -> Eps | None:
        """Of an attack or noise with a budget."""
        return self.perturbation.eps if isinstance(self.perturbation, AttackSpec) else None

    @property
    def source(self) -> str:
        """Where the images come from: generated or published, with the parameter set where it is not CIFAR's."""
        return self.perturbation.origin if isinstance(self.perturbation, CorruptionSpec) else "generated"

    @property
    def accuracy(self) -> float:
        """The share of images that are right; NaN without images."""
        return self.right / self.n if self.n else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """Both ends of the 95 % interval of the accuracy."""
        return wilson(self.right, self.n)


def rows(store: Snapshot) -> tuple[Row, ...]:
    """Every answered question, worst cases and oracles beside, in an order that depends on the answers alone."""
    found = [
        (one, row_of(one, store.verdicts[one.id], store.disputed.get(one.id, 0))) for one in store.standing
    ]
    made = [*_worst_cases(found), *_oracles(row for _, row in found)]
    return tuple(sorted([*(row for _, row in found), *made], key=_order))


def is_noise(spec: Perturbation) -> bool:
    """Whether a corruption is of the category noise."""
    info = CORRUPTIONS.get(spec.name) if isinstance(spec, CorruptionSpec) else None
    return info is not None and info.category == "noise"


def lambda_value(lam: LambdaSpec | None) -> float | str | None:
    """Lambda as records hold it: a number, the name of a policy, or None; other scopes than the stem are named, and a
    policy has the start of its fit's hash, where it has kept that."""
    if lam is None:
        return None
    if lam.scope == "stem" and lam.fixed is not None:
        return lam.fixed
    scope, fit = "" if lam.scope == "stem" else f"{lam.scope}:", f" [fit {lam.fit[:6]}]" if lam.fit else ""
    return f"{scope}{lam.text}{fit}"


def lambda_name(lam: LambdaSpec | None) -> str:
    """The same as a text; empty without any."""
    return brief(lambda_value(lam))


def lambda_text(lam: LambdaSpec | None) -> str:
    """The same as tables print it: "-" without any, and what was chosen on test labels as such."""
    return policy_shown(lambda_name(lam) or "-")


def lambda_order(lam: LambdaSpec | None) -> tuple[int, float, str]:
    """No lambda first, numbers in order, those for all layers behind them, then what has a name."""
    if lam is None:
        return 0, 0.0, ""
    if lam.fixed is None:
        return 3, 0.0, lambda_name(lam)
    return (1, lam.fixed, "") if lam.scope == "stem" else (2, lam.fixed, lam.scope)


def eps_order(eps: Eps | None) -> float:
    """Budgets in order; none first."""
    return -1.0 if eps is None else float(eps)


def row_of(answered: Answered, verdict: str = UNCHECKED, disputed: int = 0) -> Row:
    """The result of an answer."""
    cell, outcome, credit = answered.cell, answered.outcome, answered.credit.right
    return Row(
        model=cell.model,
        data=cell.data,
        kind=cell.kind,
        perturbation=cell.perturbation,
        lam=cell.lam,
        lam_attack=cell.lam_attack,
        precision=cell.precision,
        # Of shares the sum that is alike on every machine.
        right=int(credit.sum()) if credit.dtype == bool else math.fsum(credit),
        n=len(outcome),
        images=places(outcome.ids),
        verdict=verdict,
        cost=answered.cost,
        cells=(answered.id,),
        findings=answered.verdicts,
        distances=np.sort(distances(cell, outcome)),
        stability=stability(cell, outcome),
        disputed=disputed,
    )


Pair = tuple[Answered, Row]


def _worst_cases(pairs: Iterable[Pair]) -> list[Row]:
    """Per-sample worst case over all attack lambdas, wherever a deployed lambda was attacked, and at others too."""

    def asked(pair: Pair) -> Hashable:
        cell = pair[0].cell
        attack = canonical(cell.perturbation.identity())
        return cell.model.key, canonical(cell.data.identity()), attack, cell.lam

    attacked = [pair for pair in pairs if pair[1].kind in ("attack", "transfer")]
    groups = grouped(attacked, asked).values()
    both = (group for group in groups if {row.kind for _, row in group} == {"attack", "transfer"})
    return [found for found in map(_worst_case, both) if found.n]  # after losses they may share no image


def _worst_case(group: Sequence[Pair]) -> Row:
    """What is left by an attack in all its forms, named after the plain one where a warm start is among them."""
    group = sorted(group, key=lambda pair: (pair[1].kind, pair[0].cell.warm))
    found = worst(answered.right for answered, _ in group)
    # What was made at other lambdas can only tighten the bound of what was made here.
    doubted = doubt(row.verdict for _, row in group if row.kind == "attack")
    return replace(
        _together([row for _, row in group]),
        kind="worst_case",
        lam_attack=None,
        right=int(found.right.sum()),
        n=len(found.ids),
        images=places(found.ids),
        verdict=UNTRUSTED if doubted else UNCHECKED,
        findings=(),
        distances=np.empty(0),
    )


def _oracles(found: Iterable[Row]) -> list[Row]:
    """The best lambda in hindsight, per corruption and severity: chosen on test labels, bounds any one number."""

    def asked(row: Row) -> Hashable:
        who = row.model.key, row.model.name, row.data.content, row.data.label
        return *who, row.perturbation, row.n, row.images, row.lam and row.lam.scope

    swept = [row for row in found if row.kind == "corruption" and row.lam and row.lam.fixed is not None]
    return [_oracle(group) for group in grouped(swept, asked).values() if len(group) >= ORACLE_CHOICES]


def _oracle(group: Sequence[Row]) -> Row:
    best = max(group, key=attrgetter("accuracy"))
    others = [row for row in group if row is not best]
    lam = LambdaSpec("oracle", best.lam.scope if best.lam else "stem")
    return replace(_together([best, *others]), lam=lam)


def _together(group: Sequence[Row]) -> Row:
    """The first of several rows, made of all of them."""
    first = group[0]
    cost = first.cost.plus(row.cost for row in group[1:])
    cells = tuple(sorted(cell for row in group for cell in row.cells))
    return replace(first, cost=cost, cells=cells, disputed=max(row.disputed for row in group))


def grouped(items: Iterable[Item], key: Callable[[Item], Key]) -> dict[Key, list[Item]]:
    """Items by what they have in common, in the order of first appearance."""
    found: dict[Key, list[Item]] = {}
    for item in items:
        found.setdefault(key(item), []).append(item)
    return found


def _order(row: Row) -> tuple[Any, ...]:
    return (
        natural(row.model.name),
        natural(row.data.label),
        KINDS.index(row.kind),
        *stage_order(row.perturbation),
        row.severity or 0,
        row.norm or "",
        eps_order(row.eps),
        lambda_order(row.lam),
        lambda_order(row.lam_attack),
        row.cell,
    )
