"""Any attack of torchattacks or foolbox by its class name: gradient, decision-based and minimal-norm."""

from __future__ import annotations

import importlib
import inspect
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from torch import Tensor

from ...errors import InputError, first_line
from ..engine.losses import rival
from ..registry import attack_info
from .counted import Counted

Perturb = Callable[[Counted, Tensor, Tensor], Tensor]
"""(model, images, labels) -> perturbed images of the same shape, as the library returns them."""

_NORM_NAMES = {"linf": "Linf", "l2": "L2"}
_TARGETED_ONLY = {"foolbox:GenAttack"}


def build(
    name: str,
    options: Mapping[str, object],
    *,
    eps: float | None,
    norm: str,
    seed: int,
    model: Counted | None,
) -> Any:
    """An attack object of "torchattacks:NAME" on a model, or of "foolbox:NAME", which meets its model when called.

    It is made with the options that differ from the library's own defaults; eps, norm, seed and number of classes are
    supplied. A missing or refused option is the user's to put right, with an InputError.
    """
    library, _, kind = name.partition(":")
    if library == "foolbox":
        made: Any = getattr(_imported(library).attacks, kind)
        supplied: dict[str, object] = {"constraint": norm}
    else:
        made = getattr(_imported(library), kind)
        supplied = {"eps": eps, "max_epsilon": eps, "norm": _NORM_NAMES.get(norm), "seed": seed}
        supplied |= {"model": model, "n_classes": None if model is None else model.classes}
    accepted, defaults = inspect.signature(made.__init__).parameters, attack_info(name).params
    given = {key: value for key, value in supplied.items() if key in accepted and value is not None}
    given |= {key: value for key, value in options.items() if value != defaults.get(key)}
    try:
        return made(**given)
    except ImportError as error:
        raise InputError(f"Attack {name} needs a package that is not installed: {error}.") from error
    except (TypeError, ValueError, AssertionError) as error:
        reason = first_line(error)
        raise InputError(f"Attack {name} refuses its options: {reason}") from error


def perturb_with(
    name: str, options: Mapping[str, object], *, eps: float | None, norm: str, seed: int
) -> Perturb:
    """What a library's class does to a batch.

    Foolbox's minimal-norm attacks always seek the smallest perturbation; with eps it is then moved into the ball.
    """
    made = partial(build, name, options, eps=eps, norm=norm, seed=seed)
    if name.startswith("torchattacks:"):
        return lambda counted, batch, wanted: made(model=counted)(batch, wanted)
    foolbox, built = _imported("foolbox"), made(model=None)
    epsilons = None if attack_info(name).minimal_norm else eps

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


def _imported(library: str) -> Any:
    """The library; without its types, since it exports none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its own deprecations, on which no user can act
        return importlib.import_module(library)
