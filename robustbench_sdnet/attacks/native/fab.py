"""FAB, targeted (Croce & Hein 2020, arXiv:1907.02044): steps onto the linearised boundary."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..engine.balls import column, lengths
from ..engine.losses import margin, targeted_margin
from ..engine.passes import Classifier, Passes
from ..engine.result import AttackResult
from ..engine.search import Rows, State, Step
from .wrapper import positive, run_native

ALPHA_MAX = 0.1
"""The largest weight of the step that starts at the original image."""

ETA = 1.05
"""Overshoot of the projections."""

BETA = 0.9
"""Back-step towards the original image after a success."""

NEWTON_STEPS = 15
"""Upper bound on Newton's steps; a few solve the piecewise linear equation exactly."""


def to_hyperplane(points: Tensor, normals: Tensor, gaps: Tensor, norm: str) -> Tensor:
    """The smallest d with <normal, d> = gap and points + d in [0, 1]; else as far as the box allows.

    Args:
        points, normals: (m, d).
        gaps: (m,), of either sign.
        norm: of the perturbation to minimise.

    The solution moves every coordinate in the direction that helps, by min(t * speed, room), with speed 1 in
    linf and |normal| in l2. Its gain is concave, increasing, piecewise linear in t: Newton's method from 0
    climbs to the exact t and never beyond it.
    """
    direction = normals.sign() * gaps.sign()[:, None]
    weight = normals.abs()
    speed = torch.ones_like(weight) if norm == "linf" else weight
    room = torch.where(direction > 0, 1 - points, points) * direction.abs()
    # Below its stop a coordinate gains weight * speed a unit of t, above it the constant weight * room.
    stop = torch.where(speed > 0, room / speed.clamp_min(1e-30), 0.0)
    rates = torch.stack([weight * speed, weight * room], dim=1)
    excess = gaps.abs() - rates[:, 1].sum(1)
    t = torch.zeros_like(excess)
    for _ in range(NEWTON_STEPS):
        moving = (t[:, None] < stop).to(points.dtype)
        slope, held_back = torch.bmm(rates, moving[:, :, None])[:, :, 0].unbind(1)
        climbed = torch.where(slope > 0, (excess + held_back) / slope.clamp_min(1e-30), t)
        climbed = torch.maximum(climbed, t)
        # Comparing is free on a CPU; elsewhere the host would wait for the device.
        if t.device.type == "cpu" and torch.equal(climbed, t):
            break
        t = climbed
    return direction * torch.minimum(t[:, None] * speed, room)


@dataclass(frozen=True)
class FabSearch:
    """One course a target. With eps None the smallest perturbation is sought, else any inside the ball."""

    eps: float | None
    norm: str
    length: int
    attempts: int
    targeted: bool = True
    returns_last: bool = False

    @property
    def minimal(self) -> bool:
        return self.eps is None

    def begin(self, rows: Rows) -> State:
        return {"x": rows.images, "k": torch.zeros_like(rows.labels)}

    def step(self, passes: Passes, rows: Rows, state: State) -> Step:
        targets = rows.ranking.gather(1, rows.attempt[:, None])[:, 0]
        x = state["x"]
        logits, gradient = passes.gradient(
            x, lambda z, index: targeted_margin(z, rows.labels[index], targets[index])
        )
        x = self._towards_boundary(x, rows.images, gradient, targeted_margin(logits, rows.labels, targets))
        found = passes.logits(x)
        wrong = margin(found, rows.labels) < 0
        distance = lengths(x - rows.images, self.norm)
        back = rows.images + BETA * (x - rows.images)
        state["x"] = torch.where(column(wrong, x), back, x)
        state["k"] = state["k"] + 1
        done = state["k"] >= self.length
        if self.eps is None:
            score = torch.where(wrong, distance, torch.inf)
            return Step(x, found, state["k"], done, wrong, score)
        return Step(x, found, state["k"], done, distance <= self.eps)

    def _towards_boundary(self, x: Tensor, images: Tensor, gradient: Tensor, gap: Tensor) -> Tensor:
        """A convex combination of the projections of x and of the image onto {z_t = z_y}, linearised at x."""
        normal = gradient.flatten(1)
        # z_t - z_y along the gradient: gap + <normal, d> = 0 at x, and the same plane seen from the image.
        gap_image = gap + (normal * (images - x).flatten(1)).sum(1)
        both = to_hyperplane(
            torch.cat([x.flatten(1), images.flatten(1)]),
            torch.cat([normal, normal]),
            -torch.cat([gap, gap_image]),
            self.norm,
        )
        near, far = both.reshape(2, *x.shape).unbind(0)
        length_near, length_far = (lengths(d, self.norm).clamp_min(1e-8) for d in (near, far))
        alpha = column((length_near / (length_near + length_far)).clamp(0, ALPHA_MAX), x)
        return ((x + ETA * near) * (1 - alpha) + (images + ETA * far) * alpha).clamp(0, 1)


def fab_t(
    model: Classifier,
    images: Tensor,
    labels: Tensor,
    *,
    eps: float | None,
    norm: str = "linf",
    steps: int = 100,
    targets: int = 9,
    early_stop: bool = True,
    precision: str = "auto",
    seed: int = 0,
    sample_ids: Tensor | Sequence[int] | None = None,
    batch_size: int | None = None,
) -> AttackResult:
    """Find small perturbations by steps onto the linearised boundary towards one wrong class after the other.

    Args:
        eps: radius that counts as a success; None seeks the smallest perturbation of each sample, and
            `extra["distance"]` (n,) holds its norm (0 misclassified from the start, infinity nothing found).
        steps: steps a target, of two forward passes and one backward pass.
        targets: at most this many classes; a model with fewer wrong classes has all of them attacked.

    Other arguments, the result and the errors are those of `pgd`; nothing is drawn at random.
    """
    search = FabSearch(
        eps=eps, norm=norm, length=positive("steps", steps), attempts=positive("targets", targets)
    )
    return run_native(
        search, model, images, labels, eps=eps, norm=norm, precision=precision, sample_ids=sample_ids,
        batch_size=batch_size, early_stop=early_stop,
    )  # fmt: skip
