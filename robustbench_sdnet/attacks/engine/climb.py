"""The smallest step onto a hyperplane within a box, for norms in which every coordinate moves at its own speed."""

from __future__ import annotations

import torch
from torch import Tensor

from .ball import room

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
    stop = torch.where(speed > 0, space / speed.clamp_min(1e-30), 0.0)
    rates = torch.stack([weight * speed, weight * space], dim=1)
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
    return direction * torch.minimum(t[:, None] * speed, space)
