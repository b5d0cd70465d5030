"""Perturbations made while training. They run on the model in evaluation mode, so that batch statistics
stay clean."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...draws import Draws
from ..recipes.options import TrainOptions

Logits = Callable[[Tensor], Tensor]


def perturb(
    model: nn.Module,
    logits_of: Logits,
    images: Tensor,
    labels: Tensor,
    ids: Tensor,
    options: TrainOptions,
    step: int,
) -> Tensor:
    """Images within the budget that raise the loss, from a random start.

    "fgsm" takes one step of 1.25 eps (Wong et al. 2020, arXiv:2001.03994), "pgd" several on the
    cross-entropy (Madry et al. 2018, arXiv:1706.06083), "trades" several on the divergence from the clean
    prediction (Zhang et al. 2019, arXiv:1901.08573).

    Args:
        model: only its mode is switched, and switched back.
        logits_of: forward pass in the run's precision, float logits.
        images: (n, 3, h, w) in [0, 1].
        labels: (n,).
        ids: (n,) sample ids; with `step` they key the random start, so that it does not depend on the
        sharding. options: the recipe. step: of the run.
    """
    draws = Draws.of(options.seed, f"training start {options.adversary}", ids)
    training = model.training
    model.eval()
    try:
        start = random_start(draws, images, options, step)
        loss_of = _loss(logits_of, images, labels, options)
        moved = (images + start).clamp(0, 1)
        for _ in range(1 if options.adversary == "fgsm" else options.attack_steps):
            moved = _ascend(loss_of, moved, images, options)
    finally:
        model.train(training)
    return moved


def random_start(draws: Draws, images: Tensor, options: TrainOptions, step: int) -> Tensor:
    """A point of the ball: uniform in the Linf box, or uniform in the L2 ball; TRADES starts close to the
    centre."""
    shape = images.shape[1:]
    if options.adversary == "trades":
        return 0.001 * draws.normal(shape, step, images.dtype)
    if options.norm == "linf":
        return options.radius * (2 * draws.uniform(shape, step, images.dtype) - 1)
    direction = draws.normal(shape, 2 * step, images.dtype)
    share = draws.uniform((1,), 2 * step + 1, images.dtype) ** (1 / direction[0].numel())
    return options.radius * _per_image(share) * _unit(direction)


def _loss(
    logits_of: Logits, images: Tensor, labels: Tensor, options: TrainOptions
) -> Callable[[Tensor], Tensor]:
    if options.adversary != "trades":
        return lambda moved: F.cross_entropy(logits_of(moved), labels, reduction="sum")
    with torch.no_grad():
        clean = logits_of(images).softmax(1)
    return lambda moved: F.kl_div(logits_of(moved).log_softmax(1), clean, reduction="sum")


def _ascend(
    loss_of: Callable[[Tensor], Tensor], moved: Tensor, images: Tensor, options: TrainOptions
) -> Tensor:
    moved = moved.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(loss_of(moved), moved)
    moved = moved.detach()
    if options.norm == "linf":
        offset = moved + options.step_radius * gradient.sign() - images
        return (images + offset.clamp(-options.radius, options.radius)).clamp(0, 1)
    offset = moved + options.step_radius * _unit(gradient) - images
    shrink = (options.radius / _norms(offset)).clamp_max(1)
    return (images + offset * shrink).clamp(0, 1)


def _per_image(values: Tensor) -> Tensor:
    return values.reshape(-1, 1, 1, 1)


def _norms(x: Tensor) -> Tensor:
    return _per_image(x.flatten(1).norm(dim=1)).clamp_min(torch.finfo(x.dtype).tiny)


def _unit(x: Tensor) -> Tensor:
    return x / _norms(x)
