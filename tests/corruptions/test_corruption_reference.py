"""Every corruption, at every severity, against a plain implementation that is given the same draws."""

from __future__ import annotations

import corruption_oracles as oracles
import numpy as np
import pytest
import torch

from robustbench_sdnet import corruptions
from robustbench_sdnet.corruptions import digital
from robustbench_sdnet.corruptions.registry import setting
from robustbench_sdnet.corruptions.weather import frost_textures

# The others are equal to the byte. These may be a level off here and there, where the oracle sums in another
# order or in float32 and ends next to a whole level.
NOT_EXACT = (
    "zoom_blur",
    "gaussian_noise",
    "speckle_noise",
    "contrast",
    "snow",
    "fog",
    "spatter",
    "elastic_transform",
)
NAMES = [name for name in corruptions.expand("all") if name not in ("shot_noise", "frost")]


def photographs(n: int = 3, height: int = 32, width: int = 32) -> np.ndarray:
    """Smooth, saturated and noisy images: gradients, flat areas at 0 and 255, and noise."""
    generator = np.random.default_rng(7)
    ramp = np.linspace(-60, 330, width)[None, None, :, None] + 80 * generator.standard_normal(
        (n, height, 1, 3)
    )
    images = ramp + generator.normal(0, 12, (n, height, width, 3))
    images[:, height // 2 :, : width // 3] = np.arange(n).reshape(n, 1, 1, 1) % 2 * 255
    return np.clip(images, 0, 255).astype(np.uint8)


def compare(name: str, severity: int, images: np.ndarray, table: str = "cifar") -> np.ndarray:
    size = images.shape[1:3]
    draws = corruptions.sample(3, range(len(images)), name, severity, size=size, table=table)
    found = corruptions.apply(images, name, severity, draws=draws, table=table)
    oracle = getattr(oracles, name)
    expected = [
        oracle(
            image, {key: value[index] for key, value in draws.items()}, *setting(name, severity, table=table)
        )
        for index, image in enumerate(images)
    ]
    return np.abs(found.astype(int) - np.stack(expected))


@pytest.mark.parametrize("severity", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("name", NAMES)
def test_equals_the_plain_implementation(name: str, severity: int) -> None:
    difference = compare(name, severity, photographs())
    assert difference.max() <= (1 if name in NOT_EXACT else 0)
    assert difference.mean() <= 0.02


@pytest.mark.parametrize("size", [(8, 8), (17, 40), (64, 64)])
@pytest.mark.parametrize("name", NAMES)
def test_equals_the_plain_implementation_at_other_sizes(name: str, size: tuple[int, int]) -> None:
    difference = compare(name, 4, photographs(2, *size))
    assert difference.max() <= (1 if name in NOT_EXACT else 0)
    assert difference.mean() <= 0.02


@pytest.mark.parametrize("severity", [1, 2, 3, 4, 5])
@pytest.mark.parametrize(
    ("table", "size"), [("tiny", (64, 64)), ("imagenet", (72, 64)), ("inception", (48, 70))]
)
@pytest.mark.parametrize("name", NAMES)
def test_equals_the_plain_implementation_with_other_tables(
    name: str, table: str, size: tuple[int, int], severity: int
) -> None:
    difference = compare(name, severity, photographs(1, *size), table)
    assert difference.max() <= (1 if name in (*NOT_EXACT, "defocus_blur") else 0)
    assert difference.mean() <= 0.02


@pytest.mark.parametrize("severity", [1, 2, 3, 4, 5])
def test_elastic_at_the_ends_of_its_range(severity: int) -> None:
    """Corners pulled as far as they go, where the map leaves the image by more than its size."""
    images = photographs(8, 96, 80)
    draws = corruptions.sample(0, range(8), "elastic_transform", severity, size=(96, 80), table="imagenet")
    draws["points"] = np.sign(draws["points"])
    found = corruptions.apply(images, "elastic_transform", severity, draws=draws, table="imagenet")
    values = setting("elastic_transform", severity, table="imagenet")
    for image, one, points, field in zip(images, found, draws["points"], draws["field"], strict=True):
        expected = oracles.elastic_transform(image, {"points": points, "field": field}, *values)
        difference = np.abs(one.astype(int) - expected)
        assert difference.max() <= 2
        assert difference.mean() <= 0.02


@pytest.mark.parametrize(
    "size", [(224, 224), (224, 299), (131, 97), (13, 38), (41, 34), (47, 51), (62, 8), (150, 40)]
)
@pytest.mark.parametrize("share", [0.95, 0.9, 0.6, 0.5, 0.4, 0.3, 0.25, 0.2])
def test_pixelate_is_pillows_box_both_ways(size: tuple[int, int], share: float) -> None:
    images = photographs(1, *size)
    found = digital.pixelate(torch.from_numpy(images), {}, (share,)).numpy()
    np.testing.assert_array_equal(found[0], oracles.pixelate(images[0], {}, share))


@pytest.mark.parametrize("severity", [1, 2, 3, 4, 5])
def test_frost_is_a_crop_of_a_photograph(severity: int) -> None:
    images = photographs(40)
    draws = corruptions.sample(1, range(40), "frost", severity)
    found = corruptions.apply(images, "frost", severity, draws=draws)
    share, frost_share, scale = setting("frost", severity)
    textures = frost_textures(32, 32, scale)
    assert [texture.shape[:2] for texture in textures] == [
        (120, 180),
        (63, 112),
        (63, 112),
        (70, 105),
        (99, 132),
    ]
    # An image as high as a photograph has it continued.
    assert frost_textures(63, 32, scale)[1].shape[:2] == (126, 112)
    assert set(draws["crop"][:, 0]) == {0, 1, 2, 3, 4}
    for image, corrupted, (index, row, column) in zip(images, found, draws["crop"], strict=True):
        ice = textures[index][row : row + 32, column : column + 32]
        expected = np.clip(share * image.astype(float) + frost_share * ice, 0, 255).astype(np.uint8)
        np.testing.assert_array_equal(corrupted, expected)
