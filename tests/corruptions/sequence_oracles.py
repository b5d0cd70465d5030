"""The sequences once more, one image at a time, in Pillow, SciPy, OpenCV, scikit-image and plain loops.

Each takes an image (32, 32, 3) uint8 and what `draws(frame)` gives of that image, and returns all frames.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import corruption_oracles as still
import numpy as np
from PIL import Image
from scipy import ndimage

Array = np.ndarray
Draws = Callable[[int], dict[str, Array]]


def gaussian_noise(image: Array, draws: Draws) -> list[Array]:
    return [image, *(still.gaussian_noise(image, draws(i), 0.02) for i in range(1, 31))]


def speckle_noise(image: Array, draws: Draws) -> list[Array]:
    return [image, *(still.speckle_noise(image, draws(i), 0.05) for i in range(1, 31))]


def motion_blur(image: Array, _: Draws) -> list[Array]:
    return [still.motion(image, 9 * (i - 20), 6, 1.8) for i in range(21)]


def zoom_blur(image: Array, _: Draws) -> list[Array]:
    total, frames = image / 255, [image]
    for i in range(1, 31):
        total = total + affine(image, scale=1 + 0.004 * i) / 255
        frames.append((total / (i + 1) * 255 + 1e-9).astype(np.uint8))
    return frames


def brightness(image: Array, _: Draws) -> list[Array]:
    return [still.brightness(image, {}, 0.015 * (i - 15)) for i in range(31)]


def translate(image: Array, _: Draws) -> list[Array]:
    frames = []
    for i in range(16):
        frame = np.zeros_like(image)
        for column in range(32):
            if 0 <= column - (i - 7) < 32:
                frame[:, column] = image[:, column - (i - 7)]
        frames.append(frame)
    return frames


def affine(image: Array, angle: float = 0, scale: float = 1, shear: float = 0) -> Array:
    """Turned clockwise, enlarged and sheared about the centre by Pillow, as torchvision asks it to."""
    turn, slope = math.radians(angle), math.tan(math.radians(shear))
    forward = scale * np.array(
        [
            [math.cos(turn), -math.cos(turn) * slope - math.sin(turn)],
            [math.sin(turn), math.cos(turn) - math.sin(turn) * slope],
        ]
    )
    back = np.linalg.inv(forward)
    middle = np.array([16.0, 16.0])
    shift = middle - back @ middle
    data = (*back[0], shift[0], *back[1], shift[1])
    return np.asarray(
        Image.fromarray(image).transform((32, 32), Image.Transform.AFFINE, data, Image.Resampling.BILINEAR)
    )


def rotate(image: Array, _: Draws) -> list[Array]:
    return [affine(image, angle=i - 15) for i in range(31)]


def scale(image: Array, _: Draws) -> list[Array]:
    return [affine(image, scale=(2 * i + 70) / 100) for i in range(31)]


def shear(image: Array, _: Draws) -> list[Array]:
    return [affine(image, shear=i - 15) for i in range(31)]


def tilt(image: Array, _: Draws) -> list[Array]:
    """Pixel by pixel: where a point of the turned card is seen, solved back for every place of the picture."""
    frames, focal = [], math.hypot(32, 32)
    for i in range(31):
        turn = math.radians(0.75 * (i - 15))
        cosine, sine = math.cos(turn), math.sin(turn)
        frame = np.zeros_like(image)
        for row in range(32):
            for column in range(32):
                x, y = _card(column - 16, row - 16, cosine, sine, focal)
                x, y = np.rint(32 * (x + 16)) / 32, np.rint(32 * (y + 16)) / 32
                frame[row, column] = np.floor(_between(image, y, x) + 0.5)
        frames.append(frame)
    return frames


def _card(u: float, v: float, cosine: float, sine: float, focal: float) -> tuple[float, float]:
    """The place (x, y) on the card whose image is (u, v): the card's point (x, y, 1) turned about y, then about x, and
    seen from `focal` behind."""
    # X = c x - s, Y = c y - s (s x + c), Z = s y + c (s x + c) + focal; u Z = focal X, v Z = focal Y.
    matrix = np.array(
        [
            [u * cosine * sine - focal * cosine, u * sine],
            [v * cosine * sine + focal * sine * sine, v * sine - focal * cosine],
        ]
    )
    right = np.array(
        [
            -u * (cosine * cosine + focal) - focal * sine,
            -v * (cosine * cosine + focal) - focal * sine * cosine,
        ]
    )
    return tuple(np.linalg.solve(matrix, right))


def _between(image: Array, y: float, x: float) -> Array:
    top, left = math.floor(y), math.floor(x)
    total = np.zeros(3)
    for row, share in ((top, 1 - (y - top)), (top + 1, y - top)):
        for column, part in ((left, 1 - (x - left)), (left + 1, x - left)):
            if 0 <= row < 32 and 0 <= column < 32:
                total += share * part * image[row, column]
    return total


def gaussian_blur(image: Array, _: Draws) -> list[Array]:
    widths = [0.3 + 0.015 * i for i in range(31)]
    return [
        still.to_bytes(ndimage.gaussian_filter(image / 255, (w, w, 0), mode="nearest", truncate=7))
        for w in widths
    ]


def spatter(image: Array, draws: Draws) -> list[Array]:
    liquid, frames = still.smooth(draws(0)["normal"] * 0.265 + 0.6, 1.75), []
    liquid[liquid < 0.7] = 0
    for _ in range(31):
        frames.append(still.water(image, liquid, 0.6))
        liquid = np.apply_along_axis(lambda line: np.convolve(line, [0.2, 0.8], mode="same"), 0, liquid)
    return frames


def snow(image: Array, draws: Draws) -> list[Array]:
    setting = (0.05, 0.3, 2, 0.5, 10, 2, 0.85)
    return [still.snow(image, {**draws(0), "angle": np.float64(4 * i - 150)}, *setting) for i in range(31)]
