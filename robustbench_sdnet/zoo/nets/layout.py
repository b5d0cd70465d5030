"""In which memory layout a model is given its images: channels-last only where it pays and works.

It pays where there are convolutions, on a GPU those of bfloat16 alone. It does not work where a model views its
images flat, and nothing may reach the weight gradient of a strided 1x1 convolution of fewer than eight channels in
it: on processors without AVX-512 oneDNN (torch 2.15) writes that one beyond its memory, and with two threads returns
wrong numbers. `benchmarks/kernels.py` sweeps for others of its kind.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from ...draws import seeded
from .sdnet import Classifier

AGREEMENT = 1e-3
"""How far logits and gradients of the two layouts may be apart, as a share of their length."""

_probed: WeakKeyDictionary[object, torch.memory_format] = WeakKeyDictionary()


def laid_out(model: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """The images (n, c, h, w) in the layout of `layout_of`; they are copied only where theirs is another one."""
    return images.contiguous(memory_format=layout_of(model, images))


def layout_of(model: Callable[[Tensor], Tensor], images: Tensor, *, low: bool = False) -> torch.memory_format:
    """The layout in which to ask a model; other people's are probed once, on two images like these.

    Args:
        model: in evaluation mode; one in training mode is neither probed nor given channels-last.
        images: any number (n, c, h, w), of the shape, type and device in question; their values do not matter.
        low: the model is going to compute in bfloat16, as under autocast it does in any case.
    """
    device = images.device.type
    if device == "cuda" and not (low or torch.is_autocast_enabled(device)):
        return torch.contiguous_format
    if isinstance(getattr(model, "_orig_mod", model), Classifier):
        return torch.channels_last  # a test holds every architecture of ours to it
    if images.dim() != 4 or getattr(model, "training", False):
        return torch.contiguous_format
    try:
        return _probed[model]
    except (KeyError, TypeError):  # not yet, or nothing that can be remembered
        layout = torch.channels_last if _works(model, images) else torch.contiguous_format
    with suppress(TypeError):
        _probed[model] = layout
    return layout


def _works(model: Callable[[Tensor], Tensor], images: Tensor) -> bool:
    """Whether channels-last pays, reaches no faulty kernel, and gives the logits and gradients of the other layout."""
    generator = torch.Generator().manual_seed(0)
    pictures = torch.rand((2, *images.shape[1:]), generator=generator, dtype=torch.float32, device="cpu").to(
        images
    )
    try:
        with seeded(0, "layout", str(images.device)), torch.autocast(images.device.type, enabled=False):
            with Convolutions() as convolutions:
                contiguous = _logits_and_gradient(model, pictures.contiguous())
            if not convolutions.seen or any(is_faulty(*each) for each in convolutions.seen):
                return False
            channels_last = _logits_and_gradient(
                model, pictures.contiguous(memory_format=torch.channels_last)
            )
    except (Exception, SystemExit):  # noqa: BLE001  it raises again where somebody waits for its answer
        return False
    pairs = zip(channels_last, contiguous, strict=True)
    return all(bool((a - b).norm() <= AGREEMENT * b.norm()) for a, b in pairs)


def _logits_and_gradient(model: Callable[[Tensor], Tensor], pictures: Tensor) -> list[Tensor]:
    """The logits and, where there is one, the gradient of their energy by the images."""
    with torch.enable_grad():
        pictures = pictures.requires_grad_()
        logits = model(pictures)
        answers = [logits.detach()]
        if logits.requires_grad:
            answers += torch.autograd.grad(logits.square().sum(), pictures)
    return answers


class Convolutions(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch has no types here
    """Sees weight shape and strides of the two-dimensional convolutions that run inside it, whoever calls them."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # as above
        self.seen: list[tuple[tuple[int, ...], tuple[int, ...]]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the operation, and remember it where it is a convolution."""
        if func is torch.ops.aten.convolution.default and args[1].dim() == 4:
            self.seen.append((tuple(args[1].shape), tuple(args[3])))
        return func(*args, **(kwargs or {}))


def is_faulty(weight: tuple[int, ...], strides: tuple[int, ...]) -> bool:
    """Whether oneDNN's weight gradient of a convolution may be wrong in channels-last: weight (d, c, k, k)."""
    return weight[2:] == (1, 1) and max(strides) > 1 and weight[1] < 8
