"""Shapes drawn over images, of CIFAR-10-C-bar and ImageNet-C-bar (Mintun et al. 2021, arXiv:2102.11273)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .host import Floats, each_on_host, grid
from .members import Setting
from .sampling import Draws, Generators, Sample, drawn

MOST_RAYS = 200
CELLS = 40  # a side, at the smallest cells


def sample_checkerboard(generators: Generators, n: int, _h: int, _w: int, _: Setting) -> Draws:
    """Uniform in [0, 1): angle and side of a cell (n, 2), and whether each cell is cut (n, 40, 40)."""
    uniform = drawn(generators, n, 2 + CELLS * CELLS)
    return {"board": uniform[:, :2], "cells": uniform[:, 2:].reshape(n, CELLS, CELLS)}


@each_on_host
def checkerboard_cutout(image: NDArray[np.uint8], draws: Draws, setting: Setting) -> NDArray[np.uint8]:
    """Cells of a turned board whose numbers have the same parity become grey, each with probability s / 10."""
    side = min(image.shape[:2])
    rows, columns = grid(*image.shape[:2])
    angle, scale = draws["board"]
    cell = max(side * (0.1 + 0.15 * scale), 1.0)
    count = min(int(4 * side // cell), CELLS)
    turn = 2 * np.pi * angle
    first = (np.cos(turn) * rows + np.sin(turn) * columns) / cell
    second = (np.cos(turn) * columns - np.sin(turn) * rows) / cell
    same = (first % 2).astype(np.int64) == (second % 2).astype(np.int64)
    # Numbers are cut towards zero, and negative ones wrap around, as in the published generator.
    uniform = draws["cells"][first.astype(np.int64) % count, second.astype(np.int64) % count]
    found: NDArray[np.uint8] = image.copy()
    found[same & (uniform < setting[0] / 10)] = 128
    return found


def _stars(count: int) -> Sample:
    """Draws centres (n, count, 2) in [0, 1), numbers of rays (n, count), and normals for their lengths."""

    def sample(generators: Generators, n: int, _h: int, _w: int, _: Setting) -> Draws:
        centre, normal = np.empty((n, count, 2)), np.empty((n, count, MOST_RAYS))
        rays = np.empty((n, count), np.int64)
        for index, generator in enumerate(generators):
            generator.random(out=centre[index])
            rays[index] = 50 + (generator.random(count) * 150).astype(np.int64)
            generator.standard_normal(out=normal[index])
        return {"centre": centre, "rays": rays, "normal": normal}

    return sample


sample_one_star, sample_stars = _stars(1), _stars(5)


def _star(shape: tuple[int, int], centre: Floats, lengths: Floats, exponent: float) -> Floats:
    """(h, w) in [0, 1]: how much of the star's colour each pixel has."""
    rows, columns = grid(*shape)
    down, right = rows - centre[0], columns - centre[1]
    place = (np.arctan2(right, down) + np.pi) / (2 * np.pi) * len(lengths)
    ray = place.astype(np.int64)
    share = place - ray
    first, second = lengths[ray % len(lengths)], lengths[(ray + 1) % len(lengths)]
    length = first + share * (second - first)
    glow = (length**2 / (down**2 + right**2 + 1e-4)) ** exponent
    return np.asarray(np.clip((1 - (share - 0.5) ** 2) * glow, 0, 1))


@each_on_host
def sparkles(image: NDArray[np.uint8], draws: Draws, setting: Setting) -> Floats:
    """Five white stars with rays of about 0.01 s of the side."""
    height, width = image.shape[:2]
    radius = 0.01 * setting[0] * min(height, width)
    found: Floats = image.astype(np.float64)
    for centre, count, normal in zip(draws["centre"], draws["rays"], draws["normal"], strict=True):
        lengths = np.maximum(1, radius * (1 + 0.25 * normal[:count]))
        found += _star((height, width), centre * (height, width), lengths, 1)[..., None] * (255 - found)
    return found


@each_on_host
def inverse_sparkles(image: NDArray[np.uint8], draws: Draws, setting: Setting) -> Floats:
    """White, but for one star in which the image is seen."""
    height, width = image.shape[:2]
    centre, count, normal = (draws[name][0] for name in ("centre", "rays", "normal"))
    middle = (0.25 + 0.5 * centre) * (height, width)
    lengths = min(height, width) / 4 * (1 + 0.25 * normal[:count])
    seen = _star((height, width), middle, lengths, 6.5 * setting[0] / 50)
    return np.asarray(255 + seen[..., None] * (image - 255.0))


def sample_lines(generators: Generators, n: int, height: int, width: int, setting: Setting) -> Draws:
    """Uniform in [0, 1): angle and its variation (n, 2), and of each line its centre and angle (n, lines, 3)."""
    count = int(setting[0] / 10 * min(height, width))
    uniform = drawn(generators, n, 2 + 3 * count)
    return {"angle": uniform[:, :2], "lines": uniform[:, 2:].reshape(n, count, 3)}


@each_on_host
def lines(image: NDArray[np.uint8], draws: Draws, _: Setting) -> NDArray[np.uint8]:
    """Smooth grey lines as long as two sides, one after another."""
    from skimage.draw import line_aa

    height, width = image.shape[:2]
    angle, variation = draws["angle"]
    found: NDArray[np.uint8] = image.copy()
    for down, right, turn in draws["lines"]:
        direction = 2 * np.pi * (angle + (0.1 + 0.9 * variation) * (turn - 0.5))
        middle = np.array([down * height, right * width])
        arm = np.array([np.cos(direction), np.sin(direction)]) * min(height, width)
        ends = (int(place) for place in (*(middle - arm), *(middle + arm)))
        rows, columns, cover = line_aa(*ends)  # type: ignore[no-untyped-call]  # scikit-image states no types
        inside = (rows >= 0) & (columns >= 0) & (rows < height) & (columns < width)
        rows, columns, cover = rows[inside], columns[inside], cover[inside, None]
        found[rows, columns] = (1 - cover) * found[rows, columns] + cover * 128
    return found
