"""Checks that need a few passes and no attack."""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any

import torch

from ...answers.trust import FAIL, PASS, Finding
from ...attacks.engine.losses import cross_entropy, dlr
from ..finding import above
from .subject import Subject

_REPEATS = 2
_SAME = 1e-4


def randomised(subject: Subject) -> Finding:
    """Compare logits of repeated calls; relative to their size, so that large logits do not look random."""
    first = subject.predict()
    others = [subject.predict() for _ in range(_REPEATS)]
    scale = max(1.0, float(first.abs().max()))
    gap = max(float((other - first).abs().max()) for other in others) / scale
    if gap > _SAME:
        sentence = f"Logits differ by {gap:.2g} between calls: average over draws (EOT) before attacking."
        return Finding("randomised", FAIL, gap, sentence)
    return Finding("randomised", PASS, gap, "Repeated calls give the same logits.")


def probabilities(subject: Subject) -> Finding:
    """The share of rows that lie in [0, 1] and sum to 1."""
    rows = subject.predict()
    inside = (rows >= 0).all(1) & (rows <= 1).all(1) & ((rows.sum(1) - 1).abs() < 1e-3)
    share = float(inside.double().mean())
    rest = ": the loss saturates on them; return logits." if share > 0.5 else "; the others are logits."
    sentence = f"{share:.0%} of the outputs are probabilities{rest}"
    return above("probabilities", share, sentence, warn=0.1, fail=0.5)


def zero_gradient(subject: Subject) -> Finding:
    """The share of samples without a usable input gradient, for cross-entropy and for DLR."""
    gradients = (subject.gradient(loss)[0] for loss in (cross_entropy, dlr))
    shares = [float((gradient == 0).flatten(1).all(1).double().mean()) for gradient in gradients]
    worst = max(shares)
    entropy, ratio = shares
    sentence = (
        f"The input gradient is zero or not finite on {entropy:.0%} (cross-entropy), {ratio:.0%} (DLR)."
    )
    if worst > 0.1:
        sentence += " Gradient attacks stand still there."
    return above("zero_gradient", worst, sentence, warn=0.02, fail=0.1)


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
        sys.setprofile(before)
    if calls:
        sentence = (
            f"The forward pass calls autograd ({calls} calls): attack through it, or without gradients."
        )
        return Finding("test_time_optimisation", FAIL, float(calls), sentence)
    return Finding("test_time_optimisation", PASS, 0.0, "The forward pass runs no autograd.")
