"""Images looked up elsewhere, of CIFAR-10-C-bar and ImageNet-C-bar (Mintun et al. 2021, arXiv:2102.11273)."""

from __future__ import annotations

from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from .host import Floats, between, each_on_host, grid, on_host, uniform_draws
from .members import Setting
from .sampling import Draws, Generators, drawn

ORDERS: NDArray[np.int64] = np.array(list(permutations(range(3))), np.int64)
LUMINOUS = 6.28318530718  # the caustics' own turn


def sample_signs(generators: Generators, n: int, height: int, width: int, _: Setting) -> Draws:
    """-1 or 1 a cell, (n, cells across, cells down)."""
    _cell, down, across = _cells(height, width)
    return {"sign": np.where(drawn(generators, n, across, down) < 0.5, 1.0, -1.0)}


def _cells(height: int, width: int) -> tuple[int, int, int]:
    """Side of a cell, and how many there are down and across: three along the shorter side, five from 224 pixels on."""
    side = min(height, width)
    count = 5 if side >= 224 else 3
    cell = side // count
    down, across = (count if length == side else length // cell for length in (height, width))
    return cell, down, across


@each_on_host
def pinch_and_twirl(image: NDArray[np.uint8], draws: Draws, setting: Setting) -> Floats:
    """Each cell's disk is pinched towards its centre and twirled, one cell after another."""
    amount, angle = 0.04 * setting[0] + 0.1, setting[0] * np.pi / 20
    cell, down, across = _cells(*image.shape[:2])
    found = image.astype(np.float64)
    for column in range(across):
        for row in range(down):
            rows, columns = _pinched(cell, amount, draws["sign"][column, row] * angle)
            moved = between(found, rows + row * cell, columns + column * cell)
            found[row * cell : (row + 1) * cell, column * cell : (column + 1) * cell] = moved
    return found


def _pinched(cell: int, amount: float, angle: float) -> tuple[Floats, Floats]:
    """Where the pixels of a cell come from, counted from its corner, (cell, cell) rows and columns."""
    radius = cell / 2
    rows, columns = np.broadcast_arrays(*grid(cell, cell))
    down, right = rows - radius, columns - radius
    distance = np.hypot(down, right)
    moved = (distance <= radius) & (np.round(distance, 3) > 0)
    share = np.where(moved, distance / radius, 1)
    pull, turn = np.sin(np.pi / 2 * share) ** -amount, angle * (1 - share) ** 2
    down, right = down * pull, right * pull
    turned = down * np.cos(turn) - right * np.sin(turn), down * np.sin(turn) + right * np.cos(turn)
    return np.where(moved, radius + turned[0], rows), np.where(moved, radius + turned[1], columns)


sample_ripple = uniform_draws(4)  # two wavelengths and two phases, along rows' and columns' numbers


@each_on_host
def ripple(image: NDArray[np.uint8], draws: Draws, setting: Setting) -> Floats:
    """Each coordinate is moved by a sine of itself."""
    side = min(image.shape[:2])
    places = np.broadcast_arrays(*grid(*image.shape[:2]))
    lengths, phases = side * (0.1 + 0.2 * draws["uniform"][:2]), 2 * np.pi * draws["uniform"][2:]
    moved = [
        place + 0.0025 * setting[0] * side * np.sin(2 * np.pi * place / length + phase)
        for place, length, phase in zip(places, lengths, phases, strict=True)
    ]
    return between(image, *moved)


@on_host
def circular_motion_blur(images: NDArray[np.uint8], _: Draws, setting: Setting) -> Floats:
    """The mean of 21 rotations by up to 1.5 s degrees, weighted by a Gaussian; cubic splines, black outside."""
    from scipy import ndimage

    places = np.linspace(-1, 1, 21)
    weights = np.exp(-2 * places**2)
    clean = images.astype(np.float32) / 255
    total = np.zeros(images.shape)
    for place, weight in zip(places, weights, strict=True):
        total += weight * ndimage.rotate(clean, place * 1.5 * setting[0], axes=(2, 1), reshape=False)
    return np.asarray(total / weights.sum() * 255)


def sample_order(generators: Generators, n: int, _h: int, _w: int, _: Setting) -> Draws:
    """(n,) which of the six orders of the channels."""
    return {"order": (drawn(generators, n, 1)[:, 0] * len(ORDERS)).astype(np.int64)}


@each_on_host
def transverse_chromatic_abberation(
    image: NDArray[np.uint8], draws: Draws, setting: Setting
) -> NDArray[np.uint8]:
    """Channels zoomed by 1, 1 + 0.025 s and 1 + 0.05 s, cubic without a prefilter, which smooths even where it is 1."""
    from scipy import ndimage

    height, width = image.shape[:2]
    scales = 1 + 0.025 * setting[0] * np.arange(3)
    found = np.empty_like(image)
    for channel, scale in enumerate(scales[ORDERS[draws["order"]]]):
        zoomed = ndimage.zoom(image[..., channel], scale, prefilter=False)
        top, left = (zoomed.shape[0] - height) // 2, (zoomed.shape[1] - width) // 2
        found[..., channel] = zoomed[top : top + height, left : left + width]
    return found


sample_caustics = uniform_draws(2)  # time and size of the pattern


@each_on_host
def caustic_refraction(image: NDArray[np.uint8], draws: Draws, setting: Setting) -> Floats:
    """Seen through a water surface whose relief is a pattern of caustics, with light on its slopes."""
    height, width = image.shape[:2]
    side = min(height, width)
    rows, columns = grid(height, width)
    time, size = draws["uniform"]
    padded = np.pad(_caustics(height, width, 0.5 + 1.5 * time, side * (0.75 + 0.5 * size)), 1)
    slope_down = padded[2:, 1:-1] - padded[:-2, 1:-1]
    slope_right = padded[1:-1, 2:] - padded[1:-1, :-2]
    shift = _refracted(slope_down, slope_right) * (0.05 * setting[0] * side)
    moved = between(image / 255, rows + np.round(shift[0], 3), columns + np.round(shift[1], 3))
    light = 0.2 * setting[0] * (slope_down - slope_right)
    return np.asarray(np.clip(moved + light[..., None], 0, 1) * 255)


def _refracted(slope_down: Floats, slope_right: Floats) -> Floats:
    """(2, h, w): how far a ray from above is bent, refractive index 4; not at all where it is level."""
    length = np.sqrt(slope_down**2 + slope_right**2 + 1)
    upright = 1 / length
    bent = np.sqrt(1 - (1 - upright**2) / 16) - upright / 4
    return np.where(upright >= 1 - 1e-3, 0, np.stack([slope_down, slope_right]) / length * bent)


def _caustics(height: int, width: int, time: float, size: float) -> Floats:
    """(h, w) in [0, 1]: light through water, after five foldings, smoothed by a Gaussian of one pixel."""
    from scipy import ndimage

    down, right = np.broadcast_arrays(*(place / size % 1 * LUMINOUS - 250 for place in grid(height, width)))
    here, there, total = down, right, np.ones((height, width))
    for fold in range(5):
        t = time * (1 - 3.5 / (fold + 1))
        here, there = (
            down + np.cos(t - here) + np.sin(t + there),
            right + np.sin(t - there) + np.cos(t + here),
        )
        total += 1 / np.hypot(down / (np.sin(here + t) / 0.005), right / (np.cos(there + t) / 0.005))
    bright = np.clip(np.abs(1.17 - (total / 5) ** 1.4) ** 8, 0, 1)
    return np.asarray(ndimage.gaussian_filter(bright, 1))
