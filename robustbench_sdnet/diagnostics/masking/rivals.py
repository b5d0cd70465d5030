"""Checks that a weaker attack does not win: Square, one step, transfer or noise against white-box attacks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn

from ...answers.trust import Finding
from ...attacks.engine.balls import BALLS
from ...attacks.engine.guards import frozen
from ...attacks.engine.losses import cross_entropy
from ...draws import Draws
from ...statistics import RARE_RATE, binomial_tail
from ..finding import counted, not_run
from .subject import STEPS, Subject, follow

_DRAWS = 5


def won(check: str, rival: str, broken: Tensor, subject: Subject, remedy: str) -> Finding:
    """Judge how many survivors a weaker attack broke, which should break none and is granted 0.2 %.

    Args:
        rival: the weaker attack, as the sentence begins.
        broken: (m,) bool over the survivors.
        subject: all samples that were attacked, the n of the test.
        remedy: what a fail means.
    """
    count, n = int(broken.sum()), len(subject)
    verdict = counted(check, count, n, "", tolerated=RARE_RATE, noticed=RARE_RATE)
    sentence = f"{rival} broke {count} of {len(broken)} survivors of the white-box attack ({n} samples)"
    if verdict.verdict != "pass":
        sentence += f", p = {binomial_tail(count, n, RARE_RATE):.1g}: {remedy}"
    return replace(verdict, sentence=sentence.rstrip(".") + ".")


def gradient_free_wins(subject: Subject, survivors: Tensor, queries: int) -> Finding:
    """Square on what every white-box attack left."""
    from ...attacks import run

    left = subject.take(survivors)
    broken = torch.zeros(len(left), dtype=torch.bool)
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
    remedy = "gradients mislead the attack; use gradient-free attacks and BPDA"
    return won("gradient_free_wins", f"Square with {queries} queries", broken, subject, remedy)


def single_step_wins(subject: Subject, survivors: Tensor) -> Finding:
    """One full step along the gradient from the image itself."""
    left = subject.take(survivors)
    broken = torch.zeros(len(left), dtype=torch.bool)
    if len(left):
        gradient, _, _ = left.gradient(cross_entropy)
        ball = BALLS[left.norm]
        broken = ~left.right(ball.ascend(left.images, gradient, left.images, left.eps, left.eps))
    return won("single_step_wins", "FGSM", broken, subject, "the loss is masked along PGD's way")


def noise_wins(subject: Subject, survivors: Tensor, draws: int = _DRAWS) -> Finding:
    """Random points of the same ball."""
    left = subject.take(survivors)
    broken = torch.zeros(len(left), dtype=torch.bool, device=left.labels.device)
    stream = Draws.of(left.seed, "verdicts/noise", left.ids)
    for index in range(draws if len(left) else 0):
        broken |= ~left.right(BALLS[left.norm].random_in_ball(stream, left.images, left.eps, index))
    remedy = "chance beats the gradient, so the gradient says nothing"
    return won("noise_wins", f"Random noise ({draws} draws)", broken, subject, remedy)


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
    remedy = "the direct attack is held back by the gradient where it is deployed"
    return won("transfer_wins", f"Transfer from {' and '.join(sources)}", broken, subject, remedy)
