"""The probability-margin attack: steps on the softmax's own margin, of a size that starts over midway."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from typing_extensions import Unpack

from ...draws import Draws
from ..engine.losses import probability_weights
from ..engine.passes import Classifier, Passes
from ..engine.result import AttackResult
from ..engine.search import Rows, Search, State, Step
from .wrapper import Run, attack, positive, run_native

RIVAL, LABEL, MARGIN = 0, 1, 2
"""Rows of `probability_weights`: what a step climbs."""


@dataclass(frozen=True, kw_only=True)
class PmaSearch(Search):
    """Half of a course climbs p_max or -p_y, by turns of the attempts, the other half p_max - p_y.

    Step k of a half of K' has the size eps (1 + cos(pi k / K')); the second half of an odd number is longer.
    """

    eps: float
    counts_from: int = 0

    def begin(self, rows: Rows) -> State:
        draws = Draws.of(self.seed, "pma", rows.ids)
        points = self.ball.random_in_ball(draws, rows.images, self.eps, rows.attempt)
        return {"x": points}

    def step(self, passes: Passes, rows: Rows, state: State) -> Step:
        x, k = state["x"], rows.k
        done, half = k >= self.length, max(self.length // 2, 1)
        climbed = torch.where(k >= half, MARGIN, torch.where(rows.attempt % 2 == 0, RIVAL, LABEL))

        def loss(logits: Tensor, index: Tensor) -> Tensor:
            weights = probability_weights(logits.detach(), rows.labels[index])
            return (logits * weights[climbed[index], torch.arange(len(index), device=index.device)]).sum(1)

        logits, gradient = passes.gradient(x, loss, skip=done)
        place = torch.where(k >= half, (k - half).float() / max(self.length - half, 1), k.float() / half)
        size = self.eps * (1 + (math.pi * place).cos())
        state["x"] = self.ball.ascend(x, gradient, rows.images, size.to(x.dtype), self.eps)
        return Step(x, logits, done)


@attack
def pma(
    model: Classifier,
    images: Tensor,
    labels: Tensor,
    *,
    eps: float,
    steps: int = 100,
    restarts: int = 2,
    **run: Unpack[Run],
) -> AttackResult:
    """Climb the margin of probabilities, p_max - p_y, inside a ball.

    Args:
        steps: gradient steps per restart.
        restarts: runs per sample, each from its own random point; successive runs begin on p_max and on -p_y
            alternately.

    Other arguments, the result and the errors are those of `pgd`.
    """
    search = partial(PmaSearch, length=positive("steps", steps), attempts=positive("restarts", restarts))
    return run_native("pma", search, model, images, labels, eps=eps, **run)
