"""Shapes drawn over images, of CIFAR-10-C-bar and ImageNet-C-bar (Mintun et al. 2021, arXiv:2102.11273)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .host import Floats, grid, on_host
from .members import Setting
from .sampling import Draws, Generators, drawn

MOST_RAYS, STARS = 200, 5
CELLS = 40  # a side, at the smallest cells


def sample_checkerboard(generators: Generators, n: int, _h: int, _w: int, _: Setting) -> Draws:
    """Uniform in [0, 1): angle and side of a cell (n, 2), and whether each cell is cut (n, 40, 40)."""
    uniform = drawn(generators, n, 2 + CELLS * CELLS)
    return {"board": uniform[:, :2], "cells": uniform[:, 2:].reshape(n, CELLS, CELLS)}


@on_host
def checkerboard_cutout(images: NDArray[np.uint8], draws: Draws, setting: Setting) -> NDArray[np.uint8]:
    """Cells of a turned board whose numbers have the same parity become grey, each with probability s / 10."""
    height, width = images.shape[1:3]
    side = min(height, width)
    rows, columns = grid(height, width)
    result: NDArray[np.uint8] = images.copy()
    for image, (angle, scale), uniform in zip(result, draws["board"], draws["cells"], strict=True):
        cell = max(side * (0.1 + 0.15 * scale), 1.0)
        count = min(int(4 * side // cell), CELLS)
        turn = 2 * np.pi * angle
        first = (np.cos(turn) * rows + np.sin(turn) * columns) / cell
        second = (np.cos(turn) * columns - np.sin(turn) * rows) / cell
        same = (first % 2).astype(np.int64) == (second % 2).astype(np.int64)
        # Numbers are cut towards zero, and negative ones wrap around, as in the published generator.
        cut = uniform[first.astype(np.int64) % count, second.astype(np.int64) % count] < setting[0] / 10
        image[same & cut] = 128
    return result


def sample_stars(generators: Generators, n: int, _h: int, _w: int, _: Setting) -> Draws:
    """Five centres (n, 5, 2) in [0, 1), numbers of rays (n, 5), and normals for their lengths (n, 5, 200)."""
    return _stars(generators, n, STARS)


def sample_one_star(generators: Generators, n: int, _h: int, _w: int, _: Setting) -> Draws:
    """The same of one star."""
    return _stars(generators, n, 1)


def _stars(generators: Generators, n: int, count: int) -> Draws:
    centre, normal = np.empty((n, count, 2)), np.empty((n, count, MOST_RAYS))
    rays = np.empty((n, count), np.int64)
    for index, generator in enumerate(generators):
        generator.random(out=centre[index])
        rays[index] = 50 + (generator.random(count) * 150).astype(np.int64)
        generator.standard_normal(out=normal[index])
    return {"centre": centre, "rays": rays, "normal": normal}


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


@on_host
def sparkles(images: NDArray[np.uint8], draws: Draws, setting: Setting) -> Floats:
    """Five white stars with rays of about 0.01 s of the side."""
    height, width = images.shape[1:3]
    radius = 0.01 * setting[0] * min(height, width)
    result: Floats = images.astype(np.float64)
    for image, centres, counts, normals in zip(
        result, draws["centre"], draws["rays"], draws["normal"], strict=True
    ):
        for centre, count, normal in zip(centres, counts, normals, strict=True):
            lengths = np.maximum(1, radius * (1 + 0.25 * normal[:count]))
            image += _star((height, width), centre * (height, width), lengths, 1)[..., None] * (255 - image)
    return result


@on_host
def inverse_sparkles(images: NDArray[np.uint8], draws: Draws, setting: Setting) -> Floats:
    """White, but for one star in which the image is seen."""
    height, width = images.shape[1:3]
    radius = min(height, width) / 4
    result = np.empty(images.shape)
    for target, image, centre, count, normal in zip(
        result, images, draws["centre"][:, 0], draws["rays"][:, 0], draws["normal"][:, 0], strict=True
    ):
        middle = (0.25 + 0.5 * centre) * (height, width)
        lengths = radius * (1 + 0.25 * normal[:count])
        seen = _star((height, width), middle, lengths, 6.5 * setting[0] / 50)
        target[:] = 255 + seen[..., None] * (image - 255.0)
    return result


def sample_lines(generators: Generators, n: int, height: int, width: int, setting: Setting) -> Draws:
    """Uniform in [0, 1): angle and its variation (n, 2), and of each line its centre and angle (n, lines, 3)."""
    count = int(setting[0] / 10 * min(height, width))
    uniform = drawn(generators, n, 2 + 3 * count)
    return {"angle": uniform[:, :2], "lines": uniform[:, 2:].reshape(n, count, 3)}


@on_host
def lines(images: NDArray[np.uint8], draws: Draws, setting: Setting) -> NDArray[np.uint8]:
    """Smooth grey lines as long as two sides, one after another."""
    from skimage.draw import line_aa

    height, width = images.shape[1:3]
    side = min(height, width)
    result: NDArray[np.uint8] = images.copy()
    for image, (angle, variation), each in zip(result, draws["angle"], draws["lines"], strict=True):
        for down, right, turn in each:
            direction = 2 * np.pi * (angle + (0.1 + 0.9 * variation) * (turn - 0.5))
            middle = np.array([down * height, right * width])
            arm = np.array([np.cos(direction), np.sin(direction)]) * side
            ends = (int(place) for place in (*(middle - arm), *(middle + arm)))
            rows, columns, cover = line_aa(*ends)  # type: ignore[no-untyped-call]  # scikit-image states no types
            inside = (rows >= 0) & (columns >= 0) & (rows < height) & (columns < width)
            rows, columns, cover = rows[inside], columns[inside], cover[inside, None]
            image[rows, columns] = (1 - cover) * image[rows, columns] + cover * 128
    return result
