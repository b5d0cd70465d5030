"""Any attack of torchattacks by its class name."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from torch import Tensor

from ..engine.passes import Classifier
from ..engine.result import AttackResult
from ..libraries import library_attack
from .library import Counted, LibraryRun, changed, construct, imported, run_library

if TYPE_CHECKING:
    from typing_extensions import Unpack

_NORM_NAMES = {"linf": "Linf", "l2": "L2"}


def build(
    name: str, options: Mapping[str, object], *, eps: float | None, norm: str, seed: int, model: Counted
) -> Any:
    """An attack object on a model; InputError where the class refuses its options."""
    kind = getattr(imported("torchattacks"), name)
    supplied = {
        "eps": eps,
        "max_epsilon": eps,
        "norm": _NORM_NAMES.get(norm),
        "seed": seed,
        "n_classes": model.classes,
    }
    accepted = inspect.signature(kind.__init__).parameters
    given: dict[str, Any] = {
        key: value for key, value in supplied.items() if key in accepted and value is not None
    }
    own = changed(options, library_attack("torchattacks", name).params)
    return construct(f"torchattacks:{name}", lambda: kind(model, **given, **own))


def attack(
    model: Classifier,
    images: Tensor,
    labels: Tensor,
    *,
    name: str,
    options: Mapping[str, object],
    **run: Unpack[LibraryRun],
) -> AttackResult:
    """Run torchattacks' class `name`.

    Args:
        options: of its constructor; eps, norm, seed and number of classes are supplied.

    Returns and raises what `run_library` does; an option that the class refuses is an InputError.
    """

    def perturb(counted: Counted, batch: Tensor, wanted: Tensor) -> Tensor:
        made = build(name, options, eps=run["eps"], norm=run["norm"], seed=run["seed"], model=counted)
        found: Tensor = made(batch, wanted)
        return found

    return run_library(perturb, f"torchattacks:{name}", model, images, labels, run)
