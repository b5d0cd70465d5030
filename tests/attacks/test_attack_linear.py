"""Attacks on linear models, where distances and optimal perturbations have closed forms."""

from __future__ import annotations

import pytest
import torch
from attack_networks import Linear, exact_distance, linear_problem

from robustbench_sdnet import attacks

EPS = 0.02
GRADIENT_ATTACKS = ("pgd", "pma", "apgd-ce", "apgd-dlr", "apgd-t", "fab-t")


def _clear(distance, eps):
    """Samples whose verdict rounding cannot turn."""
    return (distance / eps - 1).abs() > 0.01


def test_pgd_is_the_sign_of_the_weight_difference():
    model, images, labels, _ = linear_problem(2, (3, 5, 4), 7, EPS, "linf")
    result = attacks.pgd(model, images, labels, eps=EPS, steps=8, early_stop=False)
    away = model.weight[1 - labels] - model.weight[labels]
    assert torch.allclose(result.images, images + EPS * away.sign().reshape(images.shape), atol=1e-12)


def test_fgsm_in_l2_is_the_normalised_weight_difference():
    model, images, labels, _ = linear_problem(2, (3, 5, 4), 7, EPS, "l2")
    result = attacks.fgsm(model, images, labels, eps=EPS, norm="l2", early_stop=False)
    away = (model.weight[1 - labels] - model.weight[labels]).double()
    step = EPS * away / away.norm(dim=1, keepdim=True)
    assert torch.allclose(result.images, images + step.reshape(images.shape), atol=1e-8)


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("name", GRADIENT_ATTACKS)
@pytest.mark.parametrize(("classes", "shape"), [(2, (3, 5, 7)), (3, (1, 4, 4)), (10, (3, 6, 5))])
def test_every_breakable_sample_is_found(name, norm, classes, shape):
    model, images, labels, distance = linear_problem(classes, shape, 30, EPS, norm)
    params = {"steps": 10 if name == "fab-t" else 40} | ({"step_size": EPS / 10} if name == "pgd" else {})
    result = attacks.run(name, model, images, labels, eps=EPS, norm=norm, params=params, batch_size=8)
    expected = distance > EPS
    clear = _clear(distance, EPS)
    # Cross-entropy is convex in the image here: with more than two classes it may climb towards one that is too far.
    if classes > 2 and name in ("pgd", "pma", "apgd-ce"):
        clear = clear & (expected | (distance < 0.4 * EPS))
    assert bool(clear.any())
    assert torch.equal(result.robust[clear], expected[clear])


def test_a_thousand_classes():
    model, images, labels, distance = linear_problem(1000, (3, 4, 4), 6, EPS, "linf")
    for name in ("apgd-t", "fab-t"):
        result = attacks.run(name, model, images, labels, eps=EPS, params={"steps": 30, "targets": 9})
        assert not bool(result.robust[distance < 0.9 * EPS].any())
        assert bool(result.robust[distance > 1.001 * EPS].all())


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("name", ["fab-t", "foolbox:DeepFool", "torchattacks:DeepFool"])
def test_minimal_norm_attacks_come_near_the_exact_distance(name, norm):
    if name == "foolbox:DeepFool":
        name = "foolbox:L2DeepFoolAttack" if norm == "l2" else "foolbox:LinfDeepFoolAttack"
    if name == "torchattacks:DeepFool" and norm == "linf":
        pytest.skip("torchattacks has DeepFool in l2 only")
    model, images, labels, _ = linear_problem(5, (3, 4, 5), 8, EPS, norm)
    params = {"steps": 15, "targets": 4} if name == "fab-t" else {}
    # Libraries work in float32.
    model, images = model.float(), images.float()
    labels = model(images).argmax(1)
    distance = exact_distance(model, images, labels, norm)
    result = attacks.run(name, model, images, labels, eps=None, norm=norm, params=params, batch_size=3)
    found = result.extra["distance"]
    assert bool((found >= 0.999 * distance).all())
    assert bool((found <= 1.25 * distance + 1e-6).all())


@pytest.mark.parametrize("batch_size", [1, 3, 8])
@pytest.mark.parametrize("name", [*GRADIENT_ATTACKS, "square", "noise", "fgsm"])
def test_batch_size_changes_nothing(name, batch_size):
    model, images, labels, _ = linear_problem(4, (3, 5, 4), 11, EPS, "linf")
    labels[2] = (labels[2] + 1) % 4
    params = {} if name == "fgsm" else {"draws": 5} if name == "noise" else {"steps": 15}
    ids = torch.arange(100, 111)
    whole = attacks.run(name, model, images, labels, eps=EPS, params=params, sample_ids=ids, batch_size=11)
    parts = attacks.run(
        name, model, images, labels, eps=EPS, params=params, sample_ids=ids, batch_size=batch_size
    )
    assert torch.equal(whole.broken_at, parts.broken_at)
    assert torch.allclose(whole.images, parts.images, atol=1e-9)
    some = torch.tensor([9, 3, 5])
    alone = attacks.run(name, model, images[some], labels[some], eps=EPS, params=params, sample_ids=ids[some])
    assert torch.equal(whole.broken_at[some], alone.broken_at)
    assert torch.allclose(whole.images[some], alone.images, atol=1e-9)


def test_two_classes_leave_one_target():
    model = Linear(2, (1, 3, 3))
    images = torch.full((2, 1, 3, 3), 0.5)
    labels = model(images).argmax(1)
    result = attacks.apgd_t(model, images, labels, eps=1e-6, steps=5, targets=9, precision="float32")
    # One clean pass, then one attempt of 5 steps and a last look.
    assert result.forwards == 2 * (1 + 6)
    assert result.backwards == 2 * 5
