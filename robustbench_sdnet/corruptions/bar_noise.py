"""The noises of CIFAR-10-C-bar and ImageNet-C-bar (Mintun et al. 2021, arXiv:2102.11273).

The scale s of the published tables is the setting; lengths are shares of the shorter side. Phases of the two spectral
noises are point-symmetric and the real part is kept, as there.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .host import Floats, each_on_host, grid, on_host, uniform_draws
from .members import Setting
from .sampling import Draws, Generators, Sample, drawn

TAU = 2 * np.pi


def _phases(channels: int) -> Sample:
    """Draws `phase` (n, channels, ...) in [0, 1): half of the spectrum of each channel."""

    def sample(generators: Generators, n: int, height: int, width: int, _: Setting) -> Draws:
        half = height * (width // 2) + (height // 2 if width % 2 else 0)
        return {"phase": drawn(generators, n, channels, half)}

    return sample


sample_phases, sample_three_phases = _phases(1), _phases(3)


def _spectral(phase: Floats, height: int, width: int, power: Floats) -> Floats:
    """(..., h, w) noise of standard deviation 1 whose spectrum has these amplitudes."""
    half = height * (width // 2)
    left = phase[..., :half].reshape(*phase.shape[:-1], height, -1) * TAU
    parts = [left, left[..., ::-1, ::-1]]
    if width % 2:
        middle = phase[..., half:, None] * TAU
        centre = [np.zeros((*phase.shape[:-1], 1, 1))] if height % 2 else []
        parts.insert(1, np.concatenate([middle, *centre, middle[..., ::-1, :]], -2))
    angles = np.concatenate(parts, -1)
    spectrum = np.roll(power * np.exp(1j * angles), (height // 2, width // 2), (-2, -1))
    noise = np.fft.ifft2(spectrum).real
    return np.asarray(noise / noise.std((-2, -1), keepdims=True))


def _distance(height: int, width: int) -> Floats:
    """From the centre of the spectrum."""
    rows, columns = grid(height, width)
    return np.hypot(rows - height / 2, columns - width / 2)


@on_host
def blue_noise_sample(images: NDArray[np.uint8], draws: Draws, setting: Setting) -> NDArray[np.uint8]:
    """Pixels where blue noise is at most 0.3 s - 2.5 become black."""
    height, width = images.shape[1:3]
    noise = _spectral(draws["phase"][:, 0], height, width, _distance(height, width))
    return images * (noise > 0.3 * setting[0] - 2.5)[..., None]


@on_host
def brownish_noise(images: NDArray[np.uint8], draws: Draws, setting: Setting) -> Floats:
    """Image + 6.4 s noise, each channel its own."""
    height, width = images.shape[1:3]
    noise = _spectral(draws["phase"], height, width, 1 / (_distance(height, width) ** 2 + 1))
    return np.asarray(images + 6.4 * setting[0] * np.moveaxis(noise, 1, -1))


sample_wave = uniform_draws(4)  # a frequency, the other one, their order, the phase


@on_host
def single_frequency_greyscale(images: NDArray[np.uint8], draws: Draws, setting: Setting) -> Floats:
    """Image + 19.6 s sin(f . p + phase)."""
    first, second, order, phase = draws["uniform"].T[:, :, None, None]
    first = TAU * first - np.pi
    second = np.abs(first) * (2 * second - 1)
    rows, columns = grid(*images.shape[1:3])
    across, down = np.where(order < 0.5, first, second), np.where(order < 0.5, second, first)
    wave = np.sin(columns * across + rows * down + TAU * phase)
    return np.asarray(images + 19.6 * setting[0] * wave[..., None])


sample_rings = uniform_draws(5)  # centre (column, row), frequency, amplitude, width of a ring


@on_host
def cocentric_sine_waves(images: NDArray[np.uint8], draws: Draws, setting: Setting) -> Floats:
    """Image + 12.8 s saw-tooth rings in -0.5..0.5 with wavy edges."""
    height, width = images.shape[1:3]
    side = min(height, width)
    column, row, frequency, amplitude, ring = draws["uniform"].T[:, :, None, None]
    rows, columns = grid(height, width)
    right, down = columns - column * width, rows - row * height
    ring = np.maximum(ring * side / 10, 1e-9)
    waves = np.sin(np.arctan2(right, down) * (10 * frequency)) * (amplitude * side / 10)
    rings = (np.hypot(right, down) + waves) % ring / ring - 0.5
    return np.asarray(images + 12.8 * setting[0] * rings[..., None])


sample_plasma = uniform_draws(4)  # time, iterations, sharpness, scale


@on_host
def plasma_noise(images: NDArray[np.uint8], draws: Draws, setting: Setting) -> Floats:
    """(1 - 6.4 s / 255) image + 6.4 s of a colour plasma of folded sines in -1..1."""
    height, width = images.shape[1:3]
    time, rounds, sharpness, scale = draws["uniform"].T[:, :, None, None]
    time, sharpness = 3 * TAU * time, 0.5 + 0.5 * sharpness
    scale = (0.075 + 0.125 * scale) * min(height, width)
    rounds = 4 + np.floor(3 * rounds)
    rows, columns = grid(height, width)
    x, y = np.broadcast_arrays(columns / scale, rows / scale)
    frequency, slowing, fading = 1.0, 1.0, np.ones_like(time)
    for step in range(6):
        right = np.cos(y * frequency + time / slowing) / fading
        down = np.sin(x * frequency + time / slowing) / fading
        going = step < rounds
        x, y = x + going * (right - 0.3 * down), y + going * (down + 0.3 * right)
        frequency, slowing, fading = frequency * 1.93, slowing * 1.15, fading * (2.25 - sharpness)
    colours = np.stack([np.sin(x - time), np.sin((x + y + np.sin(time)) / 2), np.sin(y + time)], -1)
    amount = 6.4 * setting[0]
    return np.asarray((1 - amount / 255) * images + amount * colours)


def sample_perlin(generators: Generators, n: int, _h: int, _w: int, _: Setting) -> Draws:
    """A permutation of 256 numbers, (n, 256) int64, and as many directions, (n, 256, 2).

    The published generator exchanges every place with any other, which favours some orders by a little, and takes
    directions from integers of -256 to 255; here every order is as likely, and directions come from the whole square.
    """
    uniform = drawn(generators, n, 3, 256)
    gradient = np.moveaxis(2 * uniform[:, 1:] - 1, 1, 2)
    gradient = gradient / np.maximum(np.linalg.norm(gradient, axis=-1, keepdims=True), 1e-12)
    return {"order": np.argsort(uniform[:, 0], 1, kind="stable"), "gradient": gradient}


@each_on_host
def perlin_noise(image: NDArray[np.uint8], draws: Draws, setting: Setting) -> Floats:
    """(1 - 0.05 s) image + 255 (0.05 s) of turbulence: octaves 1, 2, 4, 8, 16 of Perlin noise, seven cells a side."""
    rows, columns = (places * 7 / min(image.shape[:2]) for places in grid(*image.shape[:2]))
    share = 0.05 * setting[0]
    octaves = (np.abs(_perlin(rows * f, columns * f, **draws)) / f for f in (1, 2, 4, 8, 16))
    noise = np.clip(0.5 * sum(octaves) + 0.5, 0, 1)
    return np.asarray((1 - share) * image + 255 * share * noise[..., None])


def _perlin(rows: Floats, columns: Floats, order: NDArray[np.int64], gradient: Floats) -> Floats:
    """Perlin's noise of 1985 with 256 hashed gradients, times 1.5; the published tables repeat after 256 as here."""
    row, column = np.floor(rows).astype(np.int64), np.floor(columns).astype(np.int64)
    down, right = rows - row, columns - column

    def corner(below: int, beside: int) -> Floats:
        hashed = order[(order[(row + below) & 255] + column + beside) & 255]
        first, second = np.moveaxis(gradient[hashed], -1, 0)
        return np.asarray((down - below) * first + (right - beside) * second)

    smooth_down, smooth_right = (share * share * (3 - 2 * share) for share in (down, right))
    upper, lower = (
        corner(below, 0) + smooth_right * (corner(below, 1) - corner(below, 0)) for below in (0, 1)
    )
    return np.asarray(1.5 * (upper + smooth_down * (lower - upper)))
