"""AugMix (Hendrycks et al. 2020, arXiv:1912.02781), in batches on the device.

Three chains of one to three operations are mixed with Dirichlet weights, and the mixture with the clean
image by a Beta weight. The operations are those of the paper, none of which is a test corruption. Draws
are keyed by sample id and step.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ...attacks.engine.ball import column
from ...draws import Draws

CHAINS, DEPTH = 3, 3
SEVERITY = 0.3  # of an operation's range, the paper's 3 of 10
OPERATIONS = 9  # autocontrast, equalize, posterize, solarize, rotate, shear x/y, translate x/y


def augmix(images: Tensor, ids: Tensor, *, seed: int, step: int) -> Tensor:
    """A random mixture for each image (n, 3, h, w) in [0, 1] of those ids (n,); `step` differs from view to view."""
    draws = Draws.of(seed, "augmix", ids)
    uniform = draws.uniform((CHAINS + 2 + CHAINS * (1 + 3 * DEPTH),), step, images.dtype)
    weights = -(1 - uniform[:, :CHAINS]).log()
    weights = weights / weights.sum(1, keepdim=True)  # Dirichlet(1, 1, 1)
    kept = uniform[:, CHAINS]  # Beta(1, 1)
    chains = uniform[:, CHAINS + 2 :].reshape(len(images), CHAINS, 1 + 3 * DEPTH)
    mixed = torch.zeros_like(images)
    for chain in range(CHAINS):
        mixed += column(weights[:, chain], images) * _chain(images, chains[:, chain])
    return column(kept, images) * images + column(1 - kept, images) * mixed


def _chain(images: Tensor, draws: Tensor) -> Tensor:
    depth = (draws[:, 0] * DEPTH).long() + 1
    moved = images
    for level in range(DEPTH):
        kind, size, sign = draws[:, 1 + 3 * level : 4 + 3 * level].unbind(1)
        operation = torch.where(level < depth, (kind * OPERATIONS).long(), -1)
        moved = apply(moved, operation, size * SEVERITY, torch.where(sign < 0.5, -1.0, 1.0).to(images))
    return moved


def apply(images: Tensor, operation: Tensor, size: Tensor, sign: Tensor) -> Tensor:
    """One operation an image, by its index, -1 for none; `size` in [0, 1], `sign` -1 or 1 for the geometric ones."""
    result = images
    for index, photometric in enumerate((_autocontrast, _equalize, _posterize, _solarize)):
        result = torch.where(column(operation == index, images), photometric(images, size), result)
    warped = _warp(images, operation - 4, size * sign)
    return torch.where(column(operation >= 4, images), warped, result)


def _autocontrast(images: Tensor, size: Tensor) -> Tensor:
    low, high = images.amin((2, 3), keepdim=True), images.amax((2, 3), keepdim=True)
    return torch.where(high > low, (images - low) / (high - low).clamp_min(1 / 255), images)


def _equalize(images: Tensor, size: Tensor) -> Tensor:
    """Each channel's levels through its own cumulative histogram, in Pillow's steps of whole pixels."""
    levels = (images * 255).round().long().flatten(2)
    histogram = torch.zeros(*levels.shape[:2], 256, device=images.device, dtype=images.dtype)
    histogram.scatter_add_(2, levels, torch.ones_like(levels, dtype=images.dtype))
    below = histogram.cumsum(2) - histogram
    last = histogram.gather(2, levels.amax(2, keepdim=True))
    step = ((levels.shape[2] - last) / 255).floor()  # of pixels to the next level
    same = torch.arange(256, device=images.device, dtype=images.dtype)
    table = torch.where(step > 0, ((below + (step / 2).floor()) / step.clamp_min(1)).floor(), same)
    return table.gather(2, levels).clamp(0, 255).div(255).reshape(images.shape)


def _posterize(images: Tensor, size: Tensor) -> Tensor:
    """At most four bits stay, three from a quarter of the range on."""
    step = 2 ** (4 + (4 * column(size, images)).floor())
    return ((images * 255).round() / step).floor() * step / 255


def _solarize(images: Tensor, size: Tensor) -> Tensor:
    return torch.where(images >= 1 - column(size, images), 1 - images, images)


def _warp(images: Tensor, kind: Tensor, amount: Tensor) -> Tensor:
    """kind 0: rotate up to 30 degrees, 1 and 2: shear up to 0.3, 3 and 4: translate up to a third."""
    angle = torch.where(kind == 0, amount * torch.pi / 6, 0)
    shear_x, shear_y = (torch.where(kind == index, amount * 0.3, 0) for index in (1, 2))
    shift_x, shift_y = (torch.where(kind == index, amount * 2 / 3, 0) for index in (3, 4))
    tall = images.shape[2] / images.shape[3]  # the grid counts sides, not pixels
    across = torch.stack((angle.cos(), (shear_x - angle.sin()) * tall, shift_x), 1)
    down = torch.stack(((angle.sin() + shear_y) / tall, angle.cos(), shift_y), 1)
    grid = F.affine_grid(torch.stack((across, down), 1), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="zeros", align_corners=False)
