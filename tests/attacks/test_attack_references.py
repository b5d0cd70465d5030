"""Gradient attacks against torchattacks and foolbox on the same model, images and start."""

from __future__ import annotations

import warnings

import pytest
import torch
import torchattacks
from attack_networks import convolutional

from robustbench_sdnet import attacks

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # foolbox's own: it imports what SciPy has renamed
    import foolbox


def _double_problem():
    torch.manual_seed(1)
    model = convolutional(channels=3).double().eval()
    images = torch.rand(12, 3, 8, 8, dtype=torch.float64)
    return model, images, torch.randint(10, (12,))


def test_linf_iterates_equal_torchattacks():
    model, images, labels = _double_problem()
    theirs = torchattacks.PGD(model, eps=0.1, alpha=0.02, steps=20, random_start=False)(images, labels)
    ours = attacks.pgd(
        model, images, labels, eps=0.1, steps=20, step_size=0.02, random_start=False, early_stop=False
    )
    assert float((ours.images - theirs).abs().max()) < 1e-9


def test_l2_iterates_equal_torchattacks():
    model, images, labels = _double_problem()
    theirs = torchattacks.PGDL2(model, eps=1.0, alpha=0.2, steps=20, random_start=False)(images, labels)
    ours = attacks.pgd(
        model,
        images,
        labels,
        eps=1.0,
        norm="l2",
        steps=20,
        step_size=0.2,
        random_start=False,
        early_stop=False,
    )
    assert float((ours.images - theirs).abs().max()) < 1e-9


def test_a_given_start_is_where_the_iterates_begin():
    model, images, labels = _double_problem()
    start = (images + 0.05 * torch.sign(images - 0.5)).clamp(0, 1)
    ours = attacks.pgd(model, images, labels, eps=0.1, steps=1, step_size=0.02, start=start, early_stop=False)
    point = start.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(
        torch.nn.functional.cross_entropy(model(point), labels, reduction="sum"), point
    )
    expected = torch.minimum(torch.maximum(start + 0.02 * gradient.sign(), images - 0.1), images + 0.1)
    assert torch.allclose(ours.images, expected.clamp(0, 1), atol=1e-12)


def test_fgsm_equals_torchattacks():
    model, images, labels = _double_problem()
    theirs = torchattacks.FGSM(model, eps=0.07)(images, labels)
    ours = attacks.fgsm(model, images, labels, eps=0.07, early_stop=False)
    assert float((ours.images - theirs).abs().max()) < 1e-12


@pytest.mark.parametrize("eps", [0.1, 0.2])
def test_robust_accuracy_of_pgd_equals_foolbox(hardened, eps):
    model, images, labels = hardened
    wrapped = foolbox.PyTorchModel(model, bounds=(0, 1))
    attack = foolbox.attacks.LinfPGD(rel_stepsize=1 / 8, steps=40, random_start=False)
    _, _, success = attack(wrapped, images, labels, epsilons=eps)
    settings = {"eps": eps, "steps": 40, "step_size": eps / 8, "random_start": False, "precision": "float32"}
    theirs = 1 - float(success.double().mean())
    textbook = attacks.pgd(model, images, labels, early_stop=False, **settings)
    assert abs(textbook.robust_accuracy - theirs) <= 0.004
    # Leaving at the first success keeps what the last iterate may lose.
    ours = attacks.pgd(model, images, labels, **settings)
    assert ours.robust_accuracy <= theirs
    assert int((textbook.robust & ~ours.robust).sum()) == int(textbook.extra["lost_success"].sum())


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["hardened", "standard"])
def test_autoattack_equals_an_ensemble_of_torchattacks(kind, request):
    model, images, labels = request.getfixturevalue(kind)
    images, labels, eps = images[:120], labels[:120], 0.15
    robust = model(images).argmax(1) == labels
    stages = (
        torchattacks.APGD(model, eps=eps, steps=100),
        torchattacks.APGDT(model, eps=eps, steps=100),
        torchattacks.FAB(model, eps=eps, steps=100, multi_targeted=True),
        torchattacks.Square(model, eps=eps, n_queries=5000, resc_schedule=False),
    )
    for attack in stages:
        alive = robust.nonzero()[:, 0]
        found = attack(images[alive], labels[alive])
        inside = (found - images[alive]).abs().flatten(1).amax(1) <= eps + 1e-6
        robust[alive] = (model(found).argmax(1) == labels[alive]) | ~inside
    ours = attacks.autoattack(model, images, labels, eps=eps)
    assert abs(int(ours.robust.sum()) - int(robust.sum())) <= 1
    assert float((ours.robust == robust).double().mean()) >= 0.98
    if kind == "standard":
        assert int(ours.robust.sum()) <= int(robust.sum())
    else:
        assert 0.1 < ours.robust_accuracy < ours.clean_accuracy
