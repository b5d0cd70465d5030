"""Balls, steps and starting points in the l-infinity and l2 norms; images are (n, c, h, w) in [0, 1]."""

from __future__ import annotations

import torch
from torch import Tensor

from ...draws import Draws

NORMS = ("linf", "l2")


def lengths(delta: Tensor, norm: str) -> Tensor:
    """(n,) norm of each perturbation: linf, l2, l1, or l0, the number of pixels changed in any channel."""
    flat = delta.flatten(1)
    if norm == "linf":
        return flat.abs().amax(1)
    if norm == "l2":
        return flat.square().sum(1).sqrt()
    if norm == "l1":
        return flat.abs().sum(1)
    return (delta != 0).any(1).flatten(1).sum(1).to(delta.dtype)


def column(values: Tensor, like: Tensor) -> Tensor:
    """(n,) values shaped (n, 1, 1, 1), to multiply images."""
    return values.reshape(-1, *(1,) * (like.dim() - 1))


def project(points: Tensor, images: Tensor, eps: float, norm: str) -> Tensor:
    """The points moved into the ball of radius eps around `images`, then into [0, 1]."""
    if norm == "linf":
        return (images + (points - images).clamp(-eps, eps)).clamp(0, 1)
    delta = points - images
    shrink = (eps / lengths(delta, norm).clamp_min(1e-30)).clamp(max=1)
    return (images + delta * column(shrink, delta)).clamp(0, 1)


def steepest(gradient: Tensor, norm: str) -> Tensor:
    """The direction of unit norm of fastest growth; zero where the gradient is zero."""
    if norm == "linf":
        return gradient.sign()
    return gradient / (column(lengths(gradient, norm), gradient) + 1e-10)


def random_in_ball(draws: Draws, images: Tensor, eps: float, norm: str, counter: Tensor | int = 0) -> Tensor:
    """A random point of each ball, in [0, 1]: uniform (linf); random direction, uniform radius (l2)."""
    shape = tuple(images.shape[1:])
    if norm == "linf":
        delta = (2 * draws.uniform(shape, counter, images.dtype) - 1) * eps
    else:
        radius = draws.uniform((1,), _block(counter), images.dtype)[:, 0]
        delta = random_direction(draws, images, _block(counter) + 1) * column(radius * eps, images)
    return (images + delta).clamp(0, 1)


def random_on_sphere(
    draws: Draws, images: Tensor, eps: float, norm: str, counter: Tensor | int = 0
) -> Tensor:
    """A random point at distance eps of each image, then clipped to [0, 1]."""
    if norm == "linf":
        delta = 2 * draws.uniform(tuple(images.shape[1:]), counter, images.dtype) - 1
        delta = delta / column(lengths(delta, norm), delta).clamp_min(1e-12)
    else:
        delta = random_direction(draws, images, counter)
    return (images + eps * delta).clamp(0, 1)


def random_direction(draws: Draws, images: Tensor, counter: Tensor | int) -> Tensor:
    """(n, c, h, w) uniform on the unit l2 sphere."""
    delta = draws.normal(tuple(images.shape[1:]), counter, images.dtype)
    return delta / column(lengths(delta, "l2"), delta).clamp_min(1e-12)


def _block(counter: Tensor | int) -> Tensor | int:
    """Two blocks of draws a counter: the radius takes the first, the direction the second."""
    return 2 * counter


def outside(points: Tensor, images: Tensor, eps: float | None, norm: str) -> tuple[float, float]:
    """How far the worst point lies outside its ball and outside [0, 1]; both are 0 where all is well."""
    if len(points) == 0:
        return 0.0, 0.0
    box = float(torch.maximum(-points, points - 1).max().clamp_min(0))
    if eps is None:
        return 0.0, box
    return max(0.0, float(lengths((points - images).double(), norm).max()) - eps), box
