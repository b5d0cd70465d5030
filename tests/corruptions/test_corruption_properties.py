"""What holds for every corruption and every image."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings, strategies as st
from hypothesis.extra.numpy import arrays

from robustbench_sdnet import corruptions

ALL = tuple(corruptions.CORRUPTIONS)
sides = st.integers(8, 64)
KINDS = ("any", "constant", "black", "white", "two-level")


@st.composite
def batches(draw: st.DrawFn) -> np.ndarray:
    n, height, width = draw(st.integers(1, 3)), draw(sides), draw(sides)
    kind = draw(st.sampled_from(KINDS))
    if kind == "any":
        small = draw(arrays(np.uint8, (n, 8, 8, 3)))
        return np.resize(small, (n, height, width, 3))
    if kind == "two-level":
        bits = np.random.default_rng(draw(st.integers(0, 99))).integers(0, 2, (n, height, width, 3))
        return (bits * 255).astype(np.uint8)
    level = {"black": 0, "white": 255}.get(kind) if kind != "constant" else draw(st.integers(0, 255))
    return np.full((n, height, width, 3), level, np.uint8)


@pytest.mark.parametrize("name", ALL)
@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
@given(images=batches(), severity=st.integers(1, 5), seed=st.integers(-(2**40), 2**40))
def test_any_images(name: str, images: np.ndarray, severity: int, seed: int) -> None:
    before = images.copy()
    found = corruptions.corrupt(images, name, severity, seed)
    assert found.dtype == np.uint8
    assert found.shape == images.shape
    np.testing.assert_array_equal(images, before)
    np.testing.assert_array_equal(found, corruptions.corrupt(images, name, severity, seed))


def some_images(n: int) -> np.ndarray:
    generator = np.random.default_rng(5)
    ramps = np.linspace(0, 200, 32)[None, :, None, None] + generator.integers(0, 56, (n, 32, 32, 3))
    return ramps.astype(np.uint8)


@pytest.mark.parametrize("name", ALL)
def test_independent_of_batch_size_order_and_chunks(name: str) -> None:
    images = some_images(150)
    ids = np.arange(1000, 1150)
    whole = corruptions.corrupt(images, name, 4, seed=9, sample_ids=ids)
    order = np.random.default_rng(0).permutation(150)
    np.testing.assert_array_equal(corruptions.corrupt(images[order], name, 4, 9, ids[order]), whole[order])
    for part in (slice(0, 1), slice(77, 78), slice(60, 71), slice(149, 150)):
        np.testing.assert_array_equal(corruptions.corrupt(images[part], name, 4, 9, ids[part]), whole[part])


@pytest.mark.parametrize("name", ALL)
def test_independent_of_threads(name: str) -> None:
    images, threads = some_images(70), torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = corruptions.corrupt(images, name, 3)
        torch.set_num_threads(3)
        three = corruptions.corrupt(images, name, 3)
    finally:
        torch.set_num_threads(threads)
    np.testing.assert_array_equal(one, three)


@pytest.mark.parametrize("name", [name for name in ALL if corruptions.corruption_info(name).random])
def test_draws_depend_on_seed_id_and_severity(name: str) -> None:
    images = some_images(8)  # one draws no more than the order of three channels

    def corrupted(severity: int = 2, seed: int = 0, sample_id: int = 0) -> np.ndarray:
        return corruptions.corrupt(images, name, severity, seed, range(sample_id, sample_id + 8))

    base = corrupted()
    assert not np.array_equal(base, corrupted(seed=1))
    assert not np.array_equal(base, corrupted(sample_id=1))
    drawn = [corruptions.sample(0, range(8), name, severity) for severity in (2, 3)]
    first = next(iter(drawn[0]))
    assert not np.array_equal(drawn[0][first].reshape(-1)[:1000], drawn[1][first].reshape(-1)[:1000])


@pytest.mark.parametrize("name", [name for name in ALL if not corruptions.corruption_info(name).random])
def test_the_deterministic_ones_ignore_the_seed(name: str) -> None:
    images = some_images(2)
    assert corruptions.sample(0, [0], name) == {}
    expected = corruptions.corrupt(images, name, 3, seed=0)
    np.testing.assert_array_equal(corruptions.corrupt(images, name, 3, 5, [8, 9]), expected)


@pytest.mark.parametrize("name", ALL)
def test_severity_matters(name: str) -> None:
    images = some_images(20)
    found = [corruptions.corrupt(images, name, severity) for severity in (1, 5)]
    assert not np.array_equal(found[0], images)
    assert not np.array_equal(found[0], found[1])


@pytest.mark.parametrize("name", ["gaussian_noise", "frost", "jpeg_compression", "zoom_blur"])
def test_tensors_in_tensors_out(name: str) -> None:
    images = some_images(3)
    tensor = torch.from_numpy(images)
    found = corruptions.corrupt(tensor, name, 2)
    assert isinstance(found, torch.Tensor)
    np.testing.assert_array_equal(found.numpy(), corruptions.corrupt(images, name, 2))
    strided = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2))).permute(0, 2, 3, 1)
    np.testing.assert_array_equal(corruptions.corrupt(strided, name, 2).numpy(), found.numpy())


@pytest.mark.parametrize("name", ALL)
def test_read_only_images_and_no_images(name: str) -> None:
    images = some_images(2)
    images.flags.writeable = False
    assert corruptions.corrupt(images, name, 1).shape == images.shape
    assert corruptions.corrupt(images[:0], name, 1).shape == (0, 32, 32, 3)
    assert corruptions.apply(images[:0], name, draws=corruptions.sample(0, [], name)).shape == (0, 32, 32, 3)


@pytest.mark.gpu
@pytest.mark.parametrize("name", ALL)
def test_the_same_bytes_on_a_gpu(name: str) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    images = torch.from_numpy(some_images(100))
    for severity in (1, 3, 5):
        expected = corruptions.corrupt(images, name, severity)
        assert torch.equal(corruptions.corrupt(images.cuda(), name, severity).cpu(), expected)
