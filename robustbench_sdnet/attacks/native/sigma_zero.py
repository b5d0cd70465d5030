"""sigma-zero (Cina et al. 2024, arXiv:2402.01879): few pixels, by a smooth count of them and a moving threshold."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from typing_extensions import Unpack

from ..engine.ball import column
from ..engine.losses import margin, negative_margin
from ..engine.passes import Classifier, Passes
from ..engine.result import AttackResult
from ..engine.search import Rows, Search, State, Step
from .wrapper import Run, attack, positive, run_native

SIGMA = 1e-3
"""A change d counts as d^2 / (d^2 + sigma)."""

THRESHOLD, THRESHOLD_RATE = 0.3, 0.01
"""Changes below the threshold become none; it rises after a success and falls after a failure."""


@dataclass(frozen=True, kw_only=True)
class SigmaZeroSearch(Search):
    """Adam on max(0, z_y - z_max) plus the smooth share of changed values, the step size on a cosine from 1 to 0.1."""

    def begin(self, rows: Rows) -> State:
        zeros = torch.zeros_like(rows.images)
        return {
            "x": rows.images,
            "first": zeros,
            "second": zeros,
            "threshold": torch.full_like(rows.images[:, 0, 0, 0], THRESHOLD),
        }

    def step(self, passes: Passes, rows: Rows, state: State) -> Step:
        x, k = state["x"], rows.k
        logits, climb = passes.gradient(
            x, lambda z, index: negative_margin(z, rows.labels[index]).clamp_max(0)
        )
        delta = x - rows.images
        wrong, distance = margin(logits, rows.labels) < 0, self.ball.lengths(delta)
        smooth = 2 * delta * SIGMA / (delta.square() + SIGMA).square() / delta[0].numel()
        gradient = smooth - climb
        gradient = gradient / column(gradient.flatten(1).abs().amax(1).clamp_min(1e-12), x)
        rate = (0.1 + 0.9 * (1 + (math.pi * k.float() / self.length).cos()) / 2).to(x.dtype)
        moved = delta - column(rate, x) * self._adam(state, gradient, k)
        moved = (rows.images + moved).clamp(0, 1) - rows.images
        change = THRESHOLD_RATE * rate
        state["threshold"] = (state["threshold"] + torch.where(wrong, change, -change)).clamp(0, 1)
        moved = torch.where(moved.abs() < column(state["threshold"], x), 0.0, moved)
        state["x"] = (rows.images + moved).clamp(0, 1)
        return self.nearest(x, logits, wrong, distance, k + 1 >= self.length)

    def _adam(self, state: State, gradient: Tensor, k: Tensor) -> Tensor:
        moments = []
        for name, decay, value in (("first", 0.9, gradient), ("second", 0.999, gradient.square())):
            state[name] = decay * state[name] + (1 - decay) * value
            grown = 1 - decay ** (k + 1).to(gradient.dtype)
            moments.append(state[name] / column(grown, gradient))
        return moments[0] / (moments[1].sqrt() + 1e-8)


@partial(attack, norm="l0")
def sigma_zero(
    model: Classifier,
    images: Tensor,
    labels: Tensor,
    *,
    eps: float | None = None,
    steps: int = 1000,
    **run: Unpack[Run],
) -> AttackResult:
    """Find perturbations of few pixels.

    Args:
        eps: pixels that count as a success; None seeks the fewest of each sample, and `extra["distance"]` (n,)
            holds their number (0: misclassified from the start, infinity: nothing found).
        norm: "l0" alone.
        steps: gradient steps.

    Other arguments, the result and the errors are those of `pgd`; nothing is drawn at random.
    """
    search = partial(SigmaZeroSearch, length=positive("steps", steps))
    options: Run = {"norm": "l0", **run}
    return run_native("sigma-zero", search, model, images, labels, eps=eps, **options)
