"""Any attack of foolbox by its class name: gradient, decision-based and minimal-norm."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ..engine.losses import rival
from ..registry import attack_info
from .library import Counted, LibraryRun, Perturb, construct, imported

_TARGETED_ONLY = {"GenAttack"}


def build(name: str, options: Mapping[str, object], *, norm: str, **_: object) -> Any:
    """An attack object; InputError where the class refuses its options."""
    foolbox, known = imported("foolbox"), attack_info(f"foolbox:{name}").params
    given = {"constraint": norm} if "constraint" in known else {}
    return construct("foolbox", name, lambda **own: getattr(foolbox.attacks, name)(**given | own), options)


def perturb_with(name: str, options: Mapping[str, object], run: LibraryRun) -> Perturb:
    """What foolbox's class `name` does to a batch.

    Minimal-norm attacks always seek the smallest perturbation; with eps it is then moved into the ball.
    """
    foolbox = imported("foolbox")
    epsilons = None if attack_info(f"foolbox:{name}").minimal_norm else run["eps"]
    built = build(name, options, norm=run["norm"])

    def perturb(counted: Counted, batch: Tensor, wanted: Tensor) -> Tensor:
        wrapped = foolbox.PyTorchModel(counted.eval(), bounds=(0, 1), device=batch.device)
        if hasattr(built, "feed"):
            built.feed(wrapped, batch)
        criterion = foolbox.Misclassification(wanted)
        if name in _TARGETED_ONLY:
            criterion = foolbox.TargetedMisclassification(rival(counted(batch), wanted))
        found: Tensor = built(wrapped, batch, criterion, epsilons=epsilons)[0]
        return found

    return perturb
