"""Random noise of a given size: what an attack of the same eps has to beat."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from torch import Tensor
from typing_extensions import Unpack

from ...draws import Draws
from ..engine.passes import Classifier, Passes
from ..engine.result import AttackResult
from ..engine.search import Rows, Search, State, Step
from .wrapper import Run, attack, positive, run_native


@dataclass(frozen=True, kw_only=True)
class NoiseSearch(Search):
    """Evaluates one random point after the other: uniform in the linf ball, on the sphere of other norms."""

    eps: float

    def begin(self, rows: Rows) -> State:
        return {}

    def step(self, passes: Passes, rows: Rows, state: State) -> Step:
        points = self.ball.noise(Draws.of(self.seed, "noise", rows.ids), rows.images, self.eps, rows.k)
        return Step(points, passes.logits(points), rows.k + 1 >= self.length)


@attack
def noise(
    model: Classifier, images: Tensor, labels: Tensor, *, eps: float, draws: int = 1, **run: Unpack[Run]
) -> AttackResult:
    """A sample is broken if any of `draws` random points in its ball breaks it; other arguments as in `pgd`."""
    search = partial(NoiseSearch, length=positive("draws", draws))
    return run_native("noise", search, model, images, labels, eps=eps, **run)
