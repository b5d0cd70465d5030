"""Random noise of a given size: what an attack of the same eps has to beat."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...draws import Draws
from ..engine.balls import random_direction
from ..engine.passes import Classifier, Passes
from ..engine.result import AttackResult
from ..engine.search import Rows, State, Step
from .wrapper import positive, run_native


@dataclass(frozen=True)
class NoiseSearch:
    """Evaluates one random point after the other: uniform in the linf ball, or on the l2 sphere."""

    eps: float
    norm: str
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
        draws = Draws.of(self.seed, "noise", rows.ids)
        if self.norm == "linf":
            delta = 2 * draws.uniform(tuple(rows.images.shape[1:]), k, rows.images.dtype) - 1
        else:
            delta = random_direction(draws, rows.images, k)
        points = (rows.images + self.eps * delta).clamp(0, 1)
        state["k"] = k + 1
        return Step(points, passes.logits(points), k + 1, k + 1 >= self.length)


def noise(
    model: Classifier,
    images: Tensor,
    labels: Tensor,
    *,
    eps: float,
    norm: str = "linf",
    draws: int = 1,
    early_stop: bool = True,
    precision: str = "auto",
    seed: int = 0,
    sample_ids: Tensor | Sequence[int] | None = None,
    batch_size: int | None = None,
) -> AttackResult:
    """Break a sample if any of `draws` random points of its ball does; other arguments as in `pgd`."""
    search = NoiseSearch(eps=eps, norm=norm, length=positive("draws", draws), seed=seed)
    return run_native(
        search, model, images, labels, eps=eps, norm=norm, precision=precision, sample_ids=sample_ids,
        batch_size=batch_size, early_stop=early_stop,
    )  # fmt: skip
