"""What a chain is: attacks of one budget, each on the survivors of the one before, spoken of as one (AutoAttack).

`AttackSpec.chain` names the whole. Its last stage, which starts from the survivors of all others, holds the accuracy of
the whole; the stages before it are on the way there and no answer of their own.
"""

from __future__ import annotations

from ..attacks.registry import last_stages
from ..specs import AttackSpec, Perturbation


def is_stage(spec: Perturbation) -> bool:
    """Whether this is a stage of a chain before its last."""
    return (
        isinstance(spec, AttackSpec) and bool(spec.chain) and spec.name not in last_stages(_base(spec.chain))
    )


def whole_name(spec: Perturbation) -> str:
    """How readers know it: a chain's last stage by the name of the chain, everything else by its own."""
    chained = isinstance(spec, AttackSpec) and spec.chain and not is_stage(spec)
    return spec.chain if isinstance(spec, AttackSpec) and chained else spec.label


def chain_of(spec: Perturbation) -> str:
    """The chain that an attack is a stage of; an empty text for everything else."""
    return spec.chain if isinstance(spec, AttackSpec) else ""


def chain_name(spec: AttackSpec) -> str:
    """The chain that an attack is a stage of, without the settings that it was shown with."""
    return _base(spec.chain)


def _base(chain: str) -> str:
    """A chain without the settings that it was shown with."""
    return chain.partition("(")[0]
