"""Checks in float64 of what gradients promise: a loss that is smooth near the image, and the slope of it."""

from __future__ import annotations

import copy
from dataclasses import replace

import torch
from torch import Tensor

from ...answers.trust import Finding
from ...attacks.engine.balls import BALLS
from ...attacks.engine.losses import negative_margin
from ...draws import Draws
from ..finding import above, not_run
from .subject import Subject

_SAMPLES = 24
_DIRECTIONS = 4
_ROUGH_CAP = 1000.0


def in_float64(subject: Subject) -> Subject | None:
    """The first samples on a float64 copy of the model; None when the model cannot work in float64."""
    few = subject.take(torch.arange(min(_SAMPLES, len(subject)), device=subject.labels.device))
    try:
        exact = replace(few, model=copy.deepcopy(subject.model).double(), images=few.images.double())
        with torch.no_grad():
            works = exact.model(exact.images[:1]).dtype == torch.float64
    except (RuntimeError, TypeError, ValueError, AttributeError):
        return None
    return exact if works else None


def rough_loss(subject: Subject | None) -> Finding:
    """How much more the margin moves under tiny random signs than its gradient says; 1 on a smooth loss.

    A step of size h along random signs moves a smooth loss by h |g|_2 in the root mean square.
    """
    if subject is None:
        return not_run("rough_loss", "The model does not work in float64.")
    tiny = subject.eps / 100 / float(BALLS[subject.norm].lengths(torch.ones_like(subject.images[:1])))
    gradient, start, _ = subject.gradient(negative_margin)
    expected = tiny * gradient.flatten(1).norm(dim=1)
    draws = Draws.of(subject.seed, "verdicts/rough", subject.ids)
    moves = []
    for index in range(_DIRECTIONS):
        signs = draws.signs(subject.images.shape[1:], index, torch.float64)
        moves.append(negative_margin(subject.predict(subject.images + tiny * signs), subject.labels) - start)
    moved = torch.stack(moves).square().mean(0).sqrt()
    # Where neither moves, the loss is flat, which another check reports.
    ratio = torch.where(moved <= 1e-12, torch.ones_like(moved), moved / expected.clamp_min(1e-300))
    value = min(float(ratio.median()), _ROUGH_CAP)
    sentence = f"Under random signs of eps/100 the loss moves {value:.3g} times as much as its gradient says."
    return above("rough_loss", value, sentence, warn=2.0, fail=3.0)


def wrong_gradient(subject: Subject | None) -> Finding:
    """The share of samples whose central differences and autograd disagree on most of four directions."""
    if subject is None:
        return not_run("wrong_gradient", "The model does not work in float64.")
    step = 1e-6
    gradient, start, _ = subject.gradient(negative_margin)
    draws = Draws.of(subject.seed, "verdicts/directions", subject.ids)
    votes = torch.zeros(len(subject), device=subject.labels.device)
    for index in range(_DIRECTIONS):
        along = draws.normal(subject.images.shape[1:], index, torch.float64)
        along = along / along.flatten(1).norm(dim=1).reshape(-1, 1, 1, 1)
        ahead, behind = (
            negative_margin(subject.predict(subject.images + sign * step * along), subject.labels)
            for sign in (1, -1)
        )
        votes += _disagree((ahead - behind) / (2 * step), (gradient * along).flatten(1).sum(1), start)
    share = float((votes > _DIRECTIONS / 2).double().mean())
    sentence = f"Finite differences contradict autograd on {share:.0%} of {len(subject)} samples."
    return above("wrong_gradient", share, sentence, warn=0.05, fail=0.1)


def _disagree(measured: Tensor, promised: Tensor, level: Tensor) -> Tensor:
    """(n,) bool: apart by more than 5 %, beyond what rounding at this level of the loss explains."""
    rounding = 1e-7 * (1 + level.abs())
    return (measured - promised).abs() > 0.05 * torch.maximum(measured.abs(), promised.abs()) + rounding
