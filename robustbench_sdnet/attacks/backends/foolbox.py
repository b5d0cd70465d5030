"""Any attack of foolbox by its class name: gradient, decision-based and minimal-norm."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from torch import Tensor

from ..engine.passes import Classifier
from ..engine.result import AttackResult
from ..libraries import library_attack
from .library import Counted, LibraryRun, changed, construct, imported, run_library

if TYPE_CHECKING:
    from typing_extensions import Unpack

_TARGETED_ONLY = {"GenAttack"}


def build(name: str, options: Mapping[str, object], *, norm: str, **_: object) -> Any:
    """An attack object; InputError where the class refuses its options."""
    foolbox, known = imported("foolbox"), library_attack("foolbox", name)
    own = changed(options, known.params)
    if "constraint" in known.params and "constraint" not in own:
        own["constraint"] = norm
    return construct(f"foolbox:{name}", lambda: getattr(foolbox.attacks, name)(**own))


def attack(
    model: Classifier,
    images: Tensor,
    labels: Tensor,
    *,
    name: str,
    options: Mapping[str, object],
    **run: Unpack[LibraryRun],
) -> AttackResult:
    """Run foolbox's class `name`.

    Minimal-norm attacks always seek the smallest perturbation; with eps it is then moved into the ball.

    Args:
        options: of its constructor.

    Returns and raises what `run_library` does; an option that the class refuses is an InputError.
    """
    foolbox = imported("foolbox")
    known = library_attack("foolbox", name)
    built = build(name, options, norm=run["norm"])

    def perturb(counted: Counted, batch: Tensor, wanted: Tensor) -> Tensor:
        wrapped = foolbox.PyTorchModel(counted.eval(), bounds=(0, 1), device=batch.device)
        if hasattr(built, "feed"):
            built.feed(wrapped, batch)
        criterion = foolbox.Misclassification(wanted)
        if name in _TARGETED_ONLY:
            criterion = foolbox.TargetedMisclassification(_runners_up(counted, batch, wanted))
        raw, _, _ = built(wrapped, batch, criterion, epsilons=None if known.minimal_norm else run["eps"])
        found: Tensor = raw
        return found

    return run_library(perturb, f"foolbox:{name}", model, images, labels, run)


def _runners_up(model: Counted, images: Tensor, labels: Tensor) -> Tensor:
    """The most likely wrong class of each image."""
    logits: Tensor = model(images)
    return logits.scatter(1, labels[:, None], -float("inf")).argmax(1)
