"""The laws that the draws follow, and that they are kept."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from scipy import stats

from robustbench_sdnet import corruptions

GREY = np.full((40, 32, 32, 3), 128, np.uint8)


@pytest.mark.parametrize("sigma", [0.02, 0.1, 0.2])
def test_gaussian_levels(sigma: float) -> None:
    found = corruptions.corrupt(GREY, "gaussian_noise", level=sigma).astype(float)
    # Truncation moves the mean by half a level, and adds a uniform error of variance 1/12 level.
    spread = np.sqrt((255 * sigma) ** 2 + 1 / 12)
    assert found.std() == pytest.approx(spread, rel=0.01)
    assert found.mean() == pytest.approx(127.5, abs=5 * spread / np.sqrt(found.size))


def test_speckle_grows_with_brightness() -> None:
    for level in (50, 100):
        found = corruptions.corrupt(np.full_like(GREY, level), "speckle_noise", level=0.3).astype(float)
        assert found.std() == pytest.approx(0.3 * level, rel=0.01)


def test_level_and_severity_use_the_same_parameter() -> None:
    by_level = corruptions.corrupt(GREY, "speckle_noise", level=0.2).astype(float)
    by_severity = corruptions.corrupt(GREY, "speckle_noise", 5).astype(float)
    assert by_level.std() == pytest.approx(by_severity.std(), rel=0.02)


@pytest.mark.parametrize(("photons", "clean"), [(500, 200), (60, 128), (6, 30), (6, 255), (100, 1)])
def test_shot_noise_is_poisson(photons: float, clean: int) -> None:
    found = corruptions.corrupt(np.full_like(GREY, clean), "shot_noise", level=photons).reshape(-1)
    counts = np.arange(0, 2000)
    bytes_of_counts = (np.clip(counts / photons, 0, 1) * 255).astype(int)
    mass = stats.poisson.pmf(counts, photons * clean / 255)
    expected = np.bincount(bytes_of_counts, mass, minlength=256) * found.size
    observed = np.bincount(found, minlength=256)
    assert not observed[expected < 1e-6].any()
    often = expected > 10
    rest = expected[~often].sum(), observed[~often].sum()
    expected, observed = np.append(expected[often], rest[0]), np.append(observed[often], rest[1])
    kept = expected > 1
    statistic = ((observed - expected)[kept] ** 2 / expected[kept]).sum()
    assert stats.chi2.sf(statistic, kept.sum() - 1) > 1e-4


def test_black_stays_black_under_shot_noise() -> None:
    black = np.zeros((3, 32, 32, 3), np.uint8)
    np.testing.assert_array_equal(corruptions.corrupt(black, "shot_noise", 5), black)


@pytest.mark.parametrize("name", ["impulse_noise", "salt_and_pepper"])
def test_impulses_hit_channels_independently(name: str) -> None:
    found = corruptions.corrupt(GREY, name, level=0.2)
    hit, n = found != 128, found.size
    assert set(np.unique(found)) == {0, 128, 255}
    assert stats.binomtest(int(hit.sum()), n, 0.2).pvalue > 1e-4
    assert stats.binomtest(int((found == 255).sum()), int(hit.sum()), 0.5).pvalue > 1e-4
    pairs = (hit[..., 0] & hit[..., 1]).mean()
    assert pairs == pytest.approx(0.04, abs=5 * np.sqrt(0.04 * 0.96 / (n / 3)))


def test_no_and_full_impulses() -> None:
    np.testing.assert_array_equal(corruptions.corrupt(GREY, "salt_and_pepper", level=0.0), GREY)
    assert set(np.unique(corruptions.corrupt(GREY, "salt_and_pepper", level=1.0))) == {0, 255}


@pytest.mark.parametrize(("name", "low", "high"), [("motion_blur", -45, 45), ("snow", -135, -45)])
def test_angles_are_uniform(name: str, low: float, high: float) -> None:
    angle = corruptions.sample(0, range(400), name)["angle"]
    assert stats.kstest(angle, stats.uniform(low, high - low).cdf).pvalue > 1e-4


def test_frost_takes_every_photograph_and_stays_inside() -> None:
    crop = corruptions.sample(0, range(2000), "frost")["crop"]
    assert stats.chisquare(np.bincount(crop[:, 0], minlength=5)).pvalue > 1e-4
    heights, widths = np.array([120, 63, 63, 70, 99]), np.array([180, 112, 112, 105, 132])
    assert (crop[:, 1:] >= 0).all()
    # The last possible row and column are never drawn, as by the reference.
    assert (crop[:, 1] < heights[crop[:, 0]] - 32).all()
    assert (crop[:, 2] < widths[crop[:, 0]] - 32).all()
    assert crop[crop[:, 0] == 1][:, 1].max() == 30


def test_fog_and_snow_add_grey() -> None:
    for name in ("fog", "snow"):
        found = corruptions.corrupt(GREY // 2, name, 3)
        assert (found == found[..., :1]).all()
        assert len(np.unique(found[0])) > 10


def test_glass_steps_are_fair() -> None:
    step = corruptions.sample(0, range(50), "glass_blur", 5)["step"]
    assert step.shape == (50, 2, 30, 30, 2)
    assert stats.binomtest(int(step.sum()), step.size, 0.5).pvalue > 1e-4


@pytest.mark.parametrize("name", ["impulse_noise", "gaussian_noise", "snow"])
def test_draws_of_ones_own_may_be_of_either_precision(name: str) -> None:
    draws = corruptions.sample(0, range(3), name, 3)
    wide = {key: values.astype(np.float64) for key, values in draws.items()}
    found = corruptions.apply(GREY[:3], name, 3, draws=wide)
    np.testing.assert_array_equal(found, corruptions.apply(GREY[:3], name, 3, draws=draws))


def test_draws_are_kept() -> None:
    """Of two images, at an even and at an odd and large size: whoever draws others must raise a version."""
    found = {}
    for name, info in corruptions.CORRUPTIONS.items():
        if info.random:
            digest = hashlib.sha256()
            for size in ((32, 32), (71, 65)):
                for key, values in sorted(corruptions.sample(0, [0, 7], name, 3, size=size).items()):
                    # Without the last bits, in which a machine's logarithms may differ.
                    values = np.round(values * 2.0**12).astype(int) if values.dtype.kind == "f" else values
                    digest.update(f"{key} {values.shape}".encode() + values.astype("<i8").tobytes())
            found[name] = digest.hexdigest()[:12]
    assert found == DRAWS


# First digits of their SHA-256.
DRAWS = {
    "gaussian_noise": "8e9dc71a525b",
    "shot_noise": "0fba6812b986",
    "impulse_noise": "7010437699fb",
    "glass_blur": "beae0d7e8308",
    "motion_blur": "cad670b506cd",
    "snow": "4cab9ff194ec",
    "frost": "53fa45a98340",
    "fog": "18585cfa4c3b",
    "elastic_transform": "730b73141d8d",
    "speckle_noise": "64bd730d8304",
    "spatter": "06543b363cc5",
    "salt_and_pepper": "c6f69036b564",
    "blue_noise_sample": "d2fce02e49d3",
    "brownish_noise": "670f9eb22f7c",
    "checkerboard_cutout": "4c5df9bbf3be",
    "inverse_sparkles": "251cc4570bb3",
    "sparkles": "58dd46c8599e",
    "pinch_and_twirl": "91f214f0406e",
    "ripple": "caea3ac75814",
    "lines": "e2f3cc79b5c9",
    "transverse_chromatic_abberation": "2cae51109844",
    "caustic_refraction": "a53bfc0dcd16",
    "perlin_noise": "c09839354b28",
    "plasma_noise": "21d1f5a09563",
    "cocentric_sine_waves": "2887628e0474",
    "single_frequency_greyscale": "fae68ae6fbc9",
}
