"""What an attack asks of a norm: distances, the ball, directions and starting points; images are (n, c, h, w)."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from ...devices import as_float64
from ...draws import Draws
from ...errors import InputError
from .batches import free_to_look

TOLERANCE = 1e-6
"""How far rounding may carry an image out of its ball, as a share of a radius above 1, or out of [0, 1]."""


def column(values: Tensor, like: Tensor) -> Tensor:
    """(n,) values shaped (n, 1, 1, 1), to multiply images."""
    return values.reshape(-1, *(1,) * (like.dim() - 1))


def beside(value: float | Tensor, like: Tensor, dtype: torch.dtype) -> Tensor:
    """A number as a tensor on the device of `like`, made there: a copy from the host would wait for all that runs."""
    if isinstance(value, Tensor):
        return as_float64(value) if dtype == torch.float64 else value.to(dtype)
    return torch.full((), value, dtype=dtype, device=like.device)


class Ball(ABC):
    """The geometry of one norm; how its numbers are written stands in `specs.NORMS`.

    Every point is in [0, 1], every radius in the units of the images: one number, or (n,) one for each.
    """

    name: str
    """As `specs.NORMS` has it."""

    sparse = False
    """Whether few values should move at a time, as `sparsest` does it."""

    signs = False
    """Whether a step moves every value by the same size, so that iterates can repeat exactly."""

    @abstractmethod
    def lengths(self, delta: Tensor) -> Tensor:
        """(n,) norm of each perturbation."""

    @abstractmethod
    def project(self, points: Tensor, images: Tensor, eps: float | Tensor) -> Tensor:
        """Points moved into the ball of radius eps around `images`, and into [0, 1]."""

    def settled(self, points: Tensor, images: Tensor, eps: float | Tensor) -> Tensor:
        """Points of the ball, those that rounding to their type carried out of the ball moved back by one unit of it.

        Where many values move by the same amount from the same value, all of them round the same way.
        """
        moved = as_float64(points - images)
        radius = beside(eps, moved, torch.float64)
        beyond = self.lengths(moved) - radius > 0.9 * TOLERANCE * radius.clamp_min(1)
        if beyond.device != points.device:  # which has no float64
            beyond = beyond.to(points.device)
        if free_to_look(beyond) and not bool(beyond.any()):
            return points
        return torch.where(column(beyond, points), torch.nextafter(points, images), points)

    def steepest(self, gradient: Tensor, points: Tensor) -> Tensor:
        """The direction of unit norm in which a loss grows fastest from `points`; zero where the gradient is zero."""
        raise self._lacking("steepest direction")

    def random_direction(self, draws: Draws, images: Tensor, counter: Tensor | int) -> Tensor:
        """(n, c, h, w) of unit norm."""
        raise self._lacking("random direction")

    def boundary(self, points: Tensor, normals: Tensor, gaps: Tensor) -> Tensor:
        """The smallest d with <normal, d> = gap (m,) at points (m, d), or as far as [0, 1] allows points + d."""
        raise self._lacking("way onto a plane")

    def sparsest(self, gradient: Tensor, share: Tensor) -> Tensor:
        """Unit length, equal steps along the largest share (n,) of each gradient's entries, at least one."""
        raise self._lacking("sparse step")

    def random_in_ball(self, draws: Draws, images: Tensor, eps: float, counter: Tensor | int = 0) -> Tensor:
        """A random point of each ball: random direction, uniform radius."""
        # Two blocks of draws a counter: the radius takes the first, the direction the second.
        radius = draws.uniform((1,), 2 * counter, images.dtype)[:, 0]
        delta = self.random_direction(draws, images, 2 * counter + 1) * column(radius * eps, images)
        return self.settled((images + delta).clamp(0, 1), images, eps)

    def random_on_sphere(self, draws: Draws, images: Tensor, eps: float, counter: Tensor | int = 0) -> Tensor:
        """A random point at distance eps of each image, then clipped to [0, 1]."""
        points = (images + eps * self.random_direction(draws, images, counter)).clamp(0, 1)
        return self.settled(points, images, eps)

    def noise(self, draws: Draws, images: Tensor, eps: float, counter: Tensor | int) -> Tensor:
        """Random noise of size eps."""
        return self.random_on_sphere(draws, images, eps, counter)

    def ascend(
        self, points: Tensor, gradient: Tensor, images: Tensor, size: float | Tensor, eps: float | Tensor
    ) -> Tensor:
        """One step of projected gradient ascent (Madry et al. 2018, arXiv:1706.06083); sizes may be (n,)."""
        step = column(size, points) if isinstance(size, Tensor) else size
        return self.project(points + step * self.steepest(gradient, points), images, eps)

    def assert_inside(self, points: Tensor, images: Tensor, eps: float | None) -> None:
        """Raise if any point left its ball or [0, 1]: a defect of the attack, never of its input."""
        if beyond := self.beyond(points, images, eps):
            raise AssertionError(f"Attack left {beyond}.")

    def beyond(self, points: Tensor, images: Tensor, eps: float | None) -> str:
        """By how much points lie outside of their ball or of [0, 1], in words; empty where none does."""
        if len(points) == 0:
            return ""
        box = float(torch.maximum(-points, points - 1).max())
        ball = 0.0 if eps is None else float(self.lengths(as_float64(points - images)).max()) - eps
        if ball <= TOLERANCE * max(1.0, eps or 0.0) and box <= TOLERANCE:
            return ""
        return f"the {self.name} ball of radius {eps} by {ball:.2e}, or [0, 1] by {box:.2e}"

    def _lacking(self, what: str) -> InputError:
        return InputError(f"The norm {self.name} has no {what}: take another norm or attack.")


def room(points: Tensor, direction: Tensor) -> Tensor:
    """How far each coordinate can move along the sign of `direction` within [0, 1]; 0 where that is 0."""
    sign = direction.sign()  # arithmetic: torch.where waits long for a mask that nobody can guess
    return sign.clamp_min(0) - sign * points


NEWTON_STEPS = 15
"""Upper bound on Newton's steps; a few solve the piecewise linear equation exactly."""


def climb(points: Tensor, normals: Tensor, gaps: Tensor, speed: Tensor) -> Tensor:
    """(m, d): every coordinate moves in the direction that helps by min(t * speed, room), t as the gap needs.

    The gain is concave, increasing, piecewise linear in t: Newton's method from 0 climbs to the exact t and never
    beyond it.

    Args:
        points, normals, speed: (m, d).
        gaps: (m,), of either sign.
    """
    direction = normals.sign() * gaps.sign()[:, None]
    weight, space = normals.abs(), room(points, direction)
    # Below its stop a coordinate gains weight * speed a unit of t, above it the constant weight * space.
    stop = space / speed.clamp_min(1e-30)
    rates = torch.stack([weight * speed, weight * space], dim=1)
    excess = gaps.abs() - rates[:, 1].sum(1)
    t = torch.zeros_like(excess)
    for _ in range(NEWTON_STEPS):
        moving = (t[:, None] < stop).to(points.dtype)
        slope, held_back = (rates * moving[:, None]).sum(2).unbind(1)
        climbed = torch.where(slope > 0, (excess + held_back) / slope.clamp_min(1e-30), t)
        climbed = torch.maximum(climbed, t)
        if free_to_look(t) and torch.equal(climbed, t):
            break
        t = climbed
    return direction * torch.minimum(t[:, None] * speed, space)
