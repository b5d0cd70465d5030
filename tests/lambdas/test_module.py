"""A policy inside a model: its gradient, BPDA and EOT."""

from __future__ import annotations

import copy
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
import torch

from robustbench_sdnet.attacks import pgd
from robustbench_sdnet.errors import InputError
from robustbench_sdnet.inside.way import features
from robustbench_sdnet.lambdas import Calibrated, CalibratedFit, Fixed, LabelFree, WithPolicy
from robustbench_sdnet.lambdas.lines import Line
from robustbench_sdnet.zoo import build_model, residuals, use_lambda
from robustbench_sdnet.zoo.nets.hooks import hooked

LINES = {"residual": Line(1.5, 0.02), "noise": Line(3.0, 0.01)}
FIT = CalibratedFit(LINES, (0.01, 5.0), 0.1, (), 1, 0)
SMOOTH = {
    "calibrated": Calibrated(FIT),
    "batch": Calibrated(FIT, per="batch"),
    "calibrated:noise": Calibrated(FIT, "noise"),
    "noise": LabelFree("noise"),
    "discrepancy": LabelFree("discrepancy"),
}


def test_logits_are_those_at_the_chosen_lambda(model, images):
    for policy in (Fixed(0.7), *SMOOTH.values(), LabelFree("entropy")):
        lam = policy(model, images)
        with use_lambda(model, lam):
            expected = model(images)
        assert torch.equal(WithPolicy(model, policy)(images), expected)
        assert WithPolicy(model, policy)(images[:0]).shape == (0, expected.shape[1])


@pytest.mark.filterwarnings("ignore:Dynamo detected a call to a `functools.lru_cache`")  # which only caches
@pytest.mark.parametrize("policy", [LabelFree("noise"), LabelFree("entropy", lambdas=(0.0, 0.5, 2.0))])
def test_a_compiled_model_that_was_called_has_its_stem(model, images, policy):
    """Compiled code does not ask for hooks that came later, nor does it once something around it is compiled."""
    expected, energies, maps = (
        WithPolicy(model, policy)(images),
        residuals(model, images),
        features(model, images),
    )
    torch._dynamo.reset()
    compiled = torch.compile(model, backend="eager")
    compiled(images)
    in_place = copy.deepcopy(model)
    in_place.compile(backend="eager")
    in_place(images)
    for one in (compiled, in_place):
        torch.testing.assert_close(WithPolicy(one, policy)(images), expected)
        torch.testing.assert_close(residuals(one, images), energies)
        torch.testing.assert_close(features(one, images), maps)
    for one in (model, compiled, in_place):
        around = torch.compile(WithPolicy(one, policy), backend="eager")
        torch.testing.assert_close(around(images), expected)


def test_threads_that_share_a_model_take_turns(model, images):
    """Each would else code its images at the lambdas of another's."""
    policies = [Fixed(0.0), Fixed(2.0), LabelFree("entropy", lambdas=(0.0, 2.0))]
    expected = [WithPolicy(model, policy)(images) for policy in policies]
    arrived = Barrier(len(policies))

    def again(policy):
        module = WithPolicy(model, policy)
        arrived.wait(timeout=60)
        return [module(images) for _ in range(20)]

    with ThreadPoolExecutor(len(policies)) as pool:
        for found, wanted in zip(pool.map(again, policies), expected, strict=True):
            assert all(torch.equal(logits, wanted) for logits in found)


def test_a_policy_sets_lambda_on_the_layers_of_its_scope(every, images):
    for scope in ("stem", "all"):
        with use_lambda(every, torch.full((len(images),), 0.7), scope=scope):
            expected = every(images)
        assert torch.equal(WithPolicy(every, Fixed(0.7), scope=scope)(images), expected)


@pytest.mark.parametrize("name", SMOOTH)
def test_gradient_through_lambda_agrees_with_finite_differences(model, images, name):
    # Flat patches sit on the kink of the noise estimate's |.|, where there is no gradient: roughen them.
    rough = torch.rand(images[:3].shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    exact, x = copy.deepcopy(model).double(), 0.95 * images[:3].double() + 0.05 * rough
    through = WithPolicy(exact, SMOOTH[name])
    held = WithPolicy(exact, SMOOTH[name], gradient="bpda")
    weights = torch.linspace(-1, 1, 30, dtype=torch.float64).reshape(3, 10)

    def value(module, at):
        return (module(at) * weights).sum()

    gradients = []
    for module in (through, held):
        at = x.clone().requires_grad_()
        gradients.append(torch.autograd.grad(value(module, at), at)[0])
    generator = torch.Generator().manual_seed(1)
    step = 1e-8  # small, so that no ReLU of the 20 layers switches on the way
    for _ in range(5):
        along = torch.randn(x.shape, generator=generator, dtype=torch.float64)
        measured = float(value(through, x + step * along) - value(through, x - step * along)) / (2 * step)
        assert float((gradients[0] * along).sum()) == pytest.approx(measured, rel=1e-4, abs=1e-5)
    # Holding lambda constant is another gradient: the way through lambda(x) is not negligible.
    assert (gradients[0] - gradients[1]).abs().max() > 1e-3 * gradients[0].abs().max()


def test_bpda_is_the_gradient_at_a_constant_lambda(model, images):
    policy = SMOOTH["calibrated"]
    x = images.clone().requires_grad_()
    held = torch.autograd.grad(WithPolicy(model, policy, gradient="bpda")(x).sum(), x)[0]
    with torch.no_grad():
        lam = policy(model, images)
    y = images.clone().requires_grad_()
    with use_lambda(model, lam):
        expected = torch.autograd.grad(model(y).sum(), y)[0]
    assert torch.equal(held, expected)


def test_a_policy_that_jumps_is_held_constant(model, images):
    x = images.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(WithPolicy(model, LabelFree("entropy"))(x).sum(), x)
    assert torch.isfinite(gradient).all()
    assert gradient.abs().max() > 0


def test_only_models_with_lambda_can_have_a_policy(model):
    with pytest.raises(InputError, match="no sparse coding layers"):
        WithPolicy(build_model("resnet20", width=4, input_size=8), Fixed(0.1))
    with pytest.raises(InputError, match="through"):
        WithPolicy(model, Fixed(0.1), gradient="around")


def test_the_mode_of_the_model_is_kept(model):
    assert not WithPolicy(model, Fixed(0.1)).training
    assert not model.training


@pytest.mark.usefixtures("attack_alone")
@pytest.mark.parametrize(
    ("policy", "each"), [(LabelFree("entropy"), 15), (LabelFree("noise"), 1), (Fixed(0.3), 1)]
)
def test_passes_behind_a_policy_are_those_of_the_network(model, images, policy, each):
    classifier, seen = WithPolicy(model, policy, gradient="bpda"), [0]
    labels = classifier(images).argmax(1)
    last = [module for module in model.modules() if isinstance(module, torch.nn.Linear)][-1]
    count = hooked([last], lambda layer, given: seen.__setitem__(0, seen[0] + len(given[0])), before=True)
    asked = {"eps": 0.0, "steps": 2, "batch_size": len(images), "precision": "float32"}
    pgd(classifier, images, labels, **asked)  # the layout of images is tried once
    with count:
        result = pgd(classifier, images, labels, **asked)
    assert result.forwards == seen[0]
    assert result.forwards % (each * len(images)) == 0
