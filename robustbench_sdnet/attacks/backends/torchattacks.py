"""Any attack of torchattacks by its class name."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import partial
from typing import Any

from torch import Tensor

from .library import Counted, LibraryRun, Perturb, construct, imported

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
    given = {key: value for key, value in supplied.items() if key in accepted and value is not None}
    return construct("torchattacks", name, partial(kind, model, **given), options)


def perturb_with(name: str, options: Mapping[str, object], run: LibraryRun) -> Perturb:
    """What torchattacks' class `name` does to a batch; eps, norm, seed and number of classes are supplied."""

    def perturb(counted: Counted, batch: Tensor, wanted: Tensor) -> Tensor:
        made = build(name, options, eps=run["eps"], norm=run["norm"], seed=run["seed"], model=counted)
        found: Tensor = made(batch, wanted)
        return found

    return perturb
