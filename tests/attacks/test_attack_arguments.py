"""What users hand over to attacks in Python: each is taken as it is meant, or refused in one clear line."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from robustbench_sdnet import attacks
from robustbench_sdnet.attacks.engine.guards import frozen
from robustbench_sdnet.attacks.registry import ATTACKS, CHAINS
from robustbench_sdnet.errors import InputError, ModelError
from tests.torch_defaults import other_defaults


@pytest.fixture(scope="module")
def problem():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 4)).eval()
    images = torch.rand(5, 3, 6, 6)
    return model, images, model(images).argmax(1)


@pytest.mark.parametrize("name", [name for name in ATTACKS if name not in CHAINS])
def test_what_torch_has_as_defaults_changes_no_attack(name, problem):
    """A quotient of whole numbers is of the default type."""
    model, images, labels = problem
    info = ATTACKS[name]
    given = {} if info.minimal_norm else {"eps": 0.1}
    given |= {"params": {key: 20 for key in ("steps", "queries") if key in info.params}}
    plain = attacks.run(name, model, images, labels, norm=info.norms[0], **given)
    with other_defaults():
        again = attacks.run(name, model, images, labels, norm=info.norms[0], **given)
    assert torch.equal(again.images, plain.images)


@pytest.mark.parametrize("name", [name for name, info in ATTACKS.items() if "linf" in info.norms])
def test_arguments_of_other_kinds_are_one_line(name, problem):
    attack = ATTACKS[name].load()
    model, images, labels = problem
    for changed, error, message in (
        (
            {"eps": "8/255"},
            InputError,
            "eps must be a number, got the text '8/255'. Write eps=8/255 without quotes",
        ),
        (
            {"eps": 8},
            InputError,
            "eps must be at most 1 .images lie in .0, 1.., got '8'. Write 8/255 for pixel",
        ),
        ({"labels": labels - 5}, InputError, r"labels must be class numbers from 0, got -\d"),
        ({"labels": labels - labels.min() - 1}, InputError, "labels must be class numbers from 0, got -1"),
        ({"eps": [0.03]}, InputError, r"eps must be one number, got \[0.03\]. Attack once for each budget"),
        ({"eps": torch.full((5,), 0.03)}, InputError, "eps must be one number, got tensor"),
        ({"labels": labels[:, None]}, InputError, r"got torch.int64 \(5, 1\). Write labels\[:, 0\].long"),
        (
            {"labels": labels.int()},
            InputError,
            r"must be int64 \(5,\), got torch.int32 \(5,\). Write labels.long",
        ),
        ({"labels": nn.functional.one_hot(labels, 4)}, InputError, r"\(5, 4\). Take the argmax of one-hot"),
        (
            {"images": images.numpy()},
            InputError,
            r"images must be a tensor, got ndarray\. Write torch\.as_tensor\(images\)",
        ),
        ({"labels": labels.tolist()}, InputError, "labels must be a tensor, got list"),
        (
            {"images": images.to_sparse()},
            InputError,
            "images must be a dense tensor with values, got .*sparse_coo",
        ),
        ({"labels": labels.to("meta")}, InputError, "labels must be a dense tensor .* the meta device"),
        (
            {"images": images.double()},
            ModelError,
            r"same\. The images are float64 and the weights float32: convert one",
        ),
    ):
        given = {"images": images, "labels": labels, "eps": 0.03, **changed}
        with pytest.raises(error, match=message) as caught:
            attack(model, given.pop("images"), given.pop("labels"), **given)
        assert "\n" not in str(caught.value)


def test_a_model_that_cannot_be_searched_in_half_precision_is_told_the_other(problem):
    model, images, labels = problem

    def leaves_torch(x):
        return torch.from_numpy(model(x).detach().numpy())

    with pytest.raises(ModelError, match=r"bfloat16\. Take precision='float32'"):
        attacks.pgd(leaves_torch, images, labels, eps=0.03, precision="bfloat16")
    with pytest.raises(ModelError, match="lets no gradient through"):
        attacks.pgd(leaves_torch, images, labels, eps=0.03, precision="float32")


@pytest.mark.parametrize(
    "attack", [attacks.fgsm, attacks.pgd, attacks.fab_t], ids=lambda attack: attack.__name__
)
def test_images_that_require_grad_are_attacked_as_images(attack, problem, recwarn):
    model, images, labels = problem
    plain = attack(model, images, labels, eps=0.03)
    result = attack(model, images.clone().requires_grad_(), labels, eps=0.03)
    assert torch.equal(result.images, plain.images)
    assert not result.images.requires_grad
    assert not recwarn.list


@pytest.mark.parametrize(
    ("moved", "message"),
    [
        (lambda images: images + 0.5, r"start lies outside of the linf ball of radius 0\.03 by 4\.70e-01"),
        (lambda images: images * 1.02, r"or \[0, 1\] by .*Begin within eps of the images"),
        (lambda images: images * torch.nan, "start lies outside of"),
        (lambda images: images[:2], r"start must be like the images, torch\.float32 \(5, 3, 6, 6\), got"),
        (lambda images: images.numpy(), "start must be a tensor, got ndarray"),
        (lambda images: images.double(), r"got torch\.float64 \(5, 3, 6, 6\)"),
    ],
)
def test_points_to_begin_at_lie_in_the_ball(moved, message, problem):
    model, images, labels = problem
    images = images / images.max()
    with pytest.raises(InputError, match=message):
        attacks.pgd(model, images, labels, eps=0.03, steps=2, start=moved(images))
    begun = (images - 0.02).clamp(0, 1).requires_grad_()
    found = attacks.pgd(model, images, labels, eps=0.03, steps=2, start=begun)
    assert not found.images.requires_grad


@pytest.mark.parametrize(
    ("attack", "given", "message"),
    [
        (attacks.pgd, {"step_size": -0.1}, "'step_size' of attack pgd must be above 0 and finite, got -0.1"),
        (attacks.pgd, {"steps": 2.5}, "steps must be a whole number, got '2.5'"),
        (attacks.pgd, {"eot": 0}, "eot must be a whole number from 1"),
        (attacks.fmn, {"gamma": 2}, "'gamma' of attack fmn must lie between 0 and 1, got 2"),
        (attacks.fmn, {"gamma": 1}, "'gamma' of attack fmn must lie between 0 and 1, got 1"),
        (attacks.fmn, {"step_size": 0.0}, "'step_size' of attack fmn must be above 0"),
        (attacks.square, {"p_init": -1, "steps": 2}, "'p_init' of attack square must lie above 0"),
        (
            attacks.pgd,
            {"step_size": "2/255"},
            "'step_size' of attack pgd must be a number, got the text '2/255'",
        ),
        (attacks.pgd, {"eps": None}, "pgd needs a budget, such as eps=8/255"),
    ],
)
def test_numbers_are_refused_in_python_as_on_the_command_line(attack, given, message, problem):
    with pytest.raises(InputError, match=message):
        attack(*problem, **{"eps": 0.03, **given})


@pytest.mark.parametrize(
    ("model", "shown"),
    [("cifar10/sdnet20", "'cifar10/sdnet20'"), (nn.Flatten, "<class '.*Flatten'>"), ([nn.Flatten()], "list")],
)
def test_what_is_no_model_is_named(model, shown, problem):
    with pytest.raises(
        InputError, match=f"model must be a module or a function of images, got {shown}. Load"
    ):
        attacks.pgd(model, *problem[1:], eps=0.03)


def test_a_model_of_half_precision_is_told_to_convert_itself(problem):
    model = nn.Sequential(nn.Flatten(), nn.Linear(108, 4)).bfloat16()
    with pytest.raises(ModelError, match=r"the weights bfloat16: write model.float\(\)"):
        attacks.pgd(model, *problem[1:], eps=0.03)


def test_a_model_that_threads_share_is_restored_by_the_last():
    """The first to end put it back into training mode, in which the attack of the other went on."""
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)).train()
    model[0].bias.requires_grad_(False)
    flags = [weight.requires_grad for weight in model.parameters()]
    first, second = frozen(model), frozen(model)
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert not any(module.training for module in model.modules())
    assert not any(weight.requires_grad for weight in model.parameters())
    second.__exit__(None, None, None)
    assert all(module.training for module in model.modules())
    assert [weight.requires_grad for weight in model.parameters()] == flags


@pytest.mark.filterwarnings("ignore:.*torch.jit")  # deprecated; its models are attacked all the same
def test_a_frozen_script_has_no_mode_to_restore(problem):
    model, images, labels = problem
    scripted = torch.jit.freeze(torch.jit.script(model))
    wanted = attacks.pgd(model, images, labels, eps=0.03, steps=3)
    found = attacks.pgd(scripted, images, labels, eps=0.03, steps=3)
    assert torch.equal(found.robust, wanted.robust)


@pytest.mark.parametrize("name", ["pgd", "foolbox:LinfPGD", "torchattacks:PGD"])
def test_an_exported_graph_has_no_modes_and_what_holds_it_has(problem, name):
    model, images, labels = problem
    program = torch.export.export(
        model, (torch.rand(2, 3, 6, 6),), dynamic_shapes=({0: torch.export.Dim("n")},)
    )
    held = nn.Sequential(nn.Dropout(0.9), program.module())  # which answers otherwise in training mode
    wanted = attacks.run(name, model, images, labels, eps=0.03, params={"steps": 3})
    for exported in (program.module(), held):
        found = attacks.run(name, exported, images, labels, eps=0.03, params={"steps": 3})
        assert torch.equal(found.robust, wanted.robust)
        assert torch.allclose(found.margin, wanted.margin, atol=1e-5)
    assert held.training
    assert held[0].training


@pytest.mark.parametrize("stray", ["targeted", "attempts", "stream", "loss", "how"])
@pytest.mark.parametrize("name", ["apgd_ce", "apgd_dlr", "apgd_t"])
def test_what_an_attack_settles_itself_is_no_option_of_it(name, stray):
    images, labels = torch.zeros(1, 3, 2, 2), torch.zeros(1, dtype=torch.int64)
    with pytest.raises(InputError, match=rf"Unknown option of {name} '{stray}'.*Known: .*restarts|targets"):
        getattr(attacks, name)(torch.nn.Flatten(), images, labels, eps=0.1, **{stray: True})


def test_an_option_of_an_attack_goes_into_params_of_run(problem) -> None:
    with pytest.raises(InputError, match=r"Unknown option of run 'steps'.*params=\{'steps': \.\.\.\}\.$"):
        attacks.run("pgd", *problem, eps=0.1, steps=3)


def test_results_are_told_apart_as_objects(problem) -> None:
    """Their tensors have no single truth to compare or to hash by."""
    one, other = (attacks.noise(*problem, eps=0.1) for _ in "ab")
    assert one != other
    assert len({one, other}) == 2


def test_no_batch_is_larger_than_asked(problem):
    model, images, labels = problem

    def one_by_one(x):
        assert len(x) <= 2
        return model(x)

    assert len(attacks.fgsm(one_by_one, images, labels, eps=0.03, batch_size=2).images) == 5


def test_a_result_is_one_line_in_a_notebook(problem):
    model, images, labels = problem
    wrong = (labels + torch.tensor([0, 0, 0, 0, 1])) % 4
    result = attacks.fgsm(model, images, wrong, eps=0.0)
    assert repr(result) == "<AttackResult of 5 images: 80.0 % right before, 80.0 % after>"
    none = attacks.fgsm(model, images[:0], labels[:0], eps=0.0)
    assert repr(none) == "<AttackResult of 0 images>"


@pytest.mark.parametrize("name", ["pgd", "autoattack", "foolbox:LinfPGD"])
def test_a_batch_size_is_a_whole_number_of_any_type(name, problem):
    params = {"steps": 2} if name != "autoattack" else {"variant": "rand"}
    few = [one[:2] for one in problem[1:]]
    found = [
        attacks.run(name, problem[0], *few, eps=0.001, params=params, batch_size=size).images
        for size in (2, 2.0, "2")
    ]
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


def test_a_model_that_asks_autograd_is_attacked_in_inference_mode(problem):
    model, images, labels = problem

    def stepped(images):
        with torch.enable_grad():
            moved = images.detach().clone().requires_grad_()
            (gradient,) = torch.autograd.grad(model(moved).square().sum(), moved)
        return model(images - 1e-3 * gradient)

    with torch.inference_mode():
        found = attacks.pgd(stepped, images, labels, eps=0.01, steps=2)
    assert torch.equal(found.images, attacks.pgd(stepped, images, labels, eps=0.01, steps=2).images)


@pytest.mark.parametrize("ids", [(i for i in range(5)), "01234", [2**70] * 5])
def test_sample_ids_that_no_tensor_holds_are_one_line(problem, ids):
    with pytest.raises(InputError, match=r"^sample_ids must be int64 \(5,\), got .*\. Write a list\.$"):
        attacks.pgd(*problem, eps=0.03, steps=1, sample_ids=ids)


class Scribbler(nn.Module):
    """Normalises its images where they lie."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, images):
        return self.inner(images.sub_(0.5).div_(0.25))


class Copier(Scribbler):
    """Normalises a copy of them."""

    def forward(self, images):
        return self.inner((images - 0.5) / 0.25)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", ["square", "pgd", "fmn", "lean", "torchattacks:PGD", "foolbox:LinfPGD"])
def test_a_model_may_write_into_its_images(problem, name, precision):
    """Four make a batch as they are, five are filled up."""
    inner, images, labels = problem
    extra = {} if ":" in name else {"precision": precision}
    for count in (4, 5):
        some, of_them = images[:count].clone(), labels[:count]
        wanted, found = (
            attacks.run(name, kind(inner), some, of_them, eps=None if name == "fmn" else 0.1, **extra)
            for kind in (Copier, Scribbler)
        )
        assert torch.equal(some, images[:count])
        torch.testing.assert_close(found.images, wanted.images)
        torch.testing.assert_close(found.margin, wanted.margin, rtol=0, atol=1e-5)
        assert found.forwards == wanted.forwards
