"""What is diagnosed, and the plain gradient attack the diagnostics watch step by step.

The attacks of the suite leave a sample at its first success and keep its best image. Here every sample can be
followed to the last step, with its loss, which is what several diagnostics look at.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from ...attacks.engine.balls import BALLS
from ...attacks.engine.losses import cross_entropy
from ...attacks.engine.passes import Passes
from ...draws import Draws

Loss = Callable[[Tensor, Tensor], Tensor]
STEPS = 20


@dataclass(frozen=True, eq=False, kw_only=True)
class Subject:
    """A model on some images, at a budget.

    Attributes:
        images: (n, c, h, w) in [0, 1].
        labels, ids: (n,) int64.
        eps: radius in the norm, in the units of `images`.
        survivors: (n,) bool, robust under the attacks on trial where they ran before; None: they run here.
    """

    model: nn.Module
    images: Tensor
    labels: Tensor
    ids: Tensor
    eps: float
    norm: str
    seed: int
    batch_size: int
    survivors: Tensor | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, index: Tensor) -> Subject:
        """The samples at `index`, (m,) int64 or (n,) bool."""
        survivors = None if self.survivors is None else self.survivors[index]
        parts = {name: getattr(self, name)[index] for name in ("images", "labels", "ids")}
        return replace(self, survivors=survivors, **parts)

    def passes(self) -> Passes:
        """Passes through the model at the precision of the images."""
        return Passes(self.model, self.batch_size, lenient=True)

    def predict(self, images: Tensor | None = None) -> Tensor:
        """(n, classes) logits of `images`, or of the clean images."""
        return self.passes().exact(self.images if images is None else images)

    def right(self, images: Tensor | None = None) -> Tensor:
        """(n,) bool: predicted as labelled."""
        return self.predict(images).argmax(1) == self.labels

    def gradient(self, loss: Loss, images: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Gradient (n, c, h, w) of each sample's loss, zero where it is not finite; losses (n,); logits."""
        images = self.images if images is None else images
        logits, gradient = self.passes().gradient(images, lambda z, rows: loss(z, self.labels[rows]))
        return gradient, loss(logits, self.labels), logits

    def silent(self, loss: Loss) -> Tensor:
        """(n,) bool: the gradient of a sample's loss is zero everywhere, or not finite somewhere."""
        passes = self.passes()
        passes.watched = True
        passes.gradient(self.images, lambda z, rows: loss(z, self.labels[rows]))
        assert passes.silent is not None  # narrows the type: it was watched
        return passes.silent


@dataclass(frozen=True, eq=False)
class Trace:
    """What a followed attack saw.

    Attributes:
        broken_at: (n,) int64, first step with a wrong prediction, 0 the start; -1 none.
        broken_last: (n,) bool, wrong at the last iterate; of a sample that left early, its first success.
        losses: (steps + 1, n), NaN after a sample has left.
        images: (n, c, h, w), the last iterate, or the first success of a sample that left.
    """

    broken_at: Tensor
    broken_last: Tensor
    losses: Tensor
    images: Tensor

    def broken(self, steps: int | None = None) -> Tensor:
        """(n,) bool: broken within so many steps, or at all."""
        broken = self.broken_at >= 0
        return broken if steps is None else broken & (self.broken_at <= steps)


def follow(
    subject: Subject,
    loss: Loss = cross_entropy,
    *,
    steps: int = STEPS,
    step_fraction: float = 0.25,
    eps: float | None = None,
    leave: bool = True,
    start: int = 0,
) -> Trace:
    """Projected gradient ascent from a random start (Madry et al. 2018, arXiv:1706.06083), step by step.

    Args:
        step_fraction: step size over eps.
        eps: another radius than the subject's.
        leave: a sample stops at its first success; else it is followed to the end.
        start: which random start.
    """
    eps = subject.eps if eps is None else eps
    ball = BALLS[subject.norm]
    x = ball.random_in_ball(Draws.of(subject.seed, "verdicts/start", subject.ids), subject.images, eps, start)
    n = len(subject)
    broken_at = torch.full_like(subject.labels, -1)
    broken_last = torch.zeros(n, dtype=torch.bool, device=x.device)
    losses = torch.full((steps + 1, n), torch.nan, dtype=x.dtype, device=x.device)
    alive = torch.arange(n, device=x.device)
    for step in range(steps + 1):
        followed = subject.take(alive)
        gradient, values, logits = followed.gradient(loss, x[alive])
        losses[step, alive] = values.to(x.dtype)
        wrong = logits.argmax(1) != followed.labels
        broken_last[alive] = wrong
        broken_at[alive[wrong & (broken_at[alive] < 0)]] = step
        if leave:
            alive, gradient, followed = alive[~wrong], gradient[~wrong], followed.take(~wrong)
        if step == steps or len(alive) == 0:
            break
        x[alive] = ball.ascend(x[alive], gradient, followed.images, step_fraction * eps, eps)
    return Trace(broken_at, broken_last, losses, x)
