"""CIFAR-10-C-bar and ImageNet-C-bar: every member against a slow reading of its procedure, and what it draws."""

from __future__ import annotations

import math
from pathlib import Path

import bar_oracles as oracles
import numpy as np
import pytest
from scipy import stats

from robustbench_sdnet import corruptions, data
from robustbench_sdnet.corruptions import generation
from robustbench_sdnet.corruptions.registry import setting
from robustbench_sdnet.planning.asked import Asked
from robustbench_sdnet.planning.questions import corruption_specs

BAR = corruptions.expand("c-bar")
CIFAR, IMAGENET = (corruptions.expand("c-bar", table) for table in ("cifar", "imagenet"))


def pictures(n: int, height: int, width: int) -> np.ndarray:
    generator = np.random.default_rng(3)
    ramp = np.linspace(0, 255, width)[None, None, :, None] + generator.normal(0, 40, (n, height, width, 3))
    return np.clip(ramp, 0, 255).astype(np.uint8)


def test_the_two_sets() -> None:
    assert (len(BAR), len(CIFAR), len(IMAGENET)) == (15, 10, 10)
    assert set(CIFAR) & set(IMAGENET) == {
        "blue_noise_sample",
        "brownish_noise",
        "checkerboard_cutout",
        "inverse_sparkles",
        "sparkles",
    }
    assert not set(BAR) & set(corruptions.expand("all"))
    assert corruptions.expand("noise") == ("gaussian_noise", "shot_noise", "impulse_noise", "speckle_noise")
    # Two published numbers of each set, from its csv file.
    assert setting("lines", 5) == (2.5,)
    assert setting("sparkles", 2) == (3.5,)
    assert setting("caustic_refraction", 5, table="imagenet") == (9.15,)
    assert setting("sparkles", 2, table="imagenet") == (2,)
    named = {spec.name for spec in corruption_specs("c-bar", [1], table=("imagenet", ""))}
    assert named == set(IMAGENET)


@pytest.mark.parametrize("severity", [1, 3, 5])
@pytest.mark.parametrize("name", BAR)
def test_equals_the_slow_reading(name: str, severity: int) -> None:
    images = pictures(2, 32, 32)
    table = "cifar" if name in CIFAR else "imagenet"
    draws = corruptions.sample(5, [0, 1], name, severity, size=(32, 32), table=table)
    found = corruptions.apply(images, name, severity, draws=draws, table=table)
    (s,) = setting(name, severity, table=table)
    for index, image in enumerate(images):
        expected = getattr(oracles, name)(image, {key: rows[index] for key, rows in draws.items()}, s)
        difference = np.abs(found[index].astype(int) - expected)
        assert difference.max() <= 1
        assert difference.mean() <= 0.02


@pytest.mark.parametrize(
    ("name", "square", "wide"),
    [("sparkles", 0.5, 0.25), ("inverse_sparkles", 0.5, 0.0), ("checkerboard_cutout", 0, 0)],
)
def test_shapes_are_measured_by_the_shorter_side(name: str, square: float, wide: float) -> None:
    images, draws = pictures(1, 32, 64), corruptions.sample(5, [0], name, 3)
    found = []
    for part, column in ((images[:, :, :32], square), (images, wide)):  # the same pixel is the middle of both
        if "centre" in draws:
            draws["centre"][:] = 0.5, column
        found.append(corruptions.apply(np.ascontiguousarray(part), name, 3, draws=draws))
    np.testing.assert_array_equal(found[1][:, :, :32], found[0])


@pytest.mark.parametrize("size", [(32, 32), (33, 33), (20, 41), (9, 64)])
@pytest.mark.parametrize("name", BAR)
def test_independent_of_batch_order_and_chunks(name: str, size: tuple[int, int]) -> None:
    images, ids = pictures(5, *size), np.arange(100, 105)
    whole = corruptions.corrupt(images, name, 3, 9, ids)
    assert (whole.shape, whole.dtype) == (images.shape, np.uint8)
    order = np.array([3, 0, 4, 1, 2])
    np.testing.assert_array_equal(corruptions.corrupt(images[order], name, 3, 9, ids[order]), whole[order])
    np.testing.assert_array_equal(corruptions.corrupt(images[2:3], name, 3, 9, ids[2:3]), whole[2:3])
    if corruptions.corruption_info(name).random:
        assert (corruptions.corrupt(images, name, 3, 10, ids) != whole).any()


def drawn(name: str, n: int = 2000, **options: object) -> dict[str, np.ndarray]:
    return corruptions.sample(1, range(n), name, 3, **options)


@pytest.mark.parametrize(
    ("name", "key"),
    [(name, "uniform") for name in ("ripple", "plasma_noise", "cocentric_sine_waves", "caustic_refraction")]
    + [("single_frequency_greyscale", "uniform"), ("checkerboard_cutout", "board"), ("lines", "angle")],
)
def test_draws_are_uniform(name: str, key: str) -> None:
    for column in drawn(name)[key].T:
        assert stats.kstest(column, "uniform").pvalue > 1e-4


def test_draws_of_stars_signs_orders_and_cells() -> None:
    stars = drawn("sparkles")
    rays = stars["rays"].reshape(-1)
    assert (rays.min(), rays.max()) == (50, 199)
    assert stats.chisquare(np.bincount(rays - 50, minlength=150)).pvalue > 1e-4
    assert stats.kstest(stars["normal"][:100].reshape(-1), "norm").pvalue > 1e-4
    assert (
        stats.chisquare(np.bincount(drawn("transverse_chromatic_abberation")["order"], minlength=6)).pvalue
        > 1e-4
    )
    signs = drawn("pinch_and_twirl")["sign"]
    assert set(np.unique(signs)) == {-1.0, 1.0}
    assert abs(signs.mean()) < 5 / math.sqrt(signs.size)
    for side, count in ((8, 3), (223, 3), (224, 5)):
        assert drawn("pinch_and_twirl", 1, size=(side, side))["sign"].shape == (1, count, count)
    cells = drawn("checkerboard_cutout", 50)["cells"]
    assert stats.kstest(cells.reshape(-1), "uniform").pvalue > 1e-4


def test_spectral_noise_is_blue_and_brown() -> None:
    grey = np.full((200, 32, 32, 3), 128, np.uint8)
    noise = corruptions.corrupt(grey, "brownish_noise", 1).astype(float) - 128
    assert noise.std((1, 2)).mean() == pytest.approx(16, rel=0.05)  # 6.4 s of the published 2.5
    power = np.abs(np.fft.fft2(noise, axes=(1, 2))).mean((0, 3))
    assert power[0, 1] > 5 * power[0, 8]
    black = (corruptions.corrupt(grey, "blue_noise_sample", 5) == 0).all(-1).astype(float)
    assert black.mean() == pytest.approx(stats.norm.cdf(-1.24), abs=0.02)  # t = 0.3 s - 2.5 = -1.24
    power = (np.abs(np.fft.fft2(black - black.mean(), axes=(1, 2))) ** 2).mean(0)
    assert power[12:20, 12:20].mean() > 1.5 * power[:3, :3].mean()  # the threshold leaves a part of the slope


def test_the_cut_share_is_half_of_the_cells_and_lines_keep_their_number() -> None:
    white = np.full((400, 32, 32, 3), 255, np.uint8)
    cut = (corruptions.corrupt(white, "checkerboard_cutout", 5) == 128).all(-1).mean()
    assert cut == pytest.approx(
        0.5 * 0.5, abs=0.02
    )  # half of the cells have equal parities, half of those are cut
    assert drawn("lines", 1)["lines"].shape == (1, 4, 3)  # int(1.5 x 32 / 10)


def test_a_generated_folder_is_read_by_its_names(tmp_path: Path) -> None:
    images, labels = pictures(3, 32, 32), np.arange(3)
    names = generation.generate(
        images, labels, tmp_path, content_hash="h", corruptions="ripple,sparkles", workers=1
    )
    found = data.load(f"cifar10c:{tmp_path}", "test")
    assert {spec.name for spec in Asked(severities=[1]).of(found)} == set(names)
    np.testing.assert_array_equal(
        np.load(tmp_path / "ripple.npy")[6:9], corruptions.corrupt(images, "ripple", 3)
    )


def test_perlin_noise_hashes_as_the_published_tables_do() -> None:
    """Tables of 2 x 256 + 2 entries that repeat, places moved by 16 x 256, the first coordinate the row's, and 32
    pixels a cell: the published generator's own layout, at pixels of an image of 224."""
    white = np.full((1, 224, 224, 3), 255, np.uint8)
    draws = corruptions.sample(2, [0], "perlin_noise", 5, size=(224, 224), table="imagenet")
    found = corruptions.apply(white, "perlin_noise", 5, draws=draws, table="imagenet")[0, :, :, 0]
    tables = {
        key: np.concatenate([draws[key][0], draws[key][0], draws[key][0][:2]])
        for key in ("order", "gradient")
    }
    for row, column in ((0, 0), (1, 200), (37, 5), (100, 101), (223, 223), (31, 160)):
        total = sum(
            abs(_published_noise(f * row / 32, f * column / 32, tables["order"], tables["gradient"])) / f
            for f in (1, 2, 4, 8, 16)
        )
        noise = min(max(0.5 * total + 0.5, 0), 1)
        expected = int((1 - 0.44) * 255 + 255 * 0.44 * noise)  # alpha 0.44 is the published severity 5
        assert abs(int(found[row, column]) - expected) <= 1


def _published_noise(x: float, y: float, p: np.ndarray, g: np.ndarray) -> float:
    """The hash and the two interpolations as the published source writes them."""
    x, y = x + 4096, y + 4096
    x0, y0 = int(x) % 256, int(y) % 256
    x1, y1 = (x0 + 1) % 256, (y0 + 1) % 256
    dx, dy = x % 1, y % 1
    ease_x, ease_y = (t**2 * (3 - 2 * t) for t in (dx, dy))
    corner = {(a, b): g[p[p[(x0, x1)[a]] + (y0, y1)[b]]] for a in (0, 1) for b in (0, 1)}
    near, far = (
        (
            dx * corner[0, b][0] + (dy - b) * corner[0, b][1],
            (dx - 1) * corner[1, b][0] + (dy - b) * corner[1, b][1],
        )
        for b in (0, 1)
    )
    first, second = (u + ease_x * (v - u) for u, v in (near, far))
    return 1.5 * (first + ease_y * (second - first))
