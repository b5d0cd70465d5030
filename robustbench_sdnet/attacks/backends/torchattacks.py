"""Any attack of torchattacks by its class name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from ..engine.passes import Classifier
from ..engine.result import AttackResult
from ..signatures import library_attack
from .library import Counted, changed, construct, imported, run_library

_NORM_NAMES = {"linf": "Linf", "l2": "L2"}


def build(
    name: str, options: Mapping[str, object], *, eps: float | None, norm: str, seed: int, model: Counted
) -> Any:
    """An attack object on a model.

    Raises:
        InputError: the class refuses its options.
    """
    torchattacks, known = imported("torchattacks"), library_attack("torchattacks", name)
    own = changed(dict(options), dict(known.params))
    supplied: dict[str, Any] = {
        "eps": eps, "max_epsilon": eps, "norm": _NORM_NAMES.get(norm), "seed": seed, "n_classes": model.classes,
    }  # fmt: skip
    given = {key: supplied[key] for key in supplied if key in known.accepts and supplied[key] is not None}
    return construct(f"torchattacks:{name}", lambda: getattr(torchattacks, name)(model, **given, **own))


def attack(
    model: Classifier,
    images: Tensor,
    labels: Tensor,
    *,
    name: str,
    options: Mapping[str, object],
    eps: float | None,
    norm: str,
    seed: int,
    sample_ids: Tensor | Sequence[int] | None,
    precision: str,
    batch_size: int | None,
    early_stop: bool,
) -> AttackResult:
    """Run torchattacks' class `name`; it runs in the model's precision, and to its own end.

    Args:
        options: of its constructor; eps, norm, seed and number of classes are supplied.

    Returns and raises what `run_library` does; an option that the class refuses is an InputError.
    """

    def perturb(counted: Counted, batch: Tensor, wanted: Tensor) -> Tensor:
        found: Tensor = build(name, options, eps=eps, norm=norm, seed=seed, model=counted)(batch, wanted)
        return found

    return run_library(
        perturb, f"torchattacks:{name}", model, images, labels, eps=eps, norm=norm, seed=seed,
        sample_ids=sample_ids, batch_size=batch_size,
    )  # fmt: skip
