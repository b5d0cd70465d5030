"""Run any attack by its name."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor
from typing_extensions import Unpack

from ..errors import InputError
from .engine.passes import Classifier
from .engine.result import AttackResult
from .native.wrapper import Run, attack
from .registry import ATTACKS, attack_info, check_params


@attack
def run(
    name: str,
    model: Classifier,
    images: Tensor,
    labels: Tensor,
    *,
    eps: float | None = None,
    params: Mapping[str, object] | None = None,
    start: Tensor | None = None,
    **shared: Unpack[Run],
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
    options: dict[str, object] = dict(check_params(info, params or {}))
    norm = shared.get("norm", "linf")
    info.check_norm(norm)
    if eps is None and not info.minimal_norm:
        raise InputError(f"Attack {name} needs eps, such as 8/255.")
    if ":" in name:  # a library's options travel as one mapping, since their names may be any
        options = {"name": name, "options": options}
    if start is not None:
        if not info.starts:
            known = ", ".join(name for name, info in ATTACKS.items() if info.starts)
            raise InputError(f"Attack {name} cannot begin at given points. Known: {known}.")
        options["start"] = start
    result: AttackResult = info.load()(model, images, labels, eps=eps, **shared, **options)
    return result
