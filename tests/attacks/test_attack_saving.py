"""Adversarial images on disk: exact, rounded, and judged as stored."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from robustbench_sdnet.attacks.saving import save_adversarials
from robustbench_sdnet.errors import WriteError
from robustbench_sdnet.specs import Repeats


def _model(images):
    """Class 1 from a mean brightness of 100.5 levels up."""
    mean = images.mean((1, 2, 3)) * 255 - 100.5
    return torch.stack([-mean, mean], dim=1)


def _save(path, model, images, labels, *, each=None, **how):
    """In one part, or in parts of `each` images."""
    ids = np.arange(7, 7 + len(images))
    return save_adversarials(
        path, model, lambda: iter(images.split(each or len(images))), labels, sample_ids=ids, **how
    )


def test_exact_and_rounded_images_have_their_own_accuracy(tmp_path):
    levels = torch.tensor([100.4, 100.8])
    images = (levels / 255).reshape(2, 1, 1, 1).expand(2, 3, 2, 2).contiguous()
    labels = torch.tensor([0, 0])
    saved = _save(tmp_path / "a.npz", _model, images, labels, eight_bit=True)
    with np.load(saved.path) as stored:
        assert stored["images"].dtype == np.float32
        assert np.array_equal(stored["images"], images.numpy())
        # Rounded, not truncated: 100.4 becomes 100, 100.8 becomes 101.
        assert stored["images_8bit"].shape == (2, 2, 2, 3)
        assert np.unique(stored["images_8bit"][0]).tolist() == [100]
        assert np.unique(stored["images_8bit"][1]).tolist() == [101]
        assert stored["sample_ids"].tolist() == [7, 8]
        assert stored["right"].tolist() == [True, False]
    assert saved.accuracy == 0.5
    assert saved.accuracy_8bit == 0.5


def test_rounding_can_undo_an_attack(tmp_path):
    # 100.2 and 100.7 average above the edge of 100.5 only with 100.9: rounded to 100 and 101 they lie on it.
    images = torch.tensor([100.4, 100.9]).reshape(1, 1, 1, 2) / 255
    saved = _save(tmp_path / "b.npz", _model, images, torch.tensor([0]), eight_bit=True)
    assert saved.accuracy == 0.0
    assert saved.accuracy_8bit == 1.0
    with np.load(saved.path) as stored:
        assert stored["images_8bit"].tolist() == [[[[100], [101]]]], "one row of two values of one channel"


def test_without_rounding_nothing_is_said_of_it(tmp_path):
    saved = _save(tmp_path / "c.npz", _model, torch.zeros(1, 3, 2, 2), torch.tensor([0]))
    assert saved.accuracy_8bit is None
    with np.load(saved.path) as stored:
        assert "images_8bit" not in stored


@pytest.mark.parametrize("each", [1, 2, 5])
def test_parts_make_the_file_that_all_images_make(tmp_path, each):
    images = torch.rand(5, 3, 4, 6, generator=torch.Generator().manual_seed(0))
    images, labels = (
        images * torch.linspace(0.5, 1.1, 5).reshape(5, 1, 1, 1).clamp(max=1),
        torch.ones(5).long(),
    )
    whole = _save(tmp_path / "whole.npz", _model, images, labels, eight_bit=True)
    parts = _save(tmp_path / "parts.npz", _model, images, labels, each=each, eight_bit=True)
    assert 0 < parts.accuracy < 1
    assert parts.accuracy == whole.accuracy
    assert parts.accuracy_8bit == whole.accuracy_8bit
    assert parts.path.read_bytes() == whole.path.read_bytes()
    with np.load(parts.path) as stored:
        assert np.array_equal(stored["images"], images.numpy())


def test_a_path_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(WriteError, match=r"Cannot write .*a.npz"):
        _save(tmp_path / "file" / "a.npz", _model, torch.zeros(2, 3, 2, 2), torch.tensor([0, 0]))


def test_what_is_saved_is_as_readable_as_any_other_file(tmp_path):
    other = tmp_path / "other"
    other.touch()
    saved = _save(tmp_path / "a.npz", _model, torch.zeros(1, 3, 2, 2), torch.tensor([0]))
    assert saved.path.stat().st_mode == other.stat().st_mode
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.npz", "other"]


def test_answers_of_a_randomised_model_are_counted(tmp_path):
    """Seven answers of ten are right, on every image."""
    calls = iter([1.0] * 7 + [-1.0] * 3)

    def model(images):
        score = torch.full((len(images),), next(calls) if len(images) == 4 else 1.0)  # two probe the layout
        return torch.stack([score, -score], dim=1)

    images, labels = torch.full((4, 1, 2, 2), 0.5), torch.zeros(4, dtype=torch.int64)
    saved = _save(tmp_path / "d.npz", model, images, labels, repeats=Repeats(10))
    assert saved.accuracy == pytest.approx(0.7)
    with np.load(saved.path) as stored:
        assert stored["right"].all()
