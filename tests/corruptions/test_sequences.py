"""CIFAR-10-P: every sequence against a slow reading of its procedure, what it draws, and what it does not depend on."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import sequence_oracles as oracles
import torch
from scipy import stats

from robustbench_sdnet import corruptions
from robustbench_sdnet.corruptions import noise, precipitation
from robustbench_sdnet.corruptions.motion import blur_along
from robustbench_sdnet.corruptions.sequences.members import MAIN, SEQUENCES, expand_sequences
from robustbench_sdnet.draws import host_generators
from robustbench_sdnet.errors import InputError
from robustbench_sdnet.planning.asked import Asked

FRAMES = {"motion_blur": 21, "translate": 16}
SAMPLERS = {
    "gaussian_noise": noise.sample_normal,
    "speckle_noise": noise.sample_normal,
    "spatter": precipitation.sample_spatter,
    "snow": precipitation.sample_spatter,
}


def pictures(n: int) -> np.ndarray:
    generator = np.random.default_rng(3)
    ramp = np.linspace(0, 255, 32)[None, None, :, None] + generator.normal(0, 40, (n, 32, 32, 3))
    return np.clip(ramp, 0, 255).astype(np.uint8)


def test_the_published_names() -> None:
    assert set(MAIN) == {
        *("gaussian_noise", "shot_noise", "motion_blur", "zoom_blur", "spatter"),
        *("brightness", "translate", "rotate", "tilt", "scale"),
    }
    assert expand_sequences("extra") == ("speckle_noise", "gaussian_blur", "snow", "shear")
    assert (len(expand_sequences("all")), expand_sequences("main,shear")) == (14, (*MAIN, "shear"))
    noises = {name: one.settings for name, one in SEQUENCES.items() if one.noise}
    assert noises == {
        "gaussian_noise": ((0.02,), (0.04,), (0.06,)),
        "shot_noise": ((700,), (400,), (200,)),
        "speckle_noise": ((0.05,), (0.07,), (0.1,)),
    }
    # Noises are compared with the first frame at any difficulty, the others with one so many places back.
    images = SimpleNamespace(image_shape=(32, 32))
    asked = [
        Asked(corruptions=name, sequences=True, difficulties=(1, 3)).of(images)
        for name in ("shot_noise", "translate")
    ]
    assert [[spec.pairs for spec in specs] for specs in asked] == [[30, 30], [15, 13]]


@pytest.mark.parametrize("name", [name for name in SEQUENCES if name != "shot_noise"])
def test_equals_the_slow_reading(name: str) -> None:
    images, ids = pictures(2), [7, 4]
    found = corruptions.sequence(images, name, seed=5, sample_ids=ids)
    assert (found.shape, found.dtype) == ((2, FRAMES.get(name, 31), 32, 32, 3), np.uint8)

    def draws(frame: int, row: int) -> dict[str, np.ndarray]:
        generators = host_generators(5, f"sequence/{name}/1/{frame}", ids)
        drawn = SAMPLERS[name](generators, 2, 32, 32, ())
        return {key: values[row] for key, values in drawn.items()}

    for row, image in enumerate(images):
        expected = getattr(oracles, name)(image, lambda frame, row=row: draws(frame, row))
        assert len(expected) == found.shape[1]
        difference = np.abs(found[row].astype(int) - np.stack(expected))
        assert difference.max() <= 1
        assert difference.mean() <= 0.02


@pytest.mark.parametrize("angle", [-30.0, -150.0])
def test_streaks_fall_where_imagemagick_lets_them(angle: float) -> None:
    """The first and the last frame of snow: ImageMagick 6.9.11 made these levels of one white pixel."""
    image = torch.zeros(1, 8, 16, 1, dtype=torch.uint8)
    image[0, 2, 8] = 255
    right = np.zeros((8, 16), np.uint8)
    right[2, [7, 8]], right[3, [5, 6]], right[4, [4, 5]] = (74, 84), (27, 51), (3, 11)
    expected = right if angle == -30 else np.roll(right[:, ::-1], 1, 1)
    found = blur_along(image, torch.tensor([angle], dtype=torch.float64), 10, 2)[0, ..., 0]
    np.testing.assert_array_equal(found.numpy(), expected)


@pytest.mark.parametrize(("difficulty", "photons"), [(1, 700), (2, 400), (3, 200)])
def test_shot_noise_counts_photons(difficulty: int, photons: int) -> None:
    grey = np.full((40, 32, 32, 3), 100, np.uint8)
    found = corruptions.sequence(grey, "shot_noise", difficulty, seed=1)
    np.testing.assert_array_equal(found[:, 0], grey)
    counts = np.arange(photons + 1)
    bytes_of = (np.minimum(counts / photons, 1) * 255).astype(int)
    expected = np.bincount(bytes_of, stats.poisson.pmf(counts, photons * 100 / 255), minlength=256)
    seen = np.bincount(found[:, 1:].reshape(-1), minlength=256)
    kept = expected * seen.sum() > 20
    expected = expected[kept] / expected[kept].sum() * seen[kept].sum()
    assert stats.chisquare(seen[kept], expected).pvalue > 1e-4


@pytest.mark.parametrize("difficulty", [1, 2, 3])
@pytest.mark.parametrize(
    ("name", "spread"), [("gaussian_noise", (5.1, 10.2, 15.3)), ("speckle_noise", (6.4, 8.96, 12.8))]
)
def test_noises_grow_with_difficulty(name: str, spread: tuple[float, ...], difficulty: int) -> None:
    """Standard deviations of 0.02, 0.04, 0.06 of 255, and of 0.05, 0.07, 0.1 of 128."""
    grey = np.full((10, 32, 32, 3), 128, np.uint8)
    found = corruptions.sequence(grey, name, difficulty).astype(float)
    assert found[:, 1:].std() == pytest.approx(spread[difficulty - 1], rel=0.02)
    first, second = (found[:, frame] - 128 for frame in (1, 2))
    assert abs((first * second).mean()) < 0.03 * first.std() ** 2, "frames are independent"


@pytest.mark.parametrize("name", SEQUENCES)
def test_independent_of_batch_order_and_type(name: str) -> None:
    images, ids = pictures(4), np.array([100, 5, 7, 2])
    whole = corruptions.sequence(images, name, 2, 9, ids)
    order = np.array([3, 0, 2, 1])
    np.testing.assert_array_equal(corruptions.sequence(images[order], name, 2, 9, ids[order]), whole[order])
    one = corruptions.sequence(torch.from_numpy(images[2:3]), name, 2, 9, ids[2:3])
    np.testing.assert_array_equal(one.numpy(), whole[2:3])
    other_seed = (corruptions.sequence(images, name, 2, 10, ids) != whole).any()
    assert bool(other_seed) == SEQUENCES[name].random
    harder = (corruptions.sequence(images, name, 3, 9, ids) != whole).any()
    assert bool(harder) == SEQUENCES[name].noise
    np.testing.assert_array_equal(corruptions.sequence(images, name, 2.0, 9, ids), whole)


def test_bytes_are_kept() -> None:
    """Of two images of ramps, every sequence: whoever changes bytes must raise a version."""
    import hashlib

    ramp = (np.arange(32 * 32 * 3) % 251).astype(np.uint8).reshape(1, 32, 32, 3)
    images = np.concatenate([ramp, ramp[:, ::-1]])
    found = {
        name: hashlib.sha256(corruptions.sequence(images, name, 1, 0).tobytes()).hexdigest()[:12]
        for name in SEQUENCES
    }
    assert found == BYTES


# First digits of their SHA-256.
BYTES = {
    "gaussian_noise": "03fd558b0f9d",
    "shot_noise": "51f3c323e1d9",
    "motion_blur": "b5873635a8de",
    "zoom_blur": "1c5aa078c54c",
    "spatter": "1072e3c248cd",
    "brightness": "5f3594db0f01",
    "translate": "9107437ebabb",
    "rotate": "f5d28647aa1b",
    "tilt": "103509a00061",
    "scale": "a01e89a19338",
    "speckle_noise": "9fb27bfa728e",
    "gaussian_blur": "214d6294c55b",
    "snow": "b8ca1e584246",
    "shear": "95c97a6be2a4",
}


@pytest.mark.parametrize("name", corruptions.SEQUENCES)
def test_of_no_images_there_are_no_frames(name: str) -> None:
    frames = corruptions.sequence(pictures(1)[:0], name)
    assert frames.shape == (0, corruptions.sequence(pictures(1), name).shape[1], 32, 32, 3)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"sample_ids": ["a"]}, r"sample_ids must be whole numbers from 0, got \['a'\]"),
        ({"name": "rotates"}, "Unknown sequence 'rotates'. Did you mean 'rotate'"),
        ({"difficulty": 4}, "must be 1, 2 or 3, got 4"),
        ({"images": np.zeros((1, 64, 64, 3), np.uint8)}, "32x32 pixels, got 64x64"),
        ({"images": np.zeros((1, 32, 32, 3), np.float32)}, "must be uint8"),
    ],
)
def test_errors(given: dict[str, object], message: str) -> None:
    asked = {"images": pictures(1), "name": "rotate", **given}
    with pytest.raises(InputError, match=message):
        corruptions.sequence(**asked)
    with pytest.raises(InputError, match="Unknown sequence 'noises'"):
        expand_sequences("noises")
