"""What is a success of an attack, where rounding would decide."""

from __future__ import annotations

import pytest
import torch

from robustbench_sdnet import attacks

STEPS = {"eps": 0.1, "steps": 5, "step_size": 0.02, "random_start": False, "precision": "float32"}


@pytest.mark.parametrize("size", [1.0, 1000.0])
def test_rounding_is_measured_by_the_size_of_logits(size: float) -> None:
    """Margins of up to 1.5e-6 of the logits, some units in the last place of float32, might be rounding's."""

    def model(images: torch.Tensor) -> torch.Tensor:
        score = 1.5e-5 * (images.mean((1, 2, 3)) - 0.5)
        return size * torch.stack([torch.ones_like(score), 1 + score], 1)

    found = attacks.pgd(model, torch.full((1, 1, 2, 2), 0.5), torch.tensor([0]), **STEPS)
    assert found.clean.tolist() == [True]
    assert (found.robust.tolist(), found.broken_at.tolist()) == ([False], [5]), "wrong, but at no step sooner"


def test_what_is_right_by_no_more_than_rounding_is_attacked_on() -> None:
    def model(images: torch.Tensor) -> torch.Tensor:
        score = images.mean((1, 2, 3)) - 0.520001  # a margin of 1e-6 after the first step
        return torch.stack([torch.ones_like(score), 1 + score], 1)

    found = attacks.pgd(model, torch.full((1, 1, 2, 2), 0.5), torch.tensor([0]), **STEPS)
    assert (found.robust.tolist(), found.broken_at.tolist()) == ([False], [2])
