"""Adversarial images on disk: exact, rounded, and judged as stored."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from robustbench_sdnet.attacks.saving import save_adversarials
from robustbench_sdnet.errors import InputError, WriteError
from robustbench_sdnet.specs import Repeats


def _model(images):
    """Class 1 from a mean brightness of 100.5 levels up."""
    mean = images.mean((1, 2, 3)) * 255 - 100.5
    return torch.stack([-mean, mean], dim=1)


def test_exact_and_rounded_images_have_their_own_accuracy(tmp_path):
    levels = torch.tensor([100.4, 100.8])
    images = (levels / 255).reshape(2, 1, 1, 1).expand(2, 3, 2, 2).contiguous()
    labels = torch.tensor([0, 0])
    saved = save_adversarials(tmp_path / "a.npz", _model, images, labels, sample_ids=[7, 9], eight_bit=True)
    with np.load(saved.path) as stored:
        assert stored["images"].dtype == np.float32
        assert np.array_equal(stored["images"], images.numpy())
        # Rounded, not truncated: 100.4 becomes 100, 100.8 becomes 101.
        assert stored["images_8bit"].shape == (2, 2, 2, 3)
        assert np.unique(stored["images_8bit"][0]).tolist() == [100]
        assert np.unique(stored["images_8bit"][1]).tolist() == [101]
        assert stored["sample_ids"].tolist() == [7, 9]
        assert stored["right"].tolist() == [True, False]
    assert saved.accuracy == 0.5
    assert saved.accuracy_8bit == 0.5


def test_rounding_can_undo_an_attack(tmp_path):
    # 100.2 and 100.7 average above the edge of 100.5 only with 100.9: rounded to 100 and 101 they lie on it.
    images = torch.tensor([100.4, 100.9]).reshape(1, 1, 1, 2) / 255
    saved = save_adversarials(
        tmp_path / "b.npz", _model, images, torch.tensor([0]), sample_ids=[0], eight_bit=True
    )
    assert saved.accuracy == 0.0
    assert saved.accuracy_8bit == 1.0
    with np.load(saved.path) as stored:
        assert stored["images_8bit"].tolist() == [[[[100], [101]]]], "one row of two values of one channel"


def test_without_rounding_nothing_is_said_of_it(tmp_path):
    saved = save_adversarials(
        tmp_path / "c.npz", _model, torch.zeros(1, 3, 2, 2), torch.tensor([0]), sample_ids=[0]
    )
    assert saved.accuracy_8bit is None
    with np.load(saved.path) as stored:
        assert "images_8bit" not in stored


def test_bad_paths_and_ids_are_named(tmp_path):
    images, labels = torch.zeros(2, 3, 2, 2), torch.tensor([0, 0])
    with pytest.raises(InputError, match=r"saved as .npz, got 'a.png'"):
        save_adversarials("a.png", _model, images, labels, sample_ids=[0, 1])
    with pytest.raises(InputError, match=r"2 images need as many labels and ids, got 2 and 1"):
        save_adversarials(tmp_path / "a.npz", _model, images, labels, sample_ids=[0])
    (tmp_path / "file").write_text("")
    with pytest.raises(WriteError, match=r"Cannot write .*a.npz"):
        save_adversarials(tmp_path / "file" / "a.npz", _model, images, labels, sample_ids=[0, 1])


def test_what_is_saved_is_as_readable_as_any_other_file(tmp_path):
    other = tmp_path / "other"
    other.touch()
    saved = save_adversarials(
        tmp_path / "a.npz", _model, torch.zeros(1, 3, 2, 2), torch.tensor([0]), sample_ids=[0]
    )
    assert saved.path.stat().st_mode == other.stat().st_mode
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.npz", "other"]


def test_answers_of_a_randomised_model_are_counted(tmp_path):
    """Seven answers of ten are right, on every image."""
    calls = iter([1.0] * 7 + [-1.0] * 3)

    def model(images):
        score = torch.full((len(images),), next(calls) if len(images) == 4 else 1.0)  # two probe the layout
        return torch.stack([score, -score], dim=1)

    images, labels = torch.full((4, 1, 2, 2), 0.5), torch.zeros(4, dtype=torch.int64)
    saved = save_adversarials(
        tmp_path / "d.npz", model, images, labels, sample_ids=range(4), repeats=Repeats(10)
    )
    assert saved.accuracy == pytest.approx(0.7)
    with np.load(saved.path) as stored:
        assert stored["right"].all()
