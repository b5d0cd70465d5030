"""Perturbations made while training. They run on the model in evaluation mode, so that batch statistics
stay clean."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...attacks.engine.balls import BALLS
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
        images, labels: (n, 3, h, w) in [0, 1], and (n,).
        ids: (n,) sample ids; with `step` they key the random start, so that it does not depend on the sharding.
    """
    draws = Draws.of(options.seed, f"training start {options.adversary}", ids)
    ball, training = BALLS[options.norm], model.training
    model.eval()
    try:
        moved = random_start(draws, images, options, step)
        loss_of = _loss(logits_of, images, labels, options)
        for _ in range(1 if options.adversary == "fgsm" else options.attack_steps):
            moved = moved.detach().requires_grad_()
            (gradient,) = torch.autograd.grad(loss_of(moved), moved)
            moved = ball.ascend(moved.detach(), gradient, images, options.step_radius, options.radius)
    finally:
        model.train(training)
    return moved


def random_start(draws: Draws, images: Tensor, options: TrainOptions, step: int) -> Tensor:
    """A random point of the ball; TRADES starts close to the centre."""
    if options.adversary == "trades":
        return (images + 0.001 * draws.normal(images.shape[1:], step, images.dtype)).clamp(0, 1)
    return BALLS[options.norm].random_in_ball(draws, images, options.radius, step)


def _loss(
    logits_of: Logits, images: Tensor, labels: Tensor, options: TrainOptions
) -> Callable[[Tensor], Tensor]:
    if options.adversary != "trades":
        return lambda moved: F.cross_entropy(logits_of(moved), labels, reduction="sum")
    with torch.no_grad():
        clean = logits_of(images).softmax(1)
    return lambda moved: F.kl_div(logits_of(moved).log_softmax(1), clean, reduction="sum")
