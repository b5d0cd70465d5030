"""What can be done to sparse coding layers from outside: set lambda, read residuals, refresh step sizes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import RLock
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from ...errors import InputError
from ...specs.lambdas import check_scope
from ...wording import shown
from .csc import SparseCoding
from .hooks import at_first_call, first_call

_turns: WeakKeyDictionary[SparseCoding, RLock] = WeakKeyDictionary()  # by a model's stem


def csc_layers(model: nn.Module) -> list[SparseCoding]:
    """The sparse coding layers of a model, the stem first; an InputError for what is no module, such as a name."""
    _check_module(model)
    return [layer for layer in model.modules() if isinstance(layer, SparseCoding)]


def _check_module(model: nn.Module) -> None:
    if not isinstance(model, nn.Module):
        raise InputError(
            f"model must be a module, got {shown(repr(model))}. Load one by name with rs.load_model."
        )


def has_lambda(model: nn.Module) -> bool:
    """Whether a model has sparse coding layers, and so a lambda to choose."""
    return any(isinstance(layer, SparseCoding) for layer in model.modules())


def check_evaluated(model: nn.Module) -> None:
    """Refuse what is no module, or one in training mode, whose BatchNorm layers would look at the batch: InputError."""
    _check_module(model)
    if model.training:
        raise InputError("The model is in training mode. Call model.eval() first.")


@contextmanager
def use_lambda(model: nn.Module, value: float | Tensor, scope: str = "stem") -> Iterator[None]:
    """Run a model at another lambda; on exit, the previous lambda is restored.

    The model holds it, so that threads that share a model share its lambda; behind a policy they take turns.

    Args:
        model: a model with sparse coding layers, wrapped or not.
        value: one number, a 0-d tensor, or one value per image (n,); gradients flow through tensors.
        scope: "stem" (the first layer, the published protocol) or "all" sparse coding layers.

    Raises:
        InputError: no sparse coding layers, a negative or infinite number (tensors on a GPU are taken as they are), a
            matrix, another scope, or a `lambdas.WithPolicy`, which sets lambda itself.
    """
    layers = csc_layers(model)
    if not layers:
        raise InputError("This model has no sparse coding layers, so it has no lambda. Leave out lambda.")
    check_chooses_none(model)
    check_scope(scope)
    if isinstance(value, Tensor):
        if value.dim() > 1:
            raise InputError(
                f"lambda must be a number or one value per image (n,), got shape {tuple(value.shape)}."
            )
        # To look at one on a GPU would wait for it. What is no number shows in the logits.
        if value.device.type == "cpu" and bool((value < 0).logical_or(value.isinf()).any()):
            raise InputError(f"lambda must be finite and not negative, got {value.tolist()}.")
    else:
        try:
            value = float(value)
        except (TypeError, ValueError, OverflowError):
            raise InputError(
                f"lambda must be a number or a tensor with one value per image, got {shown(repr(value))}."
            ) from None
        if not (math.isfinite(value) and value >= 0):
            raise InputError(f"lambda must be finite and not negative, got {value}.")
    with _set(layers[:1] if scope == "stem" else layers, value):
        yield


def one_thread(model: nn.Module) -> RLock:
    """To hold while a model with sparse coding layers runs at a lambda of this thread's own: others wait for it."""
    stem = next(part for part in model.modules() if isinstance(part, SparseCoding))
    return _turns.setdefault(stem, RLock())


def _chooses_lambda(model: nn.Module) -> bool:
    return any(getattr(part, "chooses_lambda", False) for part in model.modules())


def check_chooses_none(model: nn.Module) -> None:
    """Refuse a `lambdas.WithPolicy`, for which lambda is set in vain, with an InputError."""
    if _chooses_lambda(model):
        raise InputError("A WithPolicy sets lambda itself. Ask the model inside it, model.model.")


@contextmanager
def _set(layers: list[SparseCoding], value: float | Tensor) -> Iterator[None]:
    before = [layer._override for layer in layers]
    for layer in layers:
        layer._override = value
    try:
        yield
    finally:
        for layer, old in zip(layers, before, strict=True):
            layer._override = old


def residuals(model: nn.Module, images: Tensor) -> Tensor:
    """(n,) residual energy |x - A z|^2 of the stem on the normalised images, at the lambda in force.

    Args:
        model: a model built here, wrapped or not.
        images: (n, 3, h, w) in [0, 1].

    Raises:
        InputError: the model has no sparse coding stem, or is a `lambdas.WithPolicy`.
    """
    layer, x = stem_input(model, images)
    check_chooses_none(model)
    return layer.residual(x)


def follows_lambda(model: nn.Module, run: Callable[[], object]) -> bool:
    """Whether the stem codes at the lambda set from outside when `run` calls the model, which may set its own.

    True where the stem is not called; False without sparse coding layers, and of a `lambdas.WithPolicy`.
    """
    stem, there = csc_layers(model)[:1], 0.625  # a number that no model chooses by itself
    if not stem or _chooses_lambda(model):
        return False
    with _set(stem, there):
        # Looked at there, since the model takes its own back on the way out.
        lam = at_first_call(stem, run, lambda layer, _: layer.lam)
    return lam is None or (isinstance(lam, float) and lam == there)


def stem_input(model: nn.Module, images: Tensor) -> tuple[SparseCoding, Tensor]:
    """The first sparse coding layer of a model and the input (n, c, h, w) that it gets for images in [0, 1].

    The model runs up to that layer, so whatever it or a model around it does to the images before counts.

    Raises:
        InputError: the model has no sparse coding stem, or calls another layer before the one that is assigned first.
    """
    layers = csc_layers(model)
    found = first_call(layers, lambda: model(images)) if layers else None
    if found is not None and found[0] is not layers[0]:
        raise InputError(
            "This model calls another of its sparse coding layers before the one that is assigned first, so it is not "
            "clear which is its stem. Assign the stem first in __init__."
        )
    if found is not None and isinstance(found[0], SparseCoding):
        return found[0], found[1]
    raise InputError("This model has no sparse coding stem, so it has no lambda. Use an sdnet architecture.")


def refresh_step_sizes(model: nn.Module, *, tolerance: float = 1e-5, max_steps: int = 2000) -> None:
    """Normalise every dictionary and compute every step size to convergence, from the weights alone.

    Call it once after training or after changing weights; evaluation never repeats it.

    Args:
        model: any model; without sparse coding layers nothing happens.
        tolerance: a layer is done when ten more power iterations raise L by less than this fraction.
        max_steps: at most this many power iterations per layer, in rounds of ten of which one is always made.
    """
    for layer in csc_layers(model):
        layer.refresh(tolerance, max_steps)


def settle_step_sizes(model: nn.Module, steps: int) -> None:
    """Let step sizes catch up with their atoms by so many power iterations from where training stands, if any.

    They do so by one at each training forward; layers that are to keep their step size do.
    """
    for layer in csc_layers(model):
        if steps > 0 and layer.coding.power_steps:
            layer.warm_step(layer.atoms(), steps)


def normalise_atoms(model: nn.Module) -> None:
    """Put every atom back on the unit sphere in place; step sizes stay as they are."""
    for layer in csc_layers(model):
        layer.normalise()


@contextmanager
def auxiliary_objective(model: nn.Module) -> Iterator[Callable[[], Tensor]]:
    """Collect what every sparse coding layer minimises, for the auxiliary loss of training.

    Yields:
        A function without arguments: the batch mean of |x - A z|^2 + lambda |z|_1 + mu/2 |z|^2, summed over
        layers and over the forwards since the last call. Multiply it by a factor and add it to the loss.

    Raises:
        InputError: no sparse coding layers.
    """
    layers = csc_layers(model)
    if not layers:
        raise InputError("The auxiliary loss needs a model with sparse coding layers, such as sdnet18.")
    terms: list[Tensor] = []

    def collect() -> Tensor:
        means = [term.mean() for term in terms] or [layers[0].weight.new_zeros(())]
        terms.clear()
        return torch.stack(means).sum()

    for layer in layers:
        layer._objectives = terms
    try:
        yield collect
    finally:
        for layer in layers:
            layer._objectives = None
