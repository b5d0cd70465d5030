"""Normals out of a table: the law they follow, and which images have them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

from robustbench_sdnet import corruptions
from robustbench_sdnet.corruptions.journal import Journal, Task
from robustbench_sdnet.corruptions.sampling import normals
from robustbench_sdnet.data.published_folder import JOURNAL
from robustbench_sdnet.draws import host_generators
from robustbench_sdnet.planning.questions import corruption_specs

LARGE_ONES = ("gaussian_noise", "speckle_noise", "snow", "spatter", "elastic_transform")


def generator(key: int = 1) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=key))


def test_each_word_becomes_its_quantile() -> None:
    count = 300_001
    words = generator().bit_generator.random_raw((count + 1) // 2).view("<u4")[:count]
    expected = stats.norm.ppf((words.astype(np.float64) + 0.5) / 2**32)
    error = np.abs(normals(generator(), count) - expected)
    # Straight lines between quantiles: near 4 an interval of width w = 0.16 is off by up to 4 w^2 / 8.
    assert error.max() < 0.015
    assert error[np.abs(expected) < 3].max() < 1e-5
    assert error.mean() < 1e-6


def test_the_ends_are_exact() -> None:
    low = np.array([0, 1, 40_000, 65_535], np.uint64)
    words = np.concatenate([low, 65_535 << np.uint64(16) | low]).astype("<u4")
    raw = SimpleNamespace(bit_generator=SimpleNamespace(random_raw=lambda count: words.view("<u8")))
    expected = [*stats.norm.ppf((low + 0.5) / 2**32), *stats.norm.isf((65_535 - low + 0.5) / 2**32)]
    np.testing.assert_allclose(normals(raw, 8), expected, rtol=1e-6)


def test_the_law_is_the_normal_one() -> None:
    found = normals(generator(7), 2_000_000).astype(np.float64)
    assert stats.kstest(found, "norm").pvalue > 1e-3
    assert abs(found.mean()) < 5 / np.sqrt(found.size)
    assert found.var() == pytest.approx(1, abs=5 * np.sqrt(2 / found.size))
    for bound in (3, 4, 4.5):
        expected = 2 * stats.norm.sf(bound) * found.size
        assert abs((np.abs(found) > bound).sum() - expected) < 5 * np.sqrt(expected)
    assert abs(np.corrcoef(found[:-1], found[1:])[0, 1]) < 5 / np.sqrt(found.size)


def test_fewer_are_the_first_of_more() -> None:
    np.testing.assert_array_equal(normals(generator(), 7), normals(generator(), 5000)[:7])


@pytest.mark.parametrize("name", ["gaussian_noise", "speckle_noise", "snow", "spatter"])
def test_images_of_up_to_64_pixels_keep_numpys_draws(name: str) -> None:
    small = corruptions.sample(3, [5], name, 2, size=(64, 64))["normal"][0]
    own = next(host_generators(3, f"corruption/{name}/2", [5]))
    np.testing.assert_array_equal(small, own.standard_normal(small.shape, small.dtype))
    large = corruptions.sample(3, [5], name, 2, size=(64, 65))["normal"][0]
    own = next(host_generators(3, f"corruption/{name}/2", [5]))
    np.testing.assert_array_equal(large, normals(own, large.size).reshape(large.shape))


@pytest.mark.parametrize(
    ("table", "expected"),
    [(("cifar", ""), 1), (("tiny", ""), 1), (("cifar", "64x65"), 2), (("imagenet", ""), 2)],
)
def test_the_version_of_large_images_is_their_own(table: tuple[str, str], expected: int) -> None:
    others = {"pixelate": 1 + bool(table[1])}  # other bytes since, at sizes of no parameter set
    for spec in corruption_specs("all", [3], table=table):
        assert spec.version == (expected if spec.name in LARGE_ONES else others.get(spec.name, 1))
    level = corruption_specs("gaussian_noise", levels=[1], table=table)[0]
    assert level.version == expected


def test_a_folder_of_large_images_notes_their_version(tmp_path: Path) -> None:
    for side, expected in ((64, 1), (65, 2)):
        folder = tmp_path / str(side)
        folder.mkdir()
        identity = {"content": "h", "seed": 0, "shape": [4, side, side, 3]}
        Journal(folder, identity, "").add(Task("snow", 1, 0, 4))
        assert f'["snow", {expected}, 1, 0]' in (folder / JOURNAL).read_text()
