"""The loss of a step against the formulas of the papers, in float64 on a linear model."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from robustbench_sdnet.training.recipes.options import TrainOptions
from robustbench_sdnet.training.step import objective as module
from robustbench_sdnet.training.step.device import Device
from robustbench_sdnet.training.step.objective import Objective
from robustbench_sdnet.zoo import build_model

DEVICE = Device(torch.device("cpu"), torch.float64, autocast=False, channels_last=False)
LABELS, IDS = torch.arange(6) % 3, torch.arange(6)


def linear():
    torch.manual_seed(3)
    return nn.Sequential(nn.Flatten(), nn.Linear(48, 3)).double().train()


def pixels():
    return torch.randint(256, (6, 3, 4, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def cross_entropy(chances, smoothing=0.0):
    """With a share of the target spread over all three classes."""
    target = torch.eye(3, dtype=torch.float64)[LABELS] * (1 - smoothing) + smoothing / 3
    return -(target * chances.log()).sum(1).mean()


def test_the_target_is_smoothed_over_all_classes():
    model = linear()
    loss = Objective(model, TrainOptions(label_smoothing=0.1), DEVICE)(pixels(), LABELS, IDS, 0)
    torch.testing.assert_close(loss, cross_entropy(model(pixels().double() / 255).softmax(1), 0.1))


def test_trades_is_the_clean_loss_and_beta_times_the_divergence_of_the_perturbed_from_the_clean():
    """Zhang et al. 2019, as their code has it: KL(clean || perturbed)."""
    model = linear()
    options = TrainOptions(adversary="trades", eps="0.2", beta=5.0, label_smoothing=0.1)
    objective = Objective(model, options, DEVICE)
    clean = pixels().double() / 255
    moved = objective.perturbed(clean, LABELS, IDS, 3)
    p, q = model(clean).softmax(1), model(moved).softmax(1)
    divergence = (p * (p / q).log()).sum(1).mean()
    assert divergence > 0.01
    expected = cross_entropy(p, 0.1) + 5.0 * divergence
    torch.testing.assert_close(objective(pixels(), LABELS, IDS, 3), expected)


def test_trades_begins_a_thousandth_from_the_images():
    options = TrainOptions(adversary="trades", eps="0.2", attack_step_size="0")
    images = torch.full((6, 3, 16, 16), 0.5, dtype=torch.float64)
    model = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()).double()
    offset = Objective(model, options, DEVICE).perturbed(images, LABELS, IDS, 0) - images
    assert float(offset.std()) == pytest.approx(0.001, rel=0.1)


@pytest.mark.parametrize("adversary", ["fgsm", "pgd", "trades"])
def test_the_search_leaves_running_statistics_alone(adversary):
    model = build_model("resnet20", width=4, num_classes=3, input_size=8).double().train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    images = torch.rand((6, 3, 8, 8), dtype=torch.float64)
    Objective(model, TrainOptions(adversary=adversary), DEVICE).perturbed(images, LABELS, IDS, 0)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_augmix_adds_the_jensen_shannon_divergence_of_three_views(monkeypatch):
    """Hendrycks et al. 2020: the mean divergence of each view from the mean of the three, times the weight."""
    factors = {(9, 14): 0.3, (9, 15): -0.7}  # by seed and step: two views of the seventh step
    monkeypatch.setattr(module, "augmix", lambda images, ids, seed, step: images * factors[seed, step])
    model = linear()
    loss = Objective(model, TrainOptions(augmix=12.0, seed=9), DEVICE)(pixels(), LABELS, IDS, 7)
    views = [model(factor * pixels().double() / 255).softmax(1) for factor in (1.0, *factors.values())]
    mixture = sum(views) / 3
    divergence = sum((view * (view / mixture).log()).sum(1).mean() for view in views) / 3
    assert divergence > 0.001
    torch.testing.assert_close(loss, cross_entropy(views[0]) + 12.0 * divergence)
