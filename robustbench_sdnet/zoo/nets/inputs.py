"""What networks take: floats in [0, 1]; and whether values can be looked at while torch has the code in hand."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch._C._functorch import is_functorch_wrapped_tensor

from ...errors import InputError


def check_floats(images: object) -> None:
    """Refuse what is no tensor of floats, such as bytes, with an InputError."""
    if not (isinstance(images, Tensor) and images.is_floating_point()):
        got = getattr(images, "dtype", type(images).__name__)
        raise InputError(f"images must be a tensor of floats in [0, 1], got {got}. Divide bytes by 255.")


def check_range(images: Tensor) -> None:
    """Refuse images with values outside [0, 1], or not finite, with an InputError."""
    low, high = extremes(images)
    if not (low >= 0 and high <= 1):
        raise InputError(f"images must lie in [0, 1], {got_range(low, high)}")


def extremes(images: Tensor) -> tuple[float, float]:
    """The lowest and the highest value; 0 and 0 of no images."""
    low, high = map(float, images.detach().aminmax()) if len(images) else (0.0, 0.0)
    return low, high


def got_range(low: float, high: float) -> str:
    """The end of a message on images outside [0, 1]: their lowest and highest value, and what to do."""
    remedy = "Divide by 255." if low >= 0 and high > 2 else "Leave the normalisation to the model."
    remedy = remedy if math.isfinite(low) and math.isfinite(high) else "Some are not finite."
    return f"got values from {low:.3g} to {high:.3g}. {remedy}"


def traced() -> bool:
    """Whether torch compiles or traces what runs now."""
    return torch.compiler.is_compiling() or torch._C._get_tracing_state() is not None


def readable(images: Tensor) -> bool:
    """Whether there are values that can be looked at: not while torch traces, compiles or maps over them."""
    if traced() or not len(images):
        return False
    dispatched = torch._C._len_torch_dispatch_stack() > 0  # as by make_fx, and of tensors without values
    return not (dispatched or images.is_meta or is_functorch_wrapped_tensor(images))
