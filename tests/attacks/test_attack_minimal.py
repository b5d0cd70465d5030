"""Minimal-norm attacks: FMN and sigma-zero against exact distances and foolbox's FMN."""

from __future__ import annotations

import pytest
import torch
from attack_networks import Linear, linear_problem

from robustbench_sdnet import attacks
from robustbench_sdnet.attacks.engine.passes import Passes
from robustbench_sdnet.errors import InputError

FOOLBOX = {"linf": "LInfFMNAttack", "l2": "L2FMNAttack", "l1": "L1FMNAttack", "l0": "L0FMNAttack"}


@pytest.mark.parametrize(("norm", "scale"), [("linf", 1), ("l2", 1), ("l1", 1), ("linf", 1e-9)])
def test_fmn_finds_the_exact_distance_of_a_linear_model(norm, scale):
    model, images, labels, distance = linear_problem(5, (3, 4, 5), 12, 0.02, norm)
    found = attacks.fmn(lambda x: scale * model(x), images, labels, eps=None, norm=norm, steps=100)
    assert bool((found.extra["distance"] >= distance * (1 - 1e-9)).all())
    assert bool((found.extra["distance"] <= 1.002 * distance).all())
    assert found.backwards < 12 * 100, "samples whose distance has converged leave"
    assert found.backwards % 20 == 0, "after a fifth of the steps, or another"
    assert not bool(found.robust.any())


@pytest.mark.parametrize("steps", [1, 4])
def test_fmn_may_take_fewer_steps_than_it_looks(steps):
    model, images, labels, distance = linear_problem(3, (1, 4, 4), 6, 0.02, "l2")
    found = attacks.fmn(model, images, labels, eps=None, norm="l2", steps=steps)
    assert bool((found.extra["distance"] >= distance * (1 - 1e-9)).all())
    assert 6 <= found.backwards <= 6 * steps


@pytest.mark.parametrize("norm", list(FOOLBOX))
def test_fmn_is_as_near_as_foolbox_at_no_more_passes(hardened, norm):
    model, images, labels = (part[:50] if isinstance(part, torch.Tensor) else part for part in hardened)
    ours = attacks.fmn(model, images, labels, eps=None, norm=norm, steps=60)
    name = f"foolbox:{FOOLBOX[norm]}"
    theirs = attacks.run(name, model, images, labels, eps=None, norm=norm, params={"steps": 60})
    assert ours.extra["distance"].median() <= 1.02 * theirs.extra["distance"].median()
    assert ours.forwards + ours.backwards <= theirs.forwards + theirs.backwards
    assert bool(torch.isfinite(ours.extra["distance"]).all())


@pytest.mark.parametrize("eps", [None, 0.5])
@pytest.mark.parametrize("name", ["fab-t", "fmn"])
def test_the_smallest_perturbation_is_sought_in_float32_whatever_is_asked(hardened, name, eps):
    model, images, labels = (part[:20] if isinstance(part, torch.Tensor) else part for part in hardened)
    full, low = (
        attacks.run(
            name, model, images, labels, eps=eps, norm="l2", params={"steps": 20}, precision=precision
        )
        for precision in ("float32", "bfloat16")
    )
    # What bfloat16 finds on the boundary, the model itself mostly gets right: nothing would have been found.
    assert torch.equal(full.images, low.images)


@pytest.mark.parametrize("early_stop", [True, False])
def test_misclassified_samples_have_distance_0_and_cost_one_pass(early_stop):
    model, images, labels, _ = linear_problem(3, (1, 4, 4), 5, 0.02, "l2")
    found = attacks.fmn(model, images, (labels + 1) % 3, norm="l2", early_stop=early_stop)
    assert (found.forwards, found.backwards) == (5, 0)
    assert found.extra["distance"].tolist() == [0] * 5


def test_misclassified_samples_have_distance_0_in_a_library_too():
    model, images, labels, _ = linear_problem(3, (1, 4, 4), 5, 0.02, "l2")
    name, wrong = "foolbox:L2DeepFoolAttack", (labels + 1) % 3
    found = attacks.run(name, model.float(), images.float(), wrong, eps=None, norm="l2")
    assert found.extra["distance"].tolist() == [0] * 5


def test_only_a_search_within_a_budget_takes_a_folded_copy(standard, monkeypatch):
    model, images, labels = standard
    asked = []
    monkeypatch.setattr(Passes, "fold", lambda *_: asked.append(True))
    attacks.fmn(model, images[:4], labels[:4], norm="l2", steps=20)
    assert not asked, "on the boundary rounding would decide"
    attacks.pgd(model, images[:4], labels[:4], eps=0.1)
    assert asked


def fewest_pixels(model, images, labels):
    """Two classes: the pixels that gain most go to black or white, all channels, until the gap is closed."""
    away = (model.weight[1 - labels] - model.weight[labels]).reshape(images.shape)
    gains = torch.where(away > 0, away * (1 - images), -away * images).sum(1).flatten(1)
    gap = (model(images).gather(1, labels[:, None]) - model(images).gather(1, 1 - labels[:, None]))[:, 0]
    reached = gains.sort(dim=1, descending=True).values.cumsum(1) > gap[:, None]
    return torch.where(reached.any(1), reached.long().argmax(1) + 1, 10_000)


@pytest.mark.parametrize(("name", "steps"), [("fmn", 200), ("sigma-zero", 400)])
def test_few_pixels_are_found(name, steps):
    model = Linear(2, (3, 5, 5), seed=4).double()
    images = torch.rand(16, 3, 5, 5, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    labels = model(images).argmax(1)
    exact = fewest_pixels(model, images, labels)
    found = attacks.run(
        name, model, images, labels, eps=None, norm="l0", params={"steps": steps}, batch_size=5
    )
    distance = found.extra["distance"]
    assert bool((distance >= exact).all())
    assert float((distance - exact).mean()) <= 1.0
    changed = (found.images != images).any(1).flatten(1).sum(1)
    assert torch.equal(changed.double(), distance)


def test_a_budget_counts_what_lies_within_it():
    model, images, labels, distance = linear_problem(3, (3, 4, 4), 10, 0.02, "l2")
    found = attacks.fmn(model, images, labels, eps=0.02, norm="l2")
    clear = (distance / 0.02 - 1).abs() > 0.01
    assert torch.equal(found.robust[clear], (distance > 0.02)[clear])
    with pytest.raises(InputError, match=r"Unknown norm 'l2'.*Known: l0"):
        attacks.sigma_zero(model, images, labels, eps=None, norm="l2")
