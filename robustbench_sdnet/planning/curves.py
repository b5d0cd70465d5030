"""Curves along eps: what breaks at a smaller budget breaks at a larger one, so each starts from the one before."""

from __future__ import annotations

from ..errors import InputError
from ..specs import NORMS, AttackSpec, Perturbation
from .questions import budgets


def eps_curve(name: str, norm: str | None = None, *, full: int | None = None) -> str:
    """The budgets of `--eps-curve`, as a comma list, in the norm that an attack is run in.

    Args:
        full: the values of an image: go on until any other image is within reach; larger budgets attack the survivors
            of smaller ones, and are free without any.

    Raises:
        InputError: the norm has no such curve.
    """
    norm, _ = budgets(name, norm, "1")
    if not NORMS[norm].curve:
        raise InputError(f"{norm} has no eps curve. Give --eps with a list.")
    return ",".join(NORMS[norm].curve if full is None else NORMS[norm].full_curve(full))


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
