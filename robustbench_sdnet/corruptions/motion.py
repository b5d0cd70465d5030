"""Motion blur along a random direction, as ImageMagick does it: for photographs, and for falling snow."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from .filters import pad, to_words, truncated
from .members import LARGE, Setting
from .sampling import Draws, Generators

_QUANTUM = 257  # ImageMagick works in 16 bits: 255 becomes 65535
# Its sine of 30 degrees falls just short of a half, which decides where taps half a pixel away land. Ours may round.
_SHORT = 1 - 1e-12


def sample_motion(generators: Generators, n: int, _h: int, _w: int, _: Setting) -> Draws:
    """An angle in degrees, uniform in -45..45, (n,) float64."""
    return {"angle": np.array([generator.uniform(-45, 45) for generator in generators]).reshape(n)}


def motion_blur(images: Tensor, draws: dict[str, Tensor], setting: Setting) -> Tensor:
    """A one-sided Gaussian tail along the drawn angle, border repeated. Byte-equal to the reference."""
    radius, sigma = setting
    return blur_along(images, draws["angle"], int(radius), sigma)


def blur_along(images: Tensor, angle: Tensor, radius: int, sigma: float) -> Tensor:
    """Sum copies of each image shifted along its own direction.

    Args:
        images: (n, h, w, c) uint8, one channel or three.
        angle: (n,) float64, degrees.
        radius: the tail has 2 radius + 1 taps.
        sigma: its width, pixels.
    """
    n, height, width, channels = images.shape
    tail = np.exp(-(np.arange(2 * radius + 1) ** 2) / (2 * sigma * sigma))
    weights = (tail / tail.sum()).tolist()
    shift_x, shift_y, (left, up, right, down) = _shifts(angle, len(weights))
    if height * width > LARGE:
        padded = pad(pad(images, 1, up, down, "nearest"), 2, left, right, "nearest").to(torch.float64)
        places = (shift_y.T + up).tolist(), (shift_x.T + left).tolist()
        blurred = [_one_blurred(*one, weights, height, width) for one in zip(padded, *places, strict=True)]
        return torch.stack(blurred)
    pixels = to_words(images) if channels == 3 else images[..., 0]
    padded = pad(pad(pixels, 1, up, down, "nearest"), 2, left, right, "nearest")
    tall, wide = padded.shape[1:]
    image, row, column = (
        torch.arange(count, dtype=torch.int32, device="cpu") for count in (n, height, width)
    )
    origin = image.reshape(-1, 1, 1) * (tall * wide) + (row.reshape(-1, 1) + up) * wide + (column + left)
    origin, shift = origin.to(images.device), (shift_y * wide + shift_x).to(torch.int32).to(images.device)
    flat = padded.reshape(-1)
    total = torch.zeros(
        (n * height * width, 4 if channels == 3 else 1), dtype=torch.float64, device=images.device
    )
    # Written into again and again: fresh memory for every tap costs more than the sum itself.
    index, term = torch.empty_like(origin), torch.empty_like(total)
    for tap, weight in enumerate(weights):
        torch.add(origin, shift[tap].reshape(-1, 1, 1), out=index)
        shifted = flat.index_select(0, index.reshape(-1)).view(torch.uint8)
        total.add_(term.copy_(shifted.reshape(term.shape)).mul_(weight * _QUANTUM))
    return _from_quantum(total).reshape(n, height, width, total.shape[1])[..., :channels]


def _one_blurred(
    padded: Tensor, rows: list[int], columns: list[int], weights: list[float], height: int, width: int
) -> Tensor:
    """The same for one large image, whose shifts are windows of the padded one, (h', w', c) float64.

    With weights that are multiples of 2^-36 every sum is a float64 number: each term is one pass that multiplies and
    adds, whether a machine rounds between the two or not.
    """
    total = torch.zeros((height, width, padded.shape[-1]), dtype=torch.float64, device=padded.device)
    first, (down, right, _) = padded.storage_offset(), padded.stride()
    for row, column, weight in zip(rows, columns, weights, strict=True):
        exact = round(weight * _QUANTUM * 2.0**36) * 2.0**-36
        window = padded.as_strided(total.shape, padded.stride(), first + row * down + column * right)
        total.add_(window, alpha=exact)
    return _from_quantum(total)


def _from_quantum(total: Tensor) -> Tensor:
    """Round to 16 bits, then keep the high byte: floor(q / 257), without a division."""
    quantum = total.add_(0.5).floor_()
    # 65281 / 2^24 is 1 / 257 rounded up: the floor is right for every 16-bit number.
    return truncated(quantum.mul_(65281 / 2**24))


def _shifts(angle: Tensor, taps: int) -> tuple[Tensor, Tensor, tuple[int, int, int, int]]:
    """Whole-pixel shifts of each tap, (taps, n) in x and y, and how far they reach left, up, right and down.

    Made on the host: cosines of devices differ in the last bit, and a shift may turn on it.
    """
    radians = np.deg2rad(angle.cpu().numpy())
    steps = np.arange(taps)[:, None] * _SHORT
    shift_x = np.ceil(steps * np.cos(radians) - 0.5).astype(np.int64)
    shift_y = np.ceil(steps * np.sin(radians) - 0.5).astype(np.int64)
    left, up = (int(-shift.min(initial=0)) for shift in (shift_x, shift_y))
    right, down = (int(shift.max(initial=0)) for shift in (shift_x, shift_y))
    return torch.from_numpy(shift_x), torch.from_numpy(shift_y), (left, up, right, down)
