"""Checks by attacks: the white-box attack does all it can in eps, steps, losses, restarts, and no weaker one wins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise

import torch
from torch import Tensor, nn

from ...answers.trust import FAIL, PASS, WARN, Finding
from ...attacks import run
from ...attacks.engine.balls import BALLS
from ...attacks.engine.guards import frozen
from ...attacks.engine.losses import cross_entropy, negative_margin
from ...devices import exact_mean
from ...draws import Draws
from ...statistics import RARE_MINIMUM, RARE_RATE, binomial_tail
from ...wording import counted, percent
from ..finding import NOTICED, TOLERATED, by_count, by_thresholds, not_run
from .subject import STEPS, Subject, Trace, follow

_DRAWS = 5
_MOVES = 0.05  # relative change of the mean loss over the last ten steps
_ROUGHLY_EQUAL = 0.1  # robust accuracies of two losses
_ALPHA = 0.01
_ONE_STEP = "one step does better, as where the loss is masked along the path of many"
_HELD_BACK = "its loss or its few steps hold it back; attack with apgd-dlr, pma or lean."


def won(check: str, rival: str, broken: Tensor, subject: Subject, remedy: str) -> Finding:
    """Judge how many survivors a weaker attack broke, which should break none and is granted 0.2 %.

    Args:
        rival: the weaker attack, as the sentence begins.
        broken: (m,) bool over the survivors.
        subject: all samples that were attacked, the n of the test.
        remedy: what a fail may mean; the attack on trial can be any.
    """
    count, n = int(broken.sum()), len(subject)
    verdict = by_count(check, count, n, "", tolerated=RARE_RATE, noticed=RARE_RATE)
    attack = "white-box attack" if subject.survivors is None else "attack"
    sentence = f"{rival} broke {count} of {counted(len(broken), 'survivor')} of the {attack} ({counted(n, 'sample')})"
    if verdict.verdict != PASS:
        sentence += f", p = {binomial_tail(count, n, RARE_RATE):.1g}: {remedy}"
    return replace(verdict, sentence=sentence.rstrip(".") + ".")


def gradient_free_wins(subject: Subject, survivors: Tensor, queries: int) -> Finding:
    """Square on what every white-box attack left."""
    left = subject.take(survivors)
    broken = torch.zeros(len(left), dtype=torch.bool, device=left.images.device)
    if len(left):
        found = run(
            "square",
            left.model,
            left.images,
            left.labels,
            eps=left.eps,
            norm=left.norm,
            params={"steps": queries},
            seed=left.seed,
            sample_ids=left.ids,
            precision="float32",
            batch_size=left.batch_size,
        )
        broken = ~found.robust & left.right()
    remedy = "it does better, as where gradients mislead; use gradient-free attacks and BPDA"
    return won("gradient_free_wins", f"Square with {queries} queries", broken, subject, remedy)


def single_step_wins(subject: Subject, survivors: Tensor) -> Finding:
    """One full step along the gradient from the image itself."""
    left = subject.take(survivors)
    broken = torch.zeros(len(left), dtype=torch.bool, device=left.images.device)
    if len(left):
        gradient, _, _ = left.gradient(cross_entropy)
        ball = BALLS[left.norm]
        broken = ~left.right(ball.ascend(left.images, gradient, left.images, left.eps, left.eps))
    return won("single_step_wins", "FGSM", broken, subject, _ONE_STEP)


def noise_wins(subject: Subject, survivors: Tensor) -> Finding:
    """Random points of the same ball."""
    left = subject.take(survivors)
    broken = torch.zeros(len(left), dtype=torch.bool, device=left.labels.device)
    stream = Draws.of(left.seed, "verdicts/noise", left.ids)
    for index in range(_DRAWS if len(left) else 0):
        broken |= ~left.right(BALLS[left.norm].random_in_ball(stream, left.images, left.eps, index))
    remedy = "chance does better, as where the gradient says nothing"
    return won("noise_wins", f"Random noise ({_DRAWS} draws)", broken, subject, remedy)


def transfer_wins(subject: Subject, survivors: Tensor, sources: Mapping[str, nn.Module]) -> Finding:
    """Perturbations of the same ball made on other models, or at other lambdas, by the name the sentence uses."""
    if not sources:
        return not_run("transfer_wins", "There is no other lambda or model to transfer from.")
    left = subject.take(survivors)
    broken = torch.zeros(len(left), dtype=torch.bool, device=left.labels.device)
    for source in sources.values() if len(left) else ():
        with frozen(source):
            trace = follow(replace(left, model=source), steps=STEPS, leave=False)
        broken |= ~left.right(trace.images)
    remedy = "the gradient at the deployed lambda or model holds the direct attack back"
    return won("transfer_wins", f"Transfer from {', '.join(sources)}", broken, subject, remedy)


def not_monotone_in_eps(subject: Subject, base: Tensor) -> Finding:
    """What half, once (`base`, (n,) bool, robust there) and twice the budget leave, each from scratch."""
    robust = {factor: ~follow(subject, eps=subject.eps * factor).broken() for factor in (0.5, 2.0)}
    steps = [robust[0.5], base, robust[2.0]]
    shares = [exact_mean(step) for step in steps]
    rise, verdict = 0.0, PASS
    for near, far in pairwise(steps):
        gained, lost = int((far & ~near).sum()), int((near & ~far).sum())
        rise = max(rise, (gained - lost) / len(subject))
        if gained - lost >= 3:
            odd = binomial_tail(gained, gained + lost, 0.5)
            verdict = FAIL if odd < _ALPHA else WARN if verdict == PASS else verdict
    listed = ", ".join(f"{percent(share)}" for share in shares)
    sentence = f"Half eps, eps and twice eps leave {listed} of the right images."
    return Finding("not_monotone_in_eps", verdict, rise, sentence)


def unbounded_eps_survives(subject: Subject) -> Finding:
    """Attack with half the range of the box, where nothing of the image need be left."""
    eps = float(BALLS[subject.norm].lengths(torch.full_like(subject.images[:1], 0.5)))
    broken = follow(subject, eps=eps).broken()
    left = subject.take(~broken)
    survived = int((~follow(left, negative_margin, eps=eps).broken()).sum()) if len(left) else 0
    n = len(subject)
    sentence = (
        f"{survived} of {n} samples survive {subject.norm} eps {eps:.3g}, enough to turn any image grey."
    )
    return by_count("unbounded_eps_survives", survived, n, sentence, tolerated=TOLERATED, noticed=NOTICED)


def not_converged(trace: Trace) -> Finding:
    """Do 2 * STEPS steps break more than the first half of them, or still move the loss where nothing broke?"""
    n = len(trace.broken_at)
    more = int((trace.broken() & ~trace.broken(STEPS)).sum())
    survivors = ~trace.broken()
    sentence = f"Doubling the steps to {2 * STEPS} broke {more} more of {counted(n, 'sample')}"
    moved = 0.0
    if survivors.any():
        before, after = (exact_mean(trace.losses[step, survivors]) for step in (-11, -1))
        moved = abs(after - before) / max(abs(after), 1e-12)
        sentence += f"; the survivors' loss moved {percent(moved)} over the last ten steps"
    found = by_count("not_converged", more, n, sentence + ".", tolerated=TOLERATED, noticed=NOTICED)
    # A handful of survivors says nothing about a mean loss.
    if found.verdict != FAIL and moved > _MOVES and int(survivors.sum()) >= 10:
        return Finding("not_converged", FAIL, moved, sentence + ": take more steps.")
    return found


def steps_break(trace: Trace, survivors: Tensor) -> Finding:
    """What 2 * STEPS steps break of (n,) bool `survivors` of the attack on trial, whose own loss nobody followed."""
    count, left, n = int((survivors & trace.broken()).sum()), int(survivors.sum()), len(survivors)
    of_all = f"{counted(left, 'survivor')} of the attack ({counted(n, 'sample')})"
    sentence = f"PGD of {2 * STEPS} steps broke {count} of {of_all}."
    return by_count("not_converged", count, n, sentence, tolerated=TOLERATED, noticed=NOTICED)


def lost_success(trace: Trace, survivors: Tensor | None = None) -> Finding:
    """Samples that were broken at some step but not at the last one, of a trace followed to the end.

    Args:
        survivors: (n,) bool, robust under the attack on trial: what it broke it has kept.
    """
    gone = trace.broken() & ~trace.broken_last
    lost, n = int((gone if survivors is None else gone & survivors).sum()), len(trace.broken_at)
    sentence = f"{lost} of {n} samples were broken at an earlier step but not at the last one"
    sentence += ": keep the first success, not the last iterate." if lost else "."
    return by_count("lost_success", lost, n, sentence, tolerated=2 * TOLERATED, noticed=TOLERATED)


def losses_disagree(subject: Subject, by_entropy: Tensor, by_margin: Tensor) -> Finding:
    """What attacks on the cross-entropy and on the margin leave; (n,) bool, broken by the same steps of each."""
    first, second = int((by_entropy & ~by_margin).sum()), int((by_margin & ~by_entropy).sum())
    n = len(subject)
    gap = abs(first - second) / n
    odd = binomial_tail(max(first, second), first + second, 0.5) if first + second else 1.0
    verdict = PASS
    if odd < _ALPHA:
        verdict = FAIL if gap > _ROUGHLY_EQUAL else WARN if gap > _ROUGHLY_EQUAL / 2 else PASS
    shares = [1 - exact_mean(broken) for broken in (by_entropy, by_margin)]
    left = f"{percent(shares[0])} of the right images on the cross-entropy and {percent(shares[1])} on the margin"
    sentence = f"PGD leaves {left}."
    return Finding("losses_disagree", verdict, gap, sentence)


def margin_breaks(subject: Subject, survivors: Tensor, broken: Tensor) -> Finding:
    """What PGD on the margin breaks of what the attack on trial left: a gap between losses that is its own.

    Args:
        survivors: (n,) bool, robust under the attack on trial.
        broken: (n,) bool, broken on the margin.
    """
    count, n = int((survivors & broken).sum()), len(subject)
    sentence = (
        f"PGD on the margin broke {count} of {counted(int(survivors.sum()), 'survivor')} of the attack "
        f"({counted(n, 'sample')})"
    )
    found = by_thresholds(
        "losses_disagree", count / n, sentence, warn=_ROUGHLY_EQUAL / 2, fail=_ROUGHLY_EQUAL
    )
    if count < RARE_MINIMUM:  # of few images two may be any share
        found = replace(found, verdict=PASS)
    return replace(found, sentence=sentence + ("." if found.verdict == PASS else ": " + _HELD_BACK))


def restart_sensitive(subject: Subject, broken: Tensor) -> Finding:
    """What another restart, and one with a finer step, break beyond (n,) bool `broken` by the first run."""
    left = subject.take(~broken)
    more = torch.zeros(len(left), dtype=torch.bool, device=left.labels.device)
    for start, fraction in ((1, 0.25), (2, 0.1)):
        open_ones = (~more).nonzero()[:, 0]
        if len(open_ones):
            more[open_ones] = follow(left.take(open_ones), step_fraction=fraction, start=start).broken()
    count, n = int(more.sum()), len(subject)
    sentence = f"Another restart and one with a finer step broke {count} more of {counted(n, 'sample')}."
    return by_count("restart_sensitive", count, n, sentence, tolerated=TOLERATED, noticed=NOTICED)
