"""Projected gradient descent (Madry et al. 2018, arXiv:1706.06083)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...draws import Draws
from ..engine.balls import project, random_in_ball, steepest
from ..engine.losses import cross_entropy
from ..engine.passes import Classifier, Passes
from ..engine.result import AttackResult
from ..engine.search import Rows, State, Step
from .wrapper import positive, run_native


@dataclass(frozen=True)
class PgdSearch:
    """x_{k+1} = P(x_k + step_size * steepest ascent direction of the cross-entropy at x_k)."""

    eps: float
    norm: str
    steps: int
    step_size: float
    random_start: bool
    attempts: int
    seed: int
    start: Tensor | None = None
    returns_last: bool = True
    targeted: bool = False
    minimal: bool = False

    @property
    def length(self) -> int:
        return self.steps

    def begin(self, rows: Rows) -> State:
        points = rows.images.clone() if self.start is None else self.start[rows.index]
        if self.random_start:
            draws = Draws.of(self.seed, "pgd", rows.ids)
            points = random_in_ball(draws, rows.images, self.eps, self.norm, rows.attempt)
        return {"x": points, "k": torch.zeros_like(rows.labels)}

    def step(self, passes: Passes, rows: Rows, state: State) -> Step:
        x, k = state["x"], state["k"]
        done = k >= self.steps
        logits, gradient = passes.gradient(
            x, lambda z, index: cross_entropy(z, rows.labels[index]), skip=done
        )
        moved = x + self.step_size * steepest(gradient, self.norm)
        state["x"] = project(moved, rows.images, self.eps, self.norm)
        state["k"] = k + 1
        return Step(x, logits, k, done)


def pgd(
    model: Classifier,
    images: Tensor,
    labels: Tensor,
    *,
    eps: float,
    norm: str = "linf",
    steps: int = 20,
    step_size: float | None = None,
    random_start: bool = True,
    restarts: int = 1,
    early_stop: bool = True,
    precision: str = "auto",
    seed: int = 0,
    sample_ids: Tensor | Sequence[int] | None = None,
    batch_size: int | None = None,
    start: Tensor | None = None,
) -> AttackResult:
    """Maximise the cross-entropy inside a ball by projected gradient steps.

    Args:
        model: maps images in [0, 1] to logits; its mode, buffers and parameters are left as they are.
        images: (n, c, h, w) float32 or float64 in [0, 1], not normalised.
        labels: (n,) int64.
        eps: radius in the units of `images`.
        norm: "linf" or "l2".
        steps: at most this many gradient steps a restart.
        step_size: length of a step; None means eps / 4.
        random_start: begin at a random point of the ball, drawn from seed and sample id.
        restarts: courses a sample, one after the other until one breaks it.
        early_stop: a sample leaves at its first success; False runs every sample to its last iterate.
        precision: "auto", "float32" or "bfloat16", of the search; successes are always confirmed in float32.
        sample_ids: (n,) ids that key the random draws; None numbers the samples from 0.
        batch_size: at most this many samples at once.
        start: (n, c, h, w) points to begin at, in place of the images; not together with a random start.

    Returns:
        Outcomes a sample; without a success, the image is the one closest to breaking (the last iterate of
        the worst restart when `early_stop` is False).

    Raises:
        InputError: an argument is out of range.
        ModelError: the model raised or returned logits that are not finite.
    """
    search = PgdSearch(
        eps=eps,
        norm=norm,
        steps=positive("steps", steps),
        step_size=eps / 4 if step_size is None else step_size,
        random_start=random_start and start is None,
        attempts=positive("restarts", restarts),
        seed=seed,
        start=start,
    )
    return run_native(
        search, model, images, labels, eps=eps, norm=norm, precision=precision, sample_ids=sample_ids,
        batch_size=batch_size, early_stop=early_stop,
    )  # fmt: skip
