"""The C-bar corruptions once more, one image and one pixel at a time, read from the procedure that is stated of them.

Each takes an image (h, w, 3) uint8 with h = w, the draws of that image and the published scale s.
"""

from __future__ import annotations

import cmath
import itertools
import math

import numpy as np
from scipy import ndimage
from skimage.draw import line_aa

Array = np.ndarray


def to_bytes(image: Array) -> Array:
    return np.clip(image, 0, 255).astype(np.uint8)


def spectral(phase: Array, n: int, power: object) -> Array:
    half = [[2 * math.pi * phase[row * (n // 2) + column] for column in range(n // 2)] for row in range(n)]
    spectrum = np.zeros((n, n), complex)
    for row in range(n):
        for column in range(n):
            angle = half[row][column] if column < n // 2 else half[n - 1 - row][n - 1 - column]
            distance = math.hypot(row - n / 2, column - n / 2)
            spectrum[(row + n // 2) % n, (column + n // 2) % n] = power(distance) * cmath.exp(1j * angle)
    turns = np.exp(2j * np.pi * np.outer(np.arange(n), np.arange(n)) / n)
    noise = (turns @ spectrum @ turns).real
    return noise / noise.std()


def blue_noise_sample(image: Array, draws: dict[str, Array], s: float) -> Array:
    noise = spectral(draws["phase"][0], len(image), lambda distance: distance)
    return np.where((noise > 0.3 * s - 2.5)[..., None], image, 0).astype(np.uint8)


def brownish_noise(image: Array, draws: dict[str, Array], s: float) -> Array:
    channels = [
        spectral(phase, len(image), lambda distance: 1 / (distance**2 + 1)) for phase in draws["phase"]
    ]
    return to_bytes(image + 6.4 * s * np.stack(channels, 2))


def by_pixel(image: Array, kernel: object) -> Array:
    height, width = image.shape[:2]
    return np.array([[kernel(row, column) for column in range(width)] for row in range(height)])


def single_frequency_greyscale(image: Array, draws: dict[str, Array], s: float) -> Array:
    first, second, order, phase = draws["uniform"]
    first = -math.pi + 2 * math.pi * first
    second = -abs(first) + 2 * abs(first) * second
    x, y = (first, second) if order < 0.5 else (second, first)
    wave = by_pixel(image, lambda row, column: math.sin(column * x + row * y + 2 * math.pi * phase))
    return to_bytes(image + 19.6 * s * wave[..., None])


def cocentric_sine_waves(image: Array, draws: dict[str, Array], s: float) -> Array:
    n = len(image)
    x0, y0, frequency, amplitude, ring = draws["uniform"] * (n, n, 10, n / 10, n / 10)

    def rings(row: int, column: int) -> float:
        angle = math.atan2(column - x0, row - y0) * frequency
        return (math.hypot(column - x0, row - y0) + math.sin(angle) * amplitude) % ring / ring - 0.5

    return to_bytes(image + 12.8 * s * by_pixel(image, rings)[..., None])


def plasma_noise(image: Array, draws: dict[str, Array], s: float) -> Array:
    time, rounds, sharp, scale = draws["uniform"]
    time, rounds, sharp = 6 * math.pi * time, 4 + int(3 * rounds), 0.5 + sharp / 2
    scale = (0.075 + 0.125 * scale) * len(image)

    def colour(row: int, column: int) -> list[float]:
        x, y, a, b, c = column / scale, row / scale, 1.0, 1.0, 1.0
        for _ in range(rounds):
            u, v = math.cos(y * a + time / b) / c, math.sin(x * a + time / b) / c
            x, y = x + u - 0.3 * v, y + v + 0.3 * u
            a, b, c = a * 1.93, b * 1.15, c * (2.25 - sharp)
        return [math.sin(x - time), math.sin((x + y + math.sin(time)) * 0.5), math.sin(y + time)]

    return to_bytes((1 - 6.4 * s / 255) * image + 6.4 * s * by_pixel(image, colour))


def perlin_noise(image: Array, draws: dict[str, Array], s: float) -> Array:
    order, gradient, n = draws["order"], draws["gradient"], len(image)

    def noise(y: float, x: float) -> float:
        row, column = math.floor(y), math.floor(x)
        found = {}
        for a, b in itertools.product((0, 1), repeat=2):
            g = gradient[order[(order[(row + a) % 256] + column + b) % 256]]
            found[a, b] = g[0] * (y - row - a) + g[1] * (x - column - b)
        down, right = ((3 - 2 * t) * t * t for t in (y - row, x - column))
        upper = found[0, 0] * (1 - right) + found[0, 1] * right
        lower = found[1, 0] * (1 - right) + found[1, 1] * right
        return 1.5 * (upper * (1 - down) + lower * down)

    def turbulence(row: int, column: int) -> float:
        total = sum(abs(noise(row * f * 7 / n, column * f * 7 / n)) / f for f in (1, 2, 4, 8, 16))
        return min(max(0.5 * total + 0.5, 0), 1)

    share = 0.05 * s
    return to_bytes((1 - share) * image + 255 * share * by_pixel(image, turbulence)[..., None])


def checkerboard_cutout(image: Array, draws: dict[str, Array], s: float) -> Array:
    n = len(image)
    angle, cell = 2 * math.pi * draws["board"][0], max(1, n * (0.1 + 0.15 * draws["board"][1]))
    board = draws["cells"][: int(4 * n // cell), : int(4 * n // cell)] < s / 10

    def pixel(row: int, column: int) -> Array:
        a = (math.cos(angle) * row + math.sin(angle) * column) / cell
        b = (-math.sin(angle) * row + math.cos(angle) * column) / cell
        kept = int(a % 2) != int(b % 2) or not board[int(a), int(b)]
        return image[row, column] if kept else np.full(3, 128)

    return to_bytes(by_pixel(image, pixel))


def star(row: int, column: int, centre: Array, lengths: Array, exponent: float) -> float:
    down, right = row - centre[0], column - centre[1]
    place = (math.atan2(right, down) + math.pi) / (2 * math.pi) * len(lengths)
    ray, share = int(place), place - int(place)
    length = (1 - share) * lengths[ray % len(lengths)] + share * lengths[(ray + 1) % len(lengths)]
    glow = (length**2 / (down**2 + right**2 + 1e-4)) ** exponent
    return min(max((1 - (share - 0.5) ** 2) * glow, 0), 1)


def sparkles(image: Array, draws: dict[str, Array], s: float) -> Array:
    n, found = len(image), image.astype(float)
    for centre, rays, normal in zip(draws["centre"] * n, draws["rays"], draws["normal"], strict=True):
        lengths = np.array([max(1, 0.01 * s * n * (1 + 0.25 * draw)) for draw in normal[:rays]])
        f = by_pixel(image, lambda row, column, c=centre, r=lengths: star(row, column, c, r, 1))[..., None]
        found = found + f * (255 - found)
    return to_bytes(found)


def inverse_sparkles(image: Array, draws: dict[str, Array], s: float) -> Array:
    n = len(image)
    lengths = n / 4 * (1 + 0.25 * draws["normal"][0, : draws["rays"][0]])
    centre = n * (0.25 + draws["centre"][0] / 2)
    f = by_pixel(image, lambda row, column: star(row, column, centre, lengths, 6.5 * s / 50))[..., None]
    return to_bytes(255 + f * (image.astype(float) - 255))


def lines(image: Array, draws: dict[str, Array], s: float) -> Array:
    n, found = len(image), image.copy()
    assert len(draws["lines"]) == int(s * n / 10)
    for down, right, turn in draws["lines"]:
        a = 2 * math.pi * draws["angle"][0] + 2 * math.pi * (0.1 + 0.9 * draws["angle"][1]) * (turn - 0.5)
        row, column = n * down, n * right
        line = line_aa(
            int(row - math.cos(a) * n),
            int(column - math.sin(a) * n),
            int(row + math.cos(a) * n),
            int(column + math.sin(a) * n),
        )
        before = found.copy()
        for r, c, cover in zip(*line, strict=True):
            if 0 <= r < n and 0 <= c < n:
                found[r, c] = ((1 - cover) * before[r, c] + cover * 128).astype(np.uint8)
    return found


def look_up(image: Array, y: float, x: float) -> Array:
    total = np.zeros(3)
    for row, column in itertools.product(
        (math.floor(y), math.floor(y) + 1), (math.floor(x), math.floor(x) + 1)
    ):
        if 0 <= row < len(image) and 0 <= column < len(image):
            total += image[row, column] * (1 - abs(y - row)) * (1 - abs(x - column))
    return total


def pinch_and_twirl(image: Array, draws: dict[str, Array], s: float) -> Array:
    n, found = len(image), image.astype(float)
    size, count = n // 3, 3
    for i, j in itertools.product(range(count), repeat=2):
        centre = np.array([j * size + size / 2, i * size + size / 2])
        angle, cell = draws["sign"][i, j] * s * math.pi / 20, {}
        for row, column in itertools.product(
            range(j * size, (j + 1) * size), range(i * size, (i + 1) * size)
        ):
            offset = np.array([row, column]) - centre
            distance = np.linalg.norm(offset)
            place = np.array([row, column], float)
            if distance <= size / 2 and round(distance, 3) > 0:
                d = distance / (size / 2)
                y, x = offset * math.sin(math.pi * d / 2) ** -(0.04 * s + 0.1)
                a = angle * (1 - d) ** 2
                place = centre + np.array(
                    [y * math.cos(a) - x * math.sin(a), y * math.sin(a) + x * math.cos(a)]
                )
            cell[row, column] = look_up(found, *place)
        for where, value in cell.items():
            found[where] = value
    return to_bytes(found)


def ripple(image: Array, draws: dict[str, Array], s: float) -> Array:
    n = len(image)
    (first, second), phases = n * (0.1 + 0.2 * draws["uniform"][:2]), 2 * math.pi * draws["uniform"][2:]

    def pixel(row: int, column: int) -> Array:
        y = row + 0.0025 * s * n * math.sin(2 * math.pi * row / first + phases[0])
        x = column + 0.0025 * s * n * math.sin(2 * math.pi * column / second + phases[1])
        return look_up(image, y, x)

    return to_bytes(by_pixel(image, pixel))


def circular_motion_blur(image: Array, _: dict[str, Array], s: float) -> Array:
    places = [2 * i / 20 - 1 for i in range(21)]
    weights = [math.exp(-2 * place**2) for place in places]
    turned = [ndimage.rotate(image / 255, place * 1.5 * s, reshape=False) for place in places]
    return to_bytes(255 * sum(w * t for w, t in zip(weights, turned, strict=True)) / sum(weights))


def transverse_chromatic_abberation(image: Array, draws: dict[str, Array], s: float) -> Array:
    n, scales = len(image), [1, 1 + 0.025 * s, 1 + 0.05 * s]
    chosen = list(itertools.permutations(scales))[draws["order"]]
    planes = [ndimage.zoom(image[..., c], chosen[c], prefilter=False) for c in range(3)]
    return np.stack([p[(len(p) - n) // 2 :, (len(p) - n) // 2 :][:n, :n] for p in planes], 2)


def caustic_refraction(image: Array, draws: dict[str, Array], s: float) -> Array:
    n = len(image)
    time, size = 0.5 + 1.5 * draws["uniform"][0], n * (0.75 + 0.5 * draws["uniform"][1])

    def caustic(row: int, column: int) -> float:
        p = [(place / size) % 1 * 6.28318530718 - 250 for place in (row, column)]
        i, total = list(p), 1.0
        for fold in range(5):
            t = time * (1 - 3.5 / (fold + 1))
            i = [
                p[0] + math.cos(t - i[0]) + math.sin(t + i[1]),
                p[1] + math.sin(t - i[1]) + math.cos(t + i[0]),
            ]
            first, second = p[0] / (math.sin(i[0] + t) / 0.005), p[1] / (math.cos(i[1] + t) / 0.005)
            total += 1 / math.sqrt(first**2 + second**2)
        return min(abs(1.17 - (total / 5) ** 1.4) ** 8, 1)

    pattern = ndimage.gaussian_filter(by_pixel(image, caustic), 1)

    def height(row: int, column: int) -> float:
        return pattern[row, column] if 0 <= row < n and 0 <= column < n else 0.0

    def pixel(row: int, column: int) -> Array:
        down = height(row + 1, column) - height(row - 1, column)
        right = height(row, column + 1) - height(row, column - 1)
        normal = np.array([down, right, 1]) / math.sqrt(down**2 + right**2 + 1)
        ray = np.array([0, 0, 1.0])
        if abs(normal[2]) < 1 - 1e-3:
            out = math.asin(math.sin(math.acos(normal[2])) / 4)
            side = np.cross(ray, normal)
            side /= np.linalg.norm(side)
            ray = math.cos(out) * normal + math.sin(out) * np.cross(normal, side)
        shift = np.round(ray * 0.05 * s * n, 3) if abs(normal[2]) < 1 - 1e-3 else np.zeros(3)
        return np.clip(
            look_up(image / 255, row + shift[0], column + shift[1]) + (down - right) * 0.2 * s, 0, 1
        )

    return to_bytes(by_pixel(image, pixel) * 255)
