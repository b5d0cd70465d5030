"""Attacks of other libraries: judged by our rules, whatever they return."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from attack_networks import linear_problem

from robustbench_sdnet import attacks
from robustbench_sdnet.attacks.backends import library
from robustbench_sdnet.attacks.backends.adapters import build
from robustbench_sdnet.attacks.backends.counted import Counted
from robustbench_sdnet.attacks.engine.passes import Passes
from robustbench_sdnet.errors import InputError, ModelError


def _problem(norm="linf"):
    model, images, labels, distance = linear_problem(5, (3, 4, 4), 8, 0.02, norm)
    return model.float().requires_grad_(False), images.float(), labels, distance


def test_a_library_s_attack_is_made_with_what_is_asked():
    made = partial(build, options={}, eps=0.1, norm="linf", seed=7, model=None)
    assert made("foolbox:HopSkipJumpAttack").constraint == "linf"
    model = Counted(Passes(lambda x: x.flatten(1)), 4, torch.zeros(2, 3, 4, 4))
    assert made("torchattacks:APGD", model=model).seed == 7
    assert made("torchattacks:PIFGSM", model=model).max_epsilon == 0.1


@pytest.mark.parametrize(
    ("name", "norm", "params"),
    [
        ("torchattacks:PGD", "linf", {"alpha": 0.004, "steps": 20}),
        ("torchattacks:APGDT", "linf", {"steps": 20}),
        ("torchattacks:FAB", "l2", {"steps": 10}),
        ("foolbox:LinfPGD", "linf", {"rel_stepsize": 0.2, "steps": 20}),
        ("foolbox:L2FastGradientAttack", "l2", {}),
        ("foolbox:L1PGD", "l1", {"steps": 5}),
    ],
)
def test_outcomes_are_verified(name, norm, params):
    model, images, labels, _ = _problem("l2" if norm == "l1" else norm)
    labels = labels.clone()
    labels[0] = (labels[0] + 1) % 5
    eps = 0.02 if norm != "l1" else 0.1
    result = attacks.run(name, model, images, labels, eps=eps, norm=norm, params=params)
    delta = (result.images - images).flatten(1)
    size = {"linf": delta.abs().amax(1), "l2": delta.norm(dim=1), "l1": delta.abs().sum(1)}[norm]
    assert float(size.max()) <= eps + 1e-6
    right = model(result.images).argmax(1) == labels
    assert torch.equal(result.robust, result.clean & right)
    assert result.broken_at[0] == 0
    assert torch.equal(result.images[0], images[0])
    assert result.forwards > 8
    assert result.backwards > 0


def test_pgd_of_a_library_breaks_what_can_be_broken():
    model, images, labels, distance = _problem()
    result = attacks.run(
        "torchattacks:PGD", model, images, labels, eps=0.02, params={"alpha": 0.002, "steps": 30}
    )
    assert bool(result.robust[distance > 0.0201].all())
    assert not bool(result.robust[distance < 0.006].any())


def test_raw_and_clipped_results_are_told_apart():
    model, images, labels, distance = _problem("l2")
    result = attacks.run("foolbox:L2DeepFoolAttack", model, images, labels, eps=0.02, norm="l2")
    # Unbounded, DeepFool breaks everything; within eps only what lies closer than eps.
    assert not bool(result.extra["raw_robust"].any())
    assert bool(result.robust[distance > 0.0202].all())
    assert not bool(result.robust[distance < 0.018].any())
    assert torch.equal(result.extra["raw_distance"] > 0.02 + 1e-6, distance > 0.02) or bool(
        (result.extra["raw_distance"] >= 0.99 * distance).all()
    )


def test_decision_based_attacks_run():
    model, images, labels, distance = _problem("l2")
    params = {"steps": 3, "max_gradient_eval_steps": 50}
    result = attacks.run(
        "foolbox:HopSkipJumpAttack", model, images, labels, eps=None, norm="l2", params=params
    )
    assert bool((result.extra["distance"] >= 0.999 * distance).all())
    assert result.backwards == 0


def test_the_seed_is_ours_and_global_generators_stay_put():
    model, images, labels, _ = _problem()
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)

    def run(seed):
        params = {"alpha": 1e-5, "steps": 1}
        return attacks.run(
            "torchattacks:PGD", model, images, labels, eps=0.001, seed=seed, params=params
        ).images

    first = run(5)
    assert torch.equal(torch.rand(1), expected)
    assert torch.equal(first, run(5))
    assert not torch.equal(first, run(6))


def test_what_goes_wrong_is_one_clear_line():
    model, images, labels, _ = _problem()
    with pytest.raises(InputError, match=r"Attack pgd needs eps, such as 8/255"):
        attacks.run("pgd", model, images, labels, eps=None)
    with pytest.raises(InputError, match=r"'foolbox:L2PGD' has no norm 'linf'. It knows: l2"):
        attacks.run("foolbox:L2PGD", model, images, labels, eps=0.1)
    with pytest.raises(InputError, match=r"EADAttack refuses its options: invalid decision rule"):
        attacks.run(
            "foolbox:EADAttack", model, images, labels, eps=None, norm="l1", params={"decision_rule": "L7"}
        )
    with pytest.raises(ModelError, match=r"Attack torchattacks:APGD raised ValueError: unknown loss"):
        attacks.run("torchattacks:APGD", model, images, labels, eps=0.1, params={"loss": "huber"})
    with pytest.raises(ModelError, match=r"not finite"):
        attacks.run("torchattacks:PGD", lambda x: model(x) * torch.nan, images, labels, eps=0.1)


def test_labels_beyond_the_models_classes_are_one_clear_line():
    model, images, labels, _ = _problem()
    classes = model(images[:1]).shape[1]
    with pytest.raises(
        InputError, match=f"labels go up to {classes}, but the model returns {classes} classes"
    ):
        library.run_library(lambda c, b, w: b, "x:Y", model, images, labels * 0 + classes, 0.1, {})


def test_images_that_are_not_finite_or_not_in_shape():
    model, images, labels, _ = _problem()
    lost = library.run_library(lambda c, batch, w: batch * torch.nan, "x:Y", model, images, labels, 0.1, {})
    assert torch.equal(lost.images, images)
    with pytest.raises(ModelError, match=r"Attack x:Y returned \(8, 1, 4, 4\) for images \(8, 3, 4, 4\)"):
        library.run_library(lambda c, batch, w: batch[:, :1], "x:Y", model, images, labels, 0.1, {})
