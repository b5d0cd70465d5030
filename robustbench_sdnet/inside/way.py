"""An image's way through a network: what stands at every depth, 0 after the stem and k after block k, and images that
have the same there."""

from __future__ import annotations

from contextlib import suppress
from numbers import Integral

import torch
from torch import Tensor, nn

from ..errors import InputError
from ..reading.numbers import whole
from ..zoo.nets.control import check_evaluated
from ..zoo.nets.hooks import Reached, hooked, looking, uncompiled
from ..zoo.nets.resnet import BasicBlock
from ..zoo.nets.sdnet import Classifier

STEPS = 200
RATE = 0.05
SMOOTHNESS = 1e-3  # of the total variation, whose gradient keeps what the features leave open


def network(model: nn.Module) -> Classifier | None:
    """The network built here that a model is or wraps, or None."""
    return next((part for part in model.modules() if isinstance(part, Classifier)), None)


def stages(model: nn.Module) -> list[nn.Module]:
    """What ends each depth: stem and blocks of a network built here, of any other the parts that it is made of."""
    net = network(model)
    if net is not None:
        return [net.layer0, *(part for part in net.modules() if isinstance(part, BasicBlock))]
    parts = list(getattr(model, "model", model).children())
    while len(parts) == 1 and list(parts[0].children()):
        parts = list(parts[0].children())
    return parts or [model]


def check_depth(depth: int, count: int) -> None:
    """Refuse a depth that is no whole number from 0 to `count` - 1 with an InputError."""
    if not isinstance(depth, Integral):  # NumPy's are
        raise InputError(f"depth must be a whole number, got {depth}.")
    if not 0 <= depth < count:
        raise InputError(f"depth must lie in 0 to {count - 1} for this model, got {depth}.")


@uncompiled
def features(model: nn.Module, images: Tensor, depth: int | None = None) -> list[Tensor]:
    """The features at every depth, or at one; behind a `lambdas.WithPolicy` those at the lambda that it chooses.

    Args:
        model: in evaluation mode.
        images: (n, c, h, w) in [0, 1].
        depth: 0 after the stem, k after block k; None for all. Of a model that was not built here, k is its k-th part.

    Returns:
        One tensor per depth, (n, channels, height, width) for networks built here.

    Raises:
        InputError: no such depth, or a part that gives no tensor, or that nothing can listen to.
    """
    check_evaluated(model)
    wanted = stages(model)
    if any(isinstance(stage, torch.jit.ScriptModule) for stage in wanted):
        raise InputError(
            "TorchScript does not show what its parts give. Name the Python function that builds the model "
            "(package.module:function)."
        )
    if depth is not None:
        check_depth(depth, len(wanted))
        wanted = [wanted[depth]]
    outputs: dict[nn.Module, Tensor] = {}
    with looking() as mine:

        def keep(stage: nn.Module, _: object, output: object) -> None:
            if isinstance(output, Tensor) and mine():
                # The next part may work in place; where there is none, nothing does.
                outputs.setdefault(stage, output.clone() if depth is None else output)
                if depth is not None:
                    raise Reached

        with hooked(wanted, keep), suppress(Reached):
            model(images)
    if any(stage not in outputs for stage in wanted):
        raise InputError(
            "A part of this model is not called, or gives no tensor, so that it has no depths. Of an exported file, "
            "name the Python function that builds the model (package.module:function)."
        )
    return [outputs[stage] for stage in wanted]


def invert_features(
    model: nn.Module, images: Tensor, depth: int, *, steps: int = STEPS, smoothness: float = SMOOTHNESS
) -> Tensor:
    """Minimise |f(x) - f(images)|^2 / |f(images)|^2 + smoothness * total variation of x, by Adam from grey: images
    with the features of other images (Mahendran and Vedaldi 2015, arXiv:1412.0035), for any classifier.

    Every image is optimised separately, so that its result does not depend on the batch.

    Args:
        model: in evaluation mode; its features must have a gradient.
        images: (n, c, h, w) in [0, 1].
        depth: as for `features`.
        steps: forward and backward passes, at least 1.
        smoothness: weight of the mean absolute difference of neighbours.

    Returns:
        (n, c, h, w), not clipped.

    Raises:
        InputError: no such depth, training mode, or no step.
    """
    steps = whole(steps, "steps must be a whole number", 1)
    with torch.no_grad():
        target = features(model, images, depth)[0]
        scale = target.flatten(1).square().sum(1).clamp_min(1e-12)
    x = torch.full_like(images, 0.5, requires_grad=True)
    optimiser = torch.optim.Adam([x], lr=RATE)
    with torch.enable_grad():
        for _ in range(steps):
            difference = (features(model, x, depth)[0] - target).flatten(1).square().sum(1) / scale
            loss = (difference + smoothness * _variation(x)).sum()
            (x.grad,) = torch.autograd.grad(loss, [x])
            optimiser.step()
    return x.detach()


def _variation(x: Tensor) -> Tensor:
    """(n,) mean absolute difference of neighbours, down and across."""
    return (x.diff(dim=2).abs().flatten(1).mean(1) + x.diff(dim=3).abs().flatten(1).mean(1)) / 2
