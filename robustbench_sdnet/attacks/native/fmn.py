"""Fast minimum-norm attack (Pintor et al. 2021, arXiv:2102.12827): a ball that closes in on the boundary."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

import torch
from torch import Tensor
from typing_extensions import Unpack

from ..engine.ball import column
from ..engine.balls import BALLS
from ..engine.losses import margin, negative_margin
from ..engine.passes import Classifier, Passes
from ..engine.result import AttackResult
from ..engine.search import Rows, Search, State, Step
from ..registry import ATTACKS, check_rule
from .wrapper import Run, attack, positive, run_native

STEP_SHARE, GAMMA_END = 0.01, 0.001
"""Where the cosines of the step size (over its start) and of gamma end."""

CONVERGED = 1e-3
"""A sample leaves when its distance fell by less than this share in a fifth of the steps, in their second half."""

DUALS: Mapping[str, float | None] = MappingProxyType({"linf": 1, "l2": 2, "l1": math.inf, "l0": None})
"""The dual order of each norm; None where a radius is a whole number of pixels."""


@dataclass(frozen=True, kw_only=True)
class FmnSearch(Search):
    """Gradient steps inside a ball of the radius in the state."""

    step_size: float
    gamma: float

    def __post_init__(self) -> None:
        check_rule(ATTACKS["fmn"], "step_size", self.step_size)
        check_rule(ATTACKS["fmn"], "gamma", self.gamma)

    def begin(self, rows: Rows) -> State:
        nothing = torch.full_like(rows.images[:, 0, 0, 0], torch.inf)
        return {"x": rows.images, "radius": torch.zeros_like(nothing), "best": nothing, "mark": nothing}

    def step(self, passes: Passes, rows: Rows, state: State) -> Step:
        x, k = state["x"], rows.k
        logits, gradient = passes.gradient(x, lambda z, index: negative_margin(z, rows.labels[index]))
        gap, distance = margin(logits, rows.labels), self.ball.lengths(x - rows.images)
        state["best"] = torch.where(gap < 0, torch.minimum(state["best"], distance), state["best"])
        annealed = (1 + (math.pi * k.float() / self.length).cos()).to(x.dtype) / 2
        gamma = GAMMA_END + (self.gamma - GAMMA_END) * annealed
        largest = self.ball.lengths(torch.maximum(rows.images, 1 - rows.images))
        state["radius"] = torch.minimum(self._radius(state, gap, distance, gradient, gamma), largest)
        size = self.step_size * (STEP_SHARE + (1 - STEP_SHARE) * annealed)
        moved = x + column(size, x) * BALLS["l2"].steepest(gradient, x)
        state["x"] = self.ball.project(moved, rows.images, state["radius"])
        done = (k + 1 >= self.length) | self._converged(state, k + 1)
        return self.nearest(x, logits, gap < 0, distance, done)

    def _radius(self, state: State, gap: Tensor, distance: Tensor, gradient: Tensor, gamma: Tensor) -> Tensor:
        """The next radius: nearer than the best while the prediction is wrong, else farther out, by shares of itself.

        Of pixels it is one more or less at least, from one on. In other norms, while nothing was found, it reaches the
        linearised boundary and a little beyond, where rounding cannot hold it back; it never falls, since what [0, 1]
        cuts off a step would else be taken off the radius again.
        """
        radius, best, dual = state["radius"], state["best"], DUALS[self.ball.name]
        nearer, farther = radius * (1 - gamma), radius * (1 + gamma)
        if dual is None:
            nearer = torch.minimum(radius - 1, nearer.floor()).clamp_min(1)
            first = farther = torch.maximum(radius + 1, farther.floor())
        else:
            slope: Tensor = torch.linalg.vector_norm(gradient.flatten(1), dual, dim=1)
            planned = (distance + gap.abs() / slope.clamp_min(torch.finfo(slope.dtype).tiny)) * (
                1 + GAMMA_END
            )
            first = torch.maximum(planned, farther)
        outside = torch.where(best < torch.inf, farther, first)
        return torch.where(gap < 0, torch.minimum(nearer, best), outside)

    def _converged(self, state: State, k: Tensor) -> Tensor:
        """(m,) bool after k steps; the distance is compared at every fifth of the steps, from the middle on."""
        best = state["best"]
        looks = k % max(self.length // 5, 1) == 0
        still = looks & (2 * k > self.length) & (best < torch.inf) & (best >= (1 - CONVERGED) * state["mark"])
        state["mark"] = torch.where(looks, best, state["mark"])
        return still


@attack
def fmn(
    model: Classifier,
    images: Tensor,
    labels: Tensor,
    *,
    eps: float | None = None,
    steps: int = 100,
    step_size: float = 1.0,
    gamma: float = 0.05,
    **run: Unpack[Run],
) -> AttackResult:
    """Find small perturbations: gradient steps inside a ball that shrinks after a success and grows after a failure.

    Args:
        eps: as in `fab_t`.
        norm: "linf", "l2", "l1" or "l0", the number of pixels.
        steps: at most this many gradient steps; a sample whose distance has converged leaves earlier.
        step_size: Euclidean length of the first step; the last is a hundredth of it.
        gamma: share by which the radius changes at first.

    Other arguments, the result and the errors are those of `pgd`; nothing is drawn at random.
    """
    search = partial(FmnSearch, length=positive("steps", steps), step_size=step_size, gamma=gamma)
    return run_native("fmn", search, model, images, labels, eps=eps, **run)
