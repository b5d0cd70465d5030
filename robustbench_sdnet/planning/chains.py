"""What starts from what: chains of attacks, eps curves, warm starts and transfer.

A chain is attacks of one budget, each on the survivors of the one before, spoken of as one (AutoAttack).
`AttackSpec.chain` names the whole. Its last stage, which starts from the survivors of all others, holds the accuracy of
the whole; the stages before it are on the way there and no answer of their own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from ..attacks.registry import chain, last_stages
from ..errors import InputError
from ..specs import AttackSpec, Cell, LambdaSpec, Perturbation
from ..wording import natural


def is_stage(spec: Perturbation) -> bool:
    """Whether this is a stage of a chain before its last."""
    return (
        isinstance(spec, AttackSpec) and bool(spec.chain) and spec.name not in last_stages(chain_name(spec))
    )


def whole_name(spec: Perturbation) -> str:
    """How readers know it: a chain's last stage by the name of the chain, everything else by its own."""
    return (not is_stage(spec) and chain_of(spec)) or spec.label


def chain_of(spec: Perturbation) -> str:
    """The chain that an attack is a stage of; an empty text for everything else."""
    return spec.chain if isinstance(spec, AttackSpec) else ""


def chain_name(spec: AttackSpec) -> str:
    """The chain that an attack is a stage of, without the settings that it was shown with."""
    return spec.chain.partition("(")[0]


def stage_order(spec: Perturbation) -> tuple[tuple[str | float, ...], int, tuple[str | float, ...]]:
    """The place of a perturbation among others: by name, a chain's stages in a row and as they run."""
    if not isinstance(spec, AttackSpec) or not spec.chain:
        return natural(spec.label), 0, ()
    params = dict(spec.params)
    variants = (chain(chain_name(spec), {"variant": variant}, spec.norm) for variant in ("standard", "rand"))
    places = [
        (own.items() <= params.items(), -place)
        for stages in variants
        for place, (name, own) in enumerate(stages)
        if name == spec.name
    ]
    # One name may be two stages of a chain.
    return natural(spec.chain), -max(places, default=(False, 0))[1], natural(spec.label)


def continues(before: Perturbation, attack: AttackSpec, eps_curve: bool) -> bool:
    """Whether an attack starts from the survivors of the one before: a chain's next stage, or a curve's next eps."""
    if not isinstance(before, AttackSpec):
        return False
    if (before.chain, before.norm, before.seed) != (attack.chain, attack.norm, attack.seed):
        return False
    if before.eps == attack.eps:
        return bool(attack.chain)
    if not eps_curve or attack.kind != "attack" or before.eps is None or attack.eps is None:
        return False
    same = bool(attack.chain) or (before.name, before.params) == (attack.name, attack.params)
    return same and before.eps.fraction < attack.eps.fraction


def check_warm_start(attacks: Sequence[AttackSpec]) -> None:
    """Refuse, with an InputError, a warm start of anything but PGD with one restart."""
    for attack in attacks:
        if attack.kind == "noise":
            continue
        if attack.name != "pgd":
            raise InputError(f"Only pgd can be warm-started, got '{attack.chain or attack.name}'.")
        if dict(attack.params).get("restarts") != 1:
            raise InputError(
                "A warm start begins at one point, so restarts would repeat it. Leave restarts at 1."
            )


def warmed(cell: Cell, parent: Cell) -> Cell:
    """The same attack, begun at the parent's perturbed images; tables name it so."""
    spec = cell.perturbation
    assert isinstance(spec, AttackSpec)  # narrows the type
    shown = f"{spec.shown},warm_start" if spec.shown else "warm_start"
    return replace(cell, perturbation=replace(spec, shown=shown), parents=(parent.id,), warm=True)


def transfers(parent: Cell, evaluated: Iterable[LambdaSpec | None]) -> Iterator[Cell]:
    """What was made at the parent's lambda, evaluated at all others; an InputError for a chain's stage."""
    for lam in evaluated:
        if lam != parent.lam:
            if chain := chain_of(parent.perturbation):
                raise InputError(
                    f"'{chain}' combines several attacks, and its images are not evaluated at other lambdas. "
                    "Leave out --attack-lambda, or take one of its stages."
                )
            yield replace(parent, lam=lam, parents=(parent.id,), warm=False)
