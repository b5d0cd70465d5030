"""Run any attack by its name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ..errors import InputError, unknown
from .registry import ATTACKS, attack_info, check_params

if TYPE_CHECKING:
    from torch import Tensor

    from .engine.passes import Classifier
    from .engine.result import AttackResult


def run(
    name: str,
    model: Classifier,
    images: Tensor,
    labels: Tensor,
    *,
    eps: float | None,
    norm: str = "linf",
    params: Mapping[str, object] | None = None,
    seed: int = 0,
    sample_ids: Tensor | Sequence[int] | None = None,
    precision: str = "auto",
    batch_size: int | None = None,
    early_stop: bool = True,
    start: Tensor | None = None,
    answers: int | None = None,
    protocol: str = "mean",
) -> AttackResult:
    """Run the attack `name`: native, "torchattacks:NAME" or "foolbox:NAME".

    Args:
        eps: radius in the units of `images`; None only for minimal-norm attacks.
        params: the attack's own options, as `check_params` takes them.
        start: (n, c, h, w) points to begin at, for an attack that can.

    Other arguments, the result and the errors are those of `pgd`.

    Raises:
        InputError: an unknown attack, option or norm, or no eps where the attack needs one.
    """
    info = attack_info(name)
    options = check_params(info, params or {})
    if norm not in info.norms:
        raise unknown(f"norm of attack {name}", norm, info.norms)
    if eps is None and not info.minimal_norm:
        raise InputError(f"Attack {name} needs eps, such as 8/255.")
    extra: dict[str, object] = dict(options)
    if ":" in name:  # a library's options travel as one mapping, since their names may be any
        extra = {"name": name, "options": options}
    if start is not None:
        if not info.starts:
            known = ", ".join(name for name, info in ATTACKS.items() if info.starts)
            raise InputError(f"Attack {name} cannot begin at given points. Known: {known}.")
        extra["start"] = start
    result: AttackResult = info.load()(
        model,
        images,
        labels,
        eps=eps,
        norm=norm,
        seed=seed,
        sample_ids=sample_ids,
        precision=precision,
        batch_size=batch_size,
        early_stop=early_stop,
        answers=answers,
        protocol=protocol,
        **extra,
    )
    return result
