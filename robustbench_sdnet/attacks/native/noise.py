"""Random noise of a given size: what an attack of the same eps has to beat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ...draws import Draws
from ..engine.ball import Ball
from ..engine.passes import Classifier, Passes
from ..engine.result import AttackResult
from ..engine.search import Rows, State, Step
from .wrapper import Run, attack, positive, run_native

if TYPE_CHECKING:
    from typing_extensions import Unpack


@dataclass(frozen=True)
class NoiseSearch:
    """Evaluates one random point after the other: uniform in the linf ball, on the sphere of other norms."""

    ball: Ball
    eps: float
    length: int
    seed: int
    attempts: int = 1
    returns_last: bool = False
    targeted: bool = False
    minimal: bool = False

    def begin(self, rows: Rows) -> State:
        return {"k": torch.zeros_like(rows.labels)}

    def step(self, passes: Passes, rows: Rows, state: State) -> Step:
        k = state["k"]
        points = self.ball.noise(Draws.of(self.seed, "noise", rows.ids), rows.images, self.eps, k)
        state["k"] = k + 1
        return Step(points, passes.logits(points), k + 1, k + 1 >= self.length)


@attack
def noise(
    model: Classifier, images: Tensor, labels: Tensor, *, eps: float, draws: int = 1, **run: Unpack[Run]
) -> AttackResult:
    """Break a sample if any of `draws` random points of its ball does; other arguments as in `pgd`."""
    length = positive("draws", draws)
    return run_native(
        lambda ball, seed: NoiseSearch(ball, eps, length, seed), model, images, labels, eps=eps, **run
    )
