"""Every attack of torchattacks and foolbox runs on images as a command hands them over, or says why it cannot."""

from __future__ import annotations

import importlib.util
import warnings
from fractions import Fraction

import pytest
import torch
from torch import nn

from robustbench_sdnet import attacks
from robustbench_sdnet.attacks.backends.library import check_attack
from robustbench_sdnet.attacks.libraries import LIMITS, check_options, check_problem, limits, table
from robustbench_sdnet.data.tensors import to_images
from robustbench_sdnet.errors import InputError
from robustbench_sdnet.planning.questions import attack_specs
from robustbench_sdnet.specs import NORMS, Eps

# Fewer passes than the defaults, which the slow test takes.
QUICK = {
    "torchattacks:CW": {"steps": 10},
    "torchattacks:Square": {"n_queries": 50},
    "foolbox:BoundaryAttack": {"steps": 20},
    "foolbox:EADAttack": {"steps": 10, "binary_search_steps": 2},
    "foolbox:GenAttack": {"steps": 10},
    "foolbox:HopSkipJumpAttack": {"steps": 2, "max_gradient_eval_steps": 20},
    "foolbox:L2CarliniWagnerAttack": {"steps": 10, "binary_search_steps": 2},
    "foolbox:GaussianBlurAttack": {"steps": 10},
    "foolbox:SaltAndPepperNoiseAttack": {"steps": 10},
    "foolbox:NewtonFoolAttack": {"steps": 10},
}
NEEDED = {"foolbox:VirtualAdversarialAttack": {"steps": 5}}
CASES = [
    (f"{library}:{name}", norm)
    for library in ("torchattacks", "foolbox")
    for name, known in table()[library].items()
    for norm in known["norms"]
]


def _problem(classes=10):
    """Four 8 x 8 images, laid out as pixels are, and a small network that is right about them."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(4),
        nn.Flatten(),
        nn.Linear(128, classes),
    )
    model.eval().requires_grad_(False)
    images = to_images(torch.randint(0, 256, (4, 8, 8, 3), dtype=torch.uint8).numpy())
    assert not images.is_contiguous(), "a command's images are pixels seen as channels first"
    return model, images, model(images).argmax(1)


def _judged(name, norm, params):
    model, images, labels = _problem()
    info = attacks.attack_info(name)
    eps = None if info.minimal_norm else float(Fraction(NORMS[norm].eps))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what the libraries do is looked at, not what they say
        result = attacks.run(name, model, images, labels, eps=eps, norm=norm, params=params)
    assert bool(result.clean.all())
    assert result.forwards > 4, "it asked the model"
    assert torch.equal(result.robust, model(result.images).argmax(1) == labels)
    delta = (result.images - images).flatten(1)
    if eps is None:
        assert torch.equal(torch.isfinite(result.extra["distance"]), ~result.robust)
    else:
        size = {"linf": delta.abs().amax(1), "l2": delta.norm(dim=1), "l1": delta.abs().sum(1)}[norm]
        assert float(size.max()) <= eps * (1 + 1e-5)


def _missing(name):
    package = limits(name).package
    return bool(package) and importlib.util.find_spec(package) is None


@pytest.mark.parametrize(
    ("name", "norm"),
    [pytest.param(*case, marks=pytest.mark.slow if "AutoAttack" in case[0] else ()) for case in CASES],
)
def test_every_attack_of_the_libraries_runs_on_a_commands_images(name, norm):
    if _missing(name):
        with pytest.raises(InputError, match=r"needs the package numba: pip install numba"):
            attacks.check_params(attacks.attack_info(name), {})
        return
    _judged(name, norm, QUICK.get(name, {}) | NEEDED.get(name, {}))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "norm"), [(name, norm) for name, norm in CASES if name in QUICK])
def test_the_costly_attacks_run_with_their_defaults(name, norm):
    _judged(name, norm, {})


@pytest.mark.parametrize(
    ("name", "norm", "classes", "message"),
    [
        (
            "torchattacks:APGDT",
            "linf",
            2,
            r"APGDT needs 4 classes, but the model has 2 \(apgd-t does with fewer\)",
        ),
        ("torchattacks:APGDT", "l2", 3, r"APGDT needs 4 classes, but the model has 3"),
        ("torchattacks:AutoAttack", "linf", 3, r"needs 4 classes, but the model has 3 \(autoattack does"),
        ("torchattacks:JSMA", "l0", 3, r"JSMA needs 10 classes, but the model has 3"),
    ],
)
def test_models_of_too_few_classes_are_refused_by_name(name, norm, classes, message):
    model, images, labels = _problem(classes)
    eps = None if norm == "l0" else 0.1
    with pytest.raises(InputError, match=message):
        attacks.run(name, model, images, labels, eps=eps, norm=norm)


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("torchattacks:EADEN", {"max_iterations": "5"}, "'max_iterations' .*at least 10, got 5"),
        ("torchattacks:EADL1", {"max_iterations": "9"}, "'max_iterations' .*at least 10, got 9"),
        ("foolbox:VirtualAdversarialAttack", {}, "needs --set steps=..., which has no default"),
    ],
)
def test_options_that_an_attack_fails_on_are_refused(name, given, message):
    with pytest.raises(InputError, match=message):
        attacks.check_params(attacks.attack_info(name), given)


def test_limits_are_met_exactly():
    check_problem("torchattacks:PGD", 2, 10**6)
    for name, classes in (("APGDT", 4), ("AutoAttack", 4), ("JSMA", 10)):
        check_problem(f"torchattacks:{name}", classes, 12)
        with pytest.raises(InputError, match=f"needs {classes} classes, but the model has {classes - 1}"):
            check_problem(f"torchattacks:{name}", classes - 1, 12)
    check_problem("torchattacks:JSMA", 10, 12_288)
    with pytest.raises(
        InputError, match=r"at most 12288 numbers, got 12289 \(torchattacks:SparseFool does\)"
    ):
        check_problem("torchattacks:JSMA", 10, 12_289)
    for name in ("torchattacks:EADEN", "torchattacks:EADL1"):
        check_options(name, {"max_iterations": 10})
        for few in (9, 9.9):
            with pytest.raises(InputError, match=f"must be at least 10, got {few}"):
                check_options(name, {"max_iterations": few})


def test_a_model_of_too_few_classes_is_refused_before_the_attack_is_made():
    spec = attack_specs("torchattacks:APGDT", [Eps.parse("8/255")])[0]
    with pytest.raises(InputError, match="APGDT needs 4 classes, but the model has 3"):
        check_attack(spec, 3, torch.rand(1, 3, 4, 4))


def test_limits_are_those_of_attacks_that_exist():
    assert {name for name, _ in CASES} >= set(LIMITS) | set(QUICK) | set(NEEDED)
