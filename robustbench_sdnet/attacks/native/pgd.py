"""Projected gradient descent (Madry et al. 2018, arXiv:1706.06083)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ...draws import Draws
from ..engine.ball import Ball
from ..engine.losses import cross_entropy
from ..engine.passes import Classifier, Passes
from ..engine.result import AttackResult
from ..engine.search import Rows, State, Step
from .wrapper import Run, attack, positive, run_native

if TYPE_CHECKING:
    from typing_extensions import Unpack


@dataclass(frozen=True)
class PgdSearch:
    """x_{k+1} = P(x_k + step_size * steepest ascent direction of the cross-entropy at x_k)."""

    ball: Ball
    eps: float
    length: int
    step_size: float
    random_start: bool
    attempts: int
    seed: int
    start: Tensor | None = None
    returns_last: bool = True
    targeted: bool = False
    minimal: bool = False

    def begin(self, rows: Rows) -> State:
        points = rows.images.clone() if self.start is None else self.start[rows.index]
        if self.random_start:
            draws = Draws.of(self.seed, "pgd", rows.ids)
            points = self.ball.random_in_ball(draws, rows.images, self.eps, rows.attempt)
        return {"x": points, "k": torch.zeros_like(rows.labels)}

    def step(self, passes: Passes, rows: Rows, state: State) -> Step:
        x, k = state["x"], state["k"]
        done = k >= self.length
        logits, gradient = passes.gradient(
            x, lambda z, index: cross_entropy(z, rows.labels[index]), skip=done
        )
        state["x"] = self.ball.ascend(x, gradient, rows.images, self.step_size, self.eps)
        state["k"] = k + 1
        return Step(x, logits, k, done)


@attack
def pgd(
    model: Classifier,
    images: Tensor,
    labels: Tensor,
    *,
    eps: float,
    steps: int = 20,
    step_size: float | None = None,
    random_start: bool = True,
    restarts: int = 1,
    start: Tensor | None = None,
    **run: Unpack[Run],
) -> AttackResult:
    """Maximise the cross-entropy inside a ball by projected gradient steps.

    Args:
        model: maps images in [0, 1] to logits; its mode, buffers and parameters are left as they are.
        images: (n, c, h, w) float32 or float64 in [0, 1], not normalised.
        labels: (n,) int64.
        eps: radius in the units of `images`.
        norm: "linf", "l2" or "l1".
        steps: at most this many gradient steps a restart.
        step_size: length of a step; None means eps / 4.
        random_start: begin at a random point of the ball, drawn from seed and sample id.
        restarts: courses a sample, one after the other until one breaks it.
        start: (n, c, h, w) points to begin at, in place of the images and of a random start.
        early_stop: a sample leaves at its first success; False runs every sample to its last iterate.
        precision: "auto", "float32" or "bfloat16", of the search; successes are always confirmed in float32.
        sample_ids: (n,) ids that key the random draws; None numbers the samples from 0.
        batch_size: at most this many samples at once.

    Returns:
        Outcomes a sample; without a success, the image is the one closest to breaking (the last iterate of
        the worst restart when `early_stop` is False).

    Raises:
        InputError: an argument is out of range.
        ModelError: the model raised, returned logits that are not finite, or lets no gradient through.
    """

    def search(ball: Ball, seed: int) -> PgdSearch:
        return PgdSearch(
            ball=ball,
            eps=eps,
            length=positive("steps", steps),
            step_size=eps / 4 if step_size is None else step_size,
            random_start=random_start and start is None,
            attempts=positive("restarts", restarts),
            seed=seed,
            start=start,
        )

    return run_native(search, model, images, labels, eps=eps, **run)
