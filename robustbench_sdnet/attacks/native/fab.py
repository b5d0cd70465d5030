"""FAB, targeted (Croce & Hein 2020, arXiv:1907.02044): steps onto the linearised boundary."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor
from typing_extensions import Unpack

from ..engine.ball import column
from ..engine.batches import free_to_look
from ..engine.losses import margin, targeted_margin
from ..engine.passes import Classifier, Passes
from ..engine.result import AttackResult
from ..engine.search import Rows, Search, State, Step
from .wrapper import Run, attack, positive, run_native

ALPHA_MAX = 0.1
"""The largest weight of the step that starts at the original image."""

ETA = 1.05
"""Overshoot of the projections."""

BETA = 0.9
"""Back-step towards the original image after a success."""

CACHED = 2**16
"""Values whose projection a processor's cache holds: larger pieces wait for memory."""


@dataclass(frozen=True, kw_only=True)
class FabSearch(Search):
    """One course a target."""

    targeted: bool = True

    def begin(self, rows: Rows) -> State:
        return {"x": rows.images}

    def step(self, passes: Passes, rows: Rows, state: State) -> Step:
        x, targets = state["x"], rows.targets()
        logits, gradient = passes.gradient(
            x, lambda z, index: targeted_margin(z, rows.labels[index], targets[index])
        )
        gap = targeted_margin(logits, rows.labels, targets)
        few = max(CACHED // x[0].numel(), 1) if free_to_look(x) else len(x)
        pieces = zip(*(torch.split(values, few) for values in (x, rows.images, gradient, gap)), strict=True)
        x = torch.cat([self._towards_boundary(*piece) for piece in pieces])
        found = passes.logits(x)
        wrong = margin(found, rows.labels) < 0
        distance = self.ball.lengths(x - rows.images)
        back = rows.images + BETA * (x - rows.images)
        state["x"] = torch.where(column(wrong, x), back, x)
        step = self.nearest(x, found, wrong, distance, rows.k + 1 >= self.length)
        return replace(step, before=logits)

    def _towards_boundary(self, x: Tensor, images: Tensor, gradient: Tensor, gap: Tensor) -> Tensor:
        """A convex combination of the projections of x and of the image onto {z_t = z_y}, linearised at x."""
        normal = gradient.flatten(1)
        # z_t - z_y along the gradient: gap + <normal, d> = 0 at x, and the same plane seen from the image.
        gap_image = gap + (normal * (images - x).flatten(1)).sum(1)
        points, gaps = torch.cat([x.flatten(1), images.flatten(1)]), torch.cat([gap, gap_image])
        both = self.ball.boundary(points, torch.cat([normal, normal]), -gaps)
        near, far = both.reshape(2, *x.shape).unbind(0)
        length_near, length_far = (self.ball.lengths(d).clamp_min(1e-8) for d in (near, far))
        alpha = column((length_near / (length_near + length_far)).clamp(0, ALPHA_MAX), x)
        return ((x + ETA * near) * (1 - alpha) + (images + ETA * far) * alpha).clamp(0, 1)


@attack
def fab_t(
    model: Classifier,
    images: Tensor,
    labels: Tensor,
    *,
    eps: float | None = None,
    steps: int = 100,
    targets: int = 9,
    **run: Unpack[Run],
) -> AttackResult:
    """Find small perturbations by steps onto the linearised boundary towards one wrong class after another.

    Args:
        eps: radius that counts as a success; None seeks the smallest perturbation of each sample, and
            `extra["distance"]` (n,) holds its norm (0: misclassified from the start, infinity: nothing found).
        steps: steps per target, each of two forward passes and one backward pass.
        targets: at most this many classes; a model with fewer wrong classes has all of them attacked.

    Other arguments, the result and the errors are those of `pgd`; nothing is drawn at random.
    """
    search = partial(FabSearch, length=positive("steps", steps), attempts=positive("targets", targets))
    return run_native("fab-t", search, model, images, labels, eps=eps, **run)
