"""Auto-PGD (Croce & Hein 2020, arXiv:2003.01690, algorithm 1): momentum and a step size that halves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import torch
from torch import Tensor

from ...draws import Draws
from ..engine.ball import column
from ..engine.passes import Passes
from ..engine.search import Rows, Search, State, Step

MOMENTUM = 0.75
"""Alpha of the paper: the share of the new step in a move, against the previous move."""

PROGRESS = 0.75
"""Rho of the paper: the share of steps in a window that must raise the loss."""


def checkpoints(steps: int) -> list[int]:
    """The steps w_j at which the step size may halve: windows of 22 %, shrinking by 3 % down to 6 %."""
    window, shortest, shrink = (max(int(share * steps), 1) for share in (0.22, 0.06, 0.03))
    found = [0]
    while found[-1] + window <= steps:
        found.append(found[-1] + window)
        window = max(window - shrink, shortest)
    return found


@lru_cache(maxsize=8)
def windows(steps: int, device: torch.device) -> Tensor:
    """(steps + 1,) int64: how many steps the window has that ends at this one, 0 where none ends."""
    ends = checkpoints(steps)
    found = [0] * (steps + 1)
    for begun, end in pairwise(ends):
        found[end] = end - begun
    return torch.tensor(found, device=device)


@dataclass(frozen=True, kw_only=True)
class ApgdSearch(Search):
    """One course a restart (untargeted) or a target, each from its own random point of the sphere.

    Attributes:
        loss: from logits, labels and, where `targeted`, targets to (m,) values to maximise.
    """

    eps: float
    loss: Callable[..., Tensor]
    stream: str
    counts_from: int = 0

    @staticmethod
    def evaluations(steps: int) -> int:
        """The number of the last evaluation, counted from the starting point's 0."""
        return steps

    def begin(self, rows: Rows) -> State:
        draws = Draws.of(self.seed, self.stream, rows.ids)
        start = self.ball.random_on_sphere(draws, rows.images, self.eps, rows.attempt)
        start = self.ball.project(start, rows.images, self.eps)
        scalar = torch.zeros(len(rows), dtype=start.dtype, device=start.device)
        return {
            "x": start,
            "previous": start,
            "best": start,
            "best_gradient": torch.zeros_like(start),
            "best_loss": torch.full_like(scalar, -torch.inf),
            "loss": torch.full_like(scalar, -torch.inf),
            "window_loss": torch.full_like(scalar, -torch.inf),
            "size": torch.full_like(scalar, 2 * self.eps),
            "gains": scalar,
            # Condition 2 compares windows: the first one knows no other.
            "halved": torch.ones_like(rows.labels, dtype=torch.bool),
        }

    def step(self, passes: Passes, rows: Rows, state: State) -> Step:
        x, k = state["x"], rows.k
        done = k >= self.length
        logits, gradient, loss = self._evaluated(passes, rows, x, done)
        state["gains"] = state["gains"] + ((loss > state["loss"]) & (k > 0))
        state["loss"] = loss
        self._remember(state, x, gradient, loss)
        base, gradient = self._halve(state, x, gradient, k)
        self._move(state, rows, base, gradient, k)
        return Step(x, logits, done)

    def _evaluated(
        self, passes: Passes, rows: Rows, x: Tensor, done: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Logits, gradient and loss at `x`."""
        classes = (rows.labels, rows.targets()) if self.targeted else (rows.labels,)
        logits, gradient = passes.gradient(
            x, lambda z, index: self.loss(z, *(these[index] for these in classes)), skip=done
        )
        return logits, gradient, self.loss(logits, *classes)

    def _remember(self, state: State, x: Tensor, gradient: Tensor, loss: Tensor) -> None:
        """x_max, f_max and the gradient there (lines 8 and 9)."""
        better = loss > state["best_loss"]
        wide = column(better, x)
        state["best"] = torch.where(wide, x, state["best"])
        state["best_gradient"] = torch.where(wide, gradient, state["best_gradient"])
        state["best_loss"] = torch.where(better, loss, state["best_loss"])

    def _halve(self, state: State, x: Tensor, gradient: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
        """Conditions 1 and 2 at a checkpoint: halve the step size, go back to the best point."""
        window = windows(self.length, k.device)[k.clamp_max(self.length)]
        end = window > 0
        stalled = state["gains"] <= PROGRESS * window
        stuck = ~state["halved"] & (state["best_loss"] <= state["window_loss"])
        halve = end & (stalled | stuck)
        state["size"] = torch.where(halve, state["size"] / 2, state["size"])
        state["halved"] = torch.where(end, halve, state["halved"])
        state["window_loss"] = torch.where(end, state["best_loss"], state["window_loss"])
        state["gains"] = torch.where(end, 0, state["gains"])
        wide = column(halve, x)
        return torch.where(wide, state["best"], x), torch.where(wide, state["best_gradient"], gradient)

    def _move(self, state: State, rows: Rows, base: Tensor, gradient: Tensor, k: Tensor) -> None:
        """z = P(x + size * ascent), then x + alpha (z - x) + (1 - alpha) (x - previous) (lines 6 and 7)."""
        z = self.ball.ascend(base, gradient, rows.images, state["size"], self.eps)
        # The first move has no momentum.
        share = column(torch.where(k == 0, 1.0, MOMENTUM).to(base.dtype), base)
        moved = base + share * (z - base) + (1 - share) * (base - state["previous"])
        state["previous"] = base
        state["x"] = self.ball.project(moved, rows.images, self.eps)
