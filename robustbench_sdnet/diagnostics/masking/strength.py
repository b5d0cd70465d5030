"""Checks that the white-box attack does all it can: in eps, in steps, in losses, in restarts."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor

from ...answers.trust import FAIL, PASS, WARN, Finding
from ...attacks.engine.balls import BALLS
from ...attacks.engine.losses import negative_margin
from ...statistics import binomial_tail
from ..finding import NOTICED, TOLERATED, counted
from .subject import STEPS, Subject, Trace, follow

_MOVES = 0.05  # relative change of the mean loss over the last ten steps
_ROUGHLY_EQUAL = 0.1  # robust accuracies of two losses
_ALPHA = 0.01


def not_monotone_in_eps(subject: Subject, base: Tensor) -> Finding:
    """Robust accuracy at half, once (`base`, (n,) bool, robust there) and twice the budget, each from scratch."""
    robust = {factor: ~follow(subject, eps=subject.eps * factor).broken() for factor in (0.5, 2.0)}
    steps = [robust[0.5], base, robust[2.0]]
    shares = [float(step.double().mean()) for step in steps]
    rise, verdict = 0.0, PASS
    for near, far in pairwise(steps):
        gained, lost = int((far & ~near).sum()), int((near & ~far).sum())
        rise = max(rise, (gained - lost) / len(subject))
        if gained - lost >= 3:
            odd = binomial_tail(gained, gained + lost, 0.5)
            verdict = FAIL if odd < _ALPHA else WARN if verdict == PASS else verdict
    listed = ", ".join(f"{share:.1%}" for share in shares)
    sentence = f"Robust accuracy at half, once and twice eps: {listed}."
    return Finding("not_monotone_in_eps", verdict, rise, sentence)


def unbounded_eps_survives(subject: Subject) -> Finding:
    """Attack with half the range of the box, where nothing of the image need be left."""
    eps = float(BALLS[subject.norm].lengths(torch.full_like(subject.images[:1], 0.5)))
    broken = follow(subject, eps=eps).broken()
    left = subject.take(~broken)
    survived = int((~follow(left, negative_margin, eps=eps).broken()).sum()) if len(left) else 0
    n = len(subject)
    sentence = f"{survived} of {n} samples survive {subject.norm} eps {eps:.3g}, which allows any image."
    return counted("unbounded_eps_survives", survived, n, sentence, tolerated=TOLERATED, noticed=NOTICED)


def not_converged(trace: Trace) -> Finding:
    """Do 2 * STEPS steps break more than the first half of them, or still move the loss where nothing broke?"""
    n = len(trace.broken_at)
    more = int((trace.broken() & ~trace.broken(STEPS)).sum())
    survivors = ~trace.broken()
    sentence = f"Doubling the steps to {2 * STEPS} broke {more} more of {n} samples"
    moved = 0.0
    if survivors.any():
        before, after = (float(trace.losses[step, survivors].mean()) for step in (-11, -1))
        moved = abs(after - before) / max(abs(after), 1e-12)
        sentence += f"; the survivors' loss moved {moved:.1%} over the last ten steps"
    by_count = counted("not_converged", more, n, sentence + ".", tolerated=TOLERATED, noticed=NOTICED)
    # A handful of survivors says nothing about a mean loss.
    if by_count.verdict != FAIL and moved > _MOVES and int(survivors.sum()) >= 10:
        return Finding("not_converged", FAIL, moved, sentence + ": take more steps.")
    return by_count


def lost_success(trace: Trace) -> Finding:
    """Samples that were broken at some step but not at the last one, of a trace followed to the end."""
    lost, n = int((trace.broken() & ~trace.broken_last).sum()), len(trace.broken_at)
    sentence = f"{lost} of {n} samples were broken on the way but not at the last step"
    sentence += ": keep the first success, not the last iterate." if lost else "."
    return counted("lost_success", lost, n, sentence, tolerated=2 * TOLERATED, noticed=TOLERATED)


def losses_disagree(subject: Subject, by_entropy: Tensor, by_margin: Tensor) -> Finding:
    """Robust accuracy under cross-entropy and under the margin; (n,) bool, broken by the same steps of each."""
    first, second = int((by_entropy & ~by_margin).sum()), int((by_margin & ~by_entropy).sum())
    n = len(subject)
    gap = abs(first - second) / n
    odd = binomial_tail(max(first, second), first + second, 0.5) if first + second else 1.0
    verdict = PASS
    if odd < _ALPHA:
        verdict = FAIL if gap > _ROUGHLY_EQUAL else WARN if gap > _ROUGHLY_EQUAL / 2 else PASS
    shares = [1 - float(broken.double().mean()) for broken in (by_entropy, by_margin)]
    sentence = f"Robust accuracy is {shares[0]:.1%} under cross-entropy and {shares[1]:.1%} under the margin."
    return Finding("losses_disagree", verdict, gap, sentence)


def restart_sensitive(subject: Subject, broken: Tensor) -> Finding:
    """What another restart, and one with a finer step, break beyond (n,) bool `broken` by the first run."""
    left = subject.take(~broken)
    more = torch.zeros(len(left), dtype=torch.bool, device=left.labels.device)
    for start, fraction in ((1, 0.25), (2, 0.1)):
        open_ones = (~more).nonzero()[:, 0]
        if len(open_ones):
            more[open_ones] = follow(left.take(open_ones), step_fraction=fraction, start=start).broken()
    count, n = int(more.sum()), len(subject)
    sentence = f"Another restart and one with a finer step broke {count} more of {n} samples."
    return counted("restart_sensitive", count, n, sentence, tolerated=TOLERATED, noticed=NOTICED)
