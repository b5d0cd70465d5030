"""Matrices of lambdas: perturbations made at one and evaluated, or begun again, at another."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from ..errors import InputError
from ..specs import AttackSpec, Cell, LambdaSpec


def check_warm_start(attacks: Sequence[AttackSpec]) -> None:
    """Refuse, with an InputError, a warm start of anything but PGD with one restart."""
    for attack in attacks:
        if attack.kind == "noise":
            continue
        if attack.name != "pgd" or attack.chain:
            raise InputError(f"Only pgd can be warm-started, got '{attack.chain or attack.name}'.")
        if dict(attack.params).get("restarts") != 1:
            raise InputError(
                "A warm start begins at one point, so restarts would repeat it. Leave them at 1."
            )


def warmed(cell: Cell, parent: Cell) -> Cell:
    """The same attack, begun at the parent's perturbed images; tables name it so."""
    spec = cell.perturbation
    assert isinstance(spec, AttackSpec)  # narrows the type
    shown = f"{spec.shown},warm_start" if spec.shown else "warm_start"
    return replace(cell, perturbation=replace(spec, shown=shown), parents=(parent.id,), warm=True)


def transfers(parent: Cell, evaluated: Iterable[LambdaSpec | None]) -> Iterator[Cell]:
    for lam in evaluated:
        if lam != parent.lam:
            yield replace(parent, lam=lam, parents=(parent.id,), warm=False)
