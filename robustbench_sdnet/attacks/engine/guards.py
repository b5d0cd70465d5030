"""A model as an attack may use it: outside inference mode, in evaluation mode, its weights left alone."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

from torch import Tensor, nn
from torch.nn import Parameter

from ...errors import InputError
from ...holding import Held
from ...zoo.others.guard import evaluated
from .passes import Classifier

_modes: Held[nn.Module, bool] = Held(
    lambda module: module.training, lambda module, mode: setattr(module, "training", mode)
)
_flags: Held[Parameter, bool] = Held(
    lambda weight: weight.requires_grad, lambda weight, flag: weight.requires_grad_(flag)
)

AnyClassifier = TypeVar("AnyClassifier", bound=Classifier)


def tracked(model: AnyClassifier) -> AnyClassifier:
    """The model, or a copy of one that was made in inference mode, whose tensors autograd refuses.

    An InputError for what cannot be called on images: a name, a class, several models.
    """
    if not callable(model) or isinstance(model, type):
        given = repr(model) if isinstance(model, str | type) else type(model).__name__
        raise InputError(
            f"model must be a module or a function of images, got {given}. Load one by name with rs.load_model."
        )
    if isinstance(model, nn.Module):
        tensors = (*model.parameters(), *model.buffers())
        if any(tensor.is_inference() for tensor in tensors):
            return copy.deepcopy(model)
    return model


@contextmanager
def frozen(model: Classifier) -> Iterator[None]:
    """Evaluation mode and no weight gradients inside; every module's mode and every flag restored after.

    Threads that share a model share the block: what the first found is restored by the last.
    """
    if not isinstance(model, nn.Module):
        yield
        return
    # A scripted module that was frozen has no mode any more.
    modes = [module for module in model.modules() if hasattr(module, "training")]
    weights = list(model.parameters())
    with _modes.hold(modes), _flags.hold(weights):
        evaluated(model)
        for weight in weights:
            weight.requires_grad_(False)
        yield


def usable(values: Tensor) -> Tensor:
    """The values as autograd takes them, without a past: a copy of what was made in inference mode."""
    return values.clone() if values.is_inference() else values.detach()


def checked_classes(labels: Tensor, logits: Tensor) -> int:
    """How many classes logits (n, classes) are of; an InputError where labels (n,) go beyond."""
    last, classes = int(labels.max()), logits.shape[1]
    if last >= classes:
        raise InputError(
            f"labels go up to {last}, but the model returns {classes} classes: 0 to {classes - 1}."
        )
    return classes
