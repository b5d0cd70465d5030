"""Training perturbations on a linear model, where the best one is known."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from robustbench_sdnet.training.recipes.options import TrainOptions
from robustbench_sdnet.training.step.device import Device
from robustbench_sdnet.training.step.objective import Objective, _divergence
from robustbench_sdnet.zoo import build_model
from robustbench_sdnet.zoo.nets.control import auxiliary_objective


class Linear(nn.Module):
    """Two classes; the loss of class 0 grows along `slope`."""

    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.slope = nn.Parameter(torch.randn(3, 4, 4, generator=generator, dtype=torch.float64))

    def forward(self, images):
        score = (images * self.slope).flatten(1).sum(1)
        return torch.stack((-score, score), 1)


@pytest.fixture
def case():
    generator = torch.Generator().manual_seed(1)
    images = 0.4 + 0.2 * torch.rand(5, 3, 4, 4, generator=generator, dtype=torch.float64)
    return Linear().train(), images, torch.zeros(5, dtype=torch.long), torch.arange(5)


def run(case, step=0, **options):
    model, images, labels, ids = case
    device = Device(torch.device("cpu"), torch.float64, autocast=False, channels_last=False)
    return Objective(model, TrainOptions(**options), device).perturbed(images, labels, ids, step)


def test_pgd_reaches_the_best_corner(case):
    moved = run(case, adversary="pgd", eps="0.1", attack_steps=5, attack_step_size="0.05")
    assert torch.allclose(moved, case[1] + 0.1 * case[0].slope.sign())


def test_pgd_in_l2_follows_the_slope(case):
    moved = run(case, adversary="pgd", norm="l2", eps="0.3", attack_steps=30, attack_step_size="0.1")
    slope = case[0].slope
    assert torch.allclose(moved, case[1] + 0.3 * slope / slope.norm(), atol=2e-3)


def test_fgsm_takes_one_step_of_five_quarters_from_its_start(case):
    moved = run(case, adversary="fgsm", eps="0.1")
    offset = (moved - case[1]) * case[0].slope.sign()
    # start u uniform in [-0.1, 0.1], then min(u + 0.125, 0.1): at the corner where u >= -0.025, 5 times in 8
    assert offset.min() >= 0.025 - 1e-12
    assert abs((offset > 0.1 - 1e-12).double().mean() - 0.625) < 0.1  # of 240 draws: 3 deviations


@pytest.mark.parametrize("adversary", ["pgd", "fgsm", "trades"])
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_inside_ball_and_range_and_independent_of_the_batch(case, adversary, norm):
    model, images, labels, ids = case
    images = (images * 4 - 1.5).clamp(0, 1)
    options = {"adversary": adversary, "norm": norm, "eps": "0.5", "attack_steps": 3}
    moved = run((model, images, labels, ids), step=7, **options)
    offset = (moved - images).flatten(1)
    size = offset.abs().amax(1) if norm == "linf" else offset.norm(dim=1)
    assert size.max() <= 0.5 + 1e-9
    assert moved.min() >= 0
    assert moved.max() <= 1
    part = run((model, images[3:], labels[3:], ids[3:]), step=7, **options)
    assert torch.allclose(part, moved[3:])
    assert not torch.allclose(run((model, images, labels, ids), step=8, **options), moved, atol=1e-9) or (
        adversary == "pgd"
    )


def test_mode_and_gradients_are_as_before(case):
    run(case, adversary="pgd")
    assert case[0].training
    assert case[0].slope.grad is None


@pytest.mark.parametrize("adversary", ["fgsm", "pgd", "trades"])
def test_the_auxiliary_loss_is_of_the_passes_that_are_trained_on_not_of_the_search(adversary):
    torch.manual_seed(0)
    model = build_model("sdnet20", width=4, num_classes=3, input_size=8).double().train()
    images = torch.randint(256, (6, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    labels, ids = torch.arange(6) % 3, torch.arange(6)
    device = Device(torch.device("cpu"), torch.float64, autocast=False, channels_last=False)
    losses = []
    for factor in (0.0, 0.5):  # each on a copy, whose running statistics are still the first
        options = TrainOptions(adversary=adversary, auxiliary=factor, eps="0.1")
        objective = Objective(copy.deepcopy(model), options, device)
        losses.append(objective(images, labels, ids, 0))
    losses[1].backward()
    objective, clean = Objective(model, options, device), device.floats(images)
    moved = objective.perturbed(clean, labels, ids, 0)
    with auxiliary_objective(model) as collect:
        for seen in (clean, moved) if adversary == "trades" else (moved,):
            model(seen)
        terms = collect()
    assert terms > 0.01
    assert losses[1].item() == pytest.approx(losses[0].item() + 0.5 * terms.item(), abs=1e-9)


@pytest.mark.parametrize("recipe", [{"adversary": "trades", "eps": "0.1"}, {"augmix": 12.0}])
def test_consistency_of_confident_answers_has_a_finite_gradient(recipe):
    """The chance of another class is 0 in float32 from a difference of logits of 104 on."""
    model = Linear().float().train()
    model.slope.data.mul_(1e3)
    images = torch.randint(256, (6, 3, 4, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    device = Device(torch.device("cpu"), torch.float32, autocast=False, channels_last=False)
    assert model(device.floats(images)).diff(dim=1).abs().max() > 104
    objective = Objective(model, TrainOptions(**recipe), device)
    loss = objective(images, torch.arange(6) % 2, torch.arange(6), 0)
    loss.backward()
    assert loss.isfinite()
    assert model.slope.grad.isfinite().all()


def test_the_divergence_is_that_of_kullback_and_leibler():
    found, wanted = torch.rand(2, 5, 3, generator=torch.Generator().manual_seed(2)).softmax(2)
    exact = (wanted * (wanted / found).log()).sum(1).mean()
    torch.testing.assert_close(_divergence(found.log(), wanted.log()), exact)
