"""Auto-PGD in l1 (Croce & Hein 2021, "Mind the box", arXiv:2103.01208): sparse steps, from larger balls inwards."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate

import torch
from torch import Tensor

from ...draws import Draws
from ..engine.ball import column
from ..engine.passes import Passes
from ..engine.search import Rows, State, Step
from .apgd_search import ApgdSearch

RADII = (3, 2, 1)
"""Radii of the stages over eps; each begins at the best point of the one before, moved into its ball."""

SHARES = (0.3, 0.3)
"""Shares of the steps that the first stages take; the last has the rest."""

REDUCTION = 1.5
"""A step moves the values that the best point changed, over this; a step size that stays is divided by it."""

SMALLEST = 10
"""The smallest step size is the radius over this."""


def stages(steps: int) -> list[int]:
    """Steps of each stage."""
    found: list[int] = []
    for share in SHARES:
        found.append(min(math.ceil(share * steps), steps - sum(found)))
    return [*found, steps - sum(found)]


@lru_cache(maxsize=8)
def _table(steps: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Steps of each stage, and the evaluation with which each has ended."""
    counts = stages(steps)
    ends = list(accumulate(count + 1 for count in counts))
    return torch.tensor(counts, device=device), torch.tensor(ends, device=device)


@dataclass(frozen=True, kw_only=True)
class SparseApgdSearch(ApgdSearch):
    """A stage evaluates its starting point and every step; what is found counts in the last one."""

    @staticmethod
    def evaluations(steps: int) -> int:
        return steps + len(SHARES)

    def begin(self, rows: Rows) -> State:
        draws = Draws.of(self.seed, self.stream, rows.ids)
        point = rows.images + draws.normal(tuple(rows.images.shape[1:]), rows.attempt, rows.images.dtype)
        radius = torch.full_like(rows.labels, RADII[0] * self.eps, dtype=point.dtype)
        return self._opened(rows.images, point, radius)

    def step(self, passes: Passes, rows: Rows, state: State) -> Step:
        x, k = state["x"], rows.k
        done = k >= self.length
        logits, gradient, loss = self._evaluated(passes, rows, x, done)
        self._remember(state, x, gradient, loss)
        stage, within, count = self._place(k)
        period = (0.04 * count).long().clamp_min(1)
        base, gradient = self._adapt(state, rows, x, gradient, (within > 0) & (within % period == 0))
        direction = self.ball.sparsest(gradient, state["share"])
        state["x"] = self.ball.project(
            base + column(state["size"], base) * direction, rows.images, state["radius"]
        )
        ended = ((within == count) & ~done).nonzero()[:, 0]
        if len(ended):
            radii = torch.tensor([*RADII[1:], RADII[-1]], dtype=x.dtype, device=x.device)[stage[ended]]
            opened = self._opened(rows.images[ended], state["best"][ended], radii * self.eps)
            for name, values in opened.items():
                state[name] = state[name].index_copy(0, ended, values)
        return Step(x, logits, done, stage == len(RADII) - 1)

    def _place(self, k: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Each row's stage, its step within the stage, and how many steps the stage has."""
        counts, ends = _table(self.length - len(SHARES), k.device)
        stage = (k[:, None] >= ends).sum(1).clamp_max(len(RADII) - 1)
        count = counts[stage]
        return stage, k - (ends[stage] - count - 1), count

    def _opened(self, images: Tensor, point: Tensor, radius: Tensor) -> State:
        """The state at a stage's start: the point in its ball, nothing remembered."""
        x = self.ball.project(point, images, radius)
        changed = _changed(x, images)
        return {
            "x": x,
            "radius": radius,
            "size": radius,
            "best": x,
            "best_gradient": torch.zeros_like(x),
            "best_loss": torch.full_like(radius, -torch.inf),
            "changed": changed,
            "share": changed / x[0].numel() / REDUCTION,
        }

    def _adapt(
        self, state: State, rows: Rows, x: Tensor, gradient: Tensor, due: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Where the best point became sparser, go back to it with full steps; elsewhere make smaller steps."""
        changed, radius = _changed(state["best"], rows.images), state["radius"]
        sparser = due & (changed < 0.95 * state["changed"])
        smaller = (state["size"] / REDUCTION).clamp_min(radius / SMALLEST)
        state["size"] = torch.where(due, torch.where(sparser, radius, smaller), state["size"])
        state["share"] = torch.where(due, changed / x[0].numel() / REDUCTION, state["share"])
        state["changed"] = torch.where(due, changed, state["changed"])
        wide = column(sparser, x)
        return torch.where(wide, state["best"], x), torch.where(wide, state["best_gradient"], gradient)


def _changed(points: Tensor, images: Tensor) -> Tensor:
    """(n,) how many values differ."""
    return (points != images).flatten(1).sum(1).to(images.dtype)
