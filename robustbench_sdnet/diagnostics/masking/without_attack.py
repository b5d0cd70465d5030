"""Checks that need no attack: a few passes, and in float64 what gradients promise of the loss near an image."""

from __future__ import annotations

import copy
import sys
from dataclasses import replace
from types import FrameType
from typing import Any

import torch
from torch import Tensor

from ...answers.trust import FAIL, PASS, Finding
from ...attacks.engine.ball import column
from ...attacks.engine.balls import BALLS
from ...attacks.engine.guards import checked_classes
from ...attacks.engine.losses import cross_entropy, dlr, negative_margin
from ...attacks.engine.rounding import disagreement
from ...devices import as_float64, exact_mean
from ...draws import Draws
from ...errors import ModelError
from ...wording import counted, percent
from ..finding import by_thresholds
from .subject import Subject

_REPEATS = 2
_SAME = 1e-4
_SAMPLES = 24
_DIRECTIONS = 4
_SIGNS = 8  # of so many directions the mean square is a third of what it should be on one smooth image in 900
_ROUGH_CAP = 1000.0


def randomised(subject: Subject) -> Finding:
    """Compare logits of repeated calls; relative to their size, so that large logits do not look random."""
    first = subject.predict()
    checked_classes(subject.labels, first)
    others = [subject.predict() for _ in range(_REPEATS)]
    gap = max(disagreement(first, other, least=1.0) for other in others)
    if gap > _SAME:
        sentence = f"Logits differ by {gap:.2g} between calls: attacks must average over draws (EOT)."
        return Finding("randomised", FAIL, gap, sentence)
    return Finding("randomised", PASS, gap, "Repeated calls give the same logits.")


def probabilities(subject: Subject) -> Finding:
    """The share of rows that lie in [0, 1] and sum to 1."""
    rows = subject.predict()
    inside = (rows >= 0).all(1) & (rows <= 1).all(1) & ((rows.sum(1) - 1).abs() < 1e-3)
    share = exact_mean(inside)
    rest = ": the loss saturates on them; return logits." if share > 0.5 else "; the others are logits."
    sentence = f"{percent(share, 0)} of the outputs are probabilities{rest}"
    return by_thresholds("probabilities", share, sentence, warn=0.1, fail=0.5)


def zero_gradient(subject: Subject) -> Finding:
    """The share of samples without a usable input gradient, for cross-entropy and for DLR."""
    entropy, ratio = (exact_mean(subject.silent(loss)) for loss in (cross_entropy, dlr))
    worst = max(entropy, ratio)
    on = f"{percent(entropy, 0)} (cross-entropy), {percent(ratio, 0)} (DLR)"
    sentence = f"The input gradient is zero or not finite on {on}."
    if worst > 0.1:
        sentence += " Gradient attacks stall or go astray there."
    return by_thresholds("zero_gradient", worst, sentence, warn=0.02, fail=0.1)


def test_time_optimisation(subject: Subject) -> Finding:
    """Watch one forward pass for calls of autograd, under whatever name the model imported it."""
    watched = {torch.autograd.grad.__code__, torch.autograd.backward.__code__}
    calls = 0

    def watch(frame: FrameType, event: str, _: Any) -> None:
        nonlocal calls
        if event == "call" and frame.f_code in watched:
            calls += 1

    before = sys.getprofile()
    sys.setprofile(watch)
    try:
        subject.model(subject.images[:1].detach())
    finally:
        # cProfile's own cannot be set again, and ends here.
        sys.setprofile(before if callable(before) else None)
    if calls:
        made = counted(calls, "call")
        sentence = f"The forward pass calls autograd ({made}): attack through it, or without gradients."
        return Finding("test_time_optimisation", FAIL, float(calls), sentence)
    return Finding("test_time_optimisation", PASS, 0.0, "The forward pass does not run autograd.")


def in_float64(subject: Subject) -> Subject | None:
    """The first samples on a float64 copy of the model; None when the model cannot work in float64."""
    few = subject.take(torch.arange(min(_SAMPLES, len(subject)), device=subject.labels.device))
    images = as_float64(few.images)
    labels, ids = few.labels.to(images.device), few.ids.to(images.device)
    try:
        model = copy.deepcopy(subject.model).to(images)
        exact = replace(few, model=model, images=images, labels=labels, ids=ids)
        with torch.no_grad():
            works = exact.model(exact.images[:1]).dtype == torch.float64
    except (RuntimeError, TypeError, ValueError, AttributeError, ModelError):
        return None
    return exact if works else None


def rough_loss(subject: Subject) -> Finding:
    """How much the margin moves under tiny random signs, over what its gradient says; 1 on a smooth loss.

    A step of size h along random signs moves a smooth loss by h |g|_2 in the root mean square. A loss that jumps moves
    more; one that ripples finely moves less, and its gradient is the ripples'.
    """
    tiny = subject.eps / 100 / float(BALLS[subject.norm].lengths(torch.ones_like(subject.images[:1])))
    images = subject.images.clamp(tiny, 1 - tiny)  # a model need know nothing outside [0, 1]
    gradient, start, _ = subject.gradient(negative_margin, images)
    expected = tiny * gradient.flatten(1).norm(dim=1)
    draws = Draws.of(subject.seed, "verdicts/rough", subject.ids)
    moves = []
    for index in range(_SIGNS):
        signs = draws.signs(subject.images.shape[1:], index, torch.float64)
        moves.append(negative_margin(subject.predict(images + tiny * signs), subject.labels) - start)
    moved = torch.stack(moves).square().mean(0).sqrt()
    # Where neither moves, the loss is flat, which another check reports.
    flat = torch.maximum(moved, expected) <= 1e-12
    ratio = torch.where(flat, torch.ones_like(moved), moved / expected.clamp_min(1e-300))
    value = min(float(ratio.median()), _ROUGH_CAP)
    sentence = f"Under random signs of eps/100 the loss moves {value:.3g} times as much as its gradient says."
    off = max(value, 1 / max(value, 1 / _ROUGH_CAP))
    return replace(by_thresholds("rough_loss", off, sentence, warn=2.0, fail=3.0), value=value)


def wrong_gradient(subject: Subject) -> Finding:
    """The share of samples whose central differences and autograd disagree on most of four directions."""
    step = 1e-6
    images = subject.images.clamp(step, 1 - step)  # as in `rough_loss`
    gradient, start, _ = subject.gradient(negative_margin, images)
    draws = Draws.of(subject.seed, "verdicts/directions", subject.ids)
    votes = torch.zeros(len(subject), dtype=torch.float32, device=subject.labels.device)
    for index in range(_DIRECTIONS):
        along = draws.normal(subject.images.shape[1:], index, torch.float64)
        along = along / column(along.flatten(1).norm(dim=1), along)
        ahead, behind = (
            negative_margin(subject.predict(images + sign * step * along), subject.labels) for sign in (1, -1)
        )
        votes += _disagree((ahead - behind) / (2 * step), (gradient * along).flatten(1).sum(1), start)
    share = exact_mean(votes > _DIRECTIONS / 2)
    sentence = (
        f"Finite differences contradict autograd on {percent(share, 0)} of {counted(len(subject), 'sample')}."
    )
    return by_thresholds("wrong_gradient", share, sentence, warn=0.05, fail=0.1)


def _disagree(measured: Tensor, promised: Tensor, level: Tensor) -> Tensor:
    """(n,) bool: apart by more than 5 %, beyond what rounding at this level of the loss explains."""
    rounding = 1e-7 * (1 + level.abs())
    return (measured - promised).abs() > 0.05 * torch.maximum(measured.abs(), promised.abs()) + rounding
