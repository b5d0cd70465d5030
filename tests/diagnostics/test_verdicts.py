"""Broken models trip the verdict that names their defect; honest ones trip none."""

from __future__ import annotations

import copy
import cProfile

import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional as F

from robustbench_sdnet import attacks
from robustbench_sdnet.diagnostics import DIAGNOSTICS, diagnose
from robustbench_sdnet.errors import InputError
from robustbench_sdnet.zoo.nets.control import refresh_step_sizes, use_lambda
from robustbench_sdnet.zoo.nets.csc import SparseCoding, csc2d
from robustbench_sdnet.zoo.nets.resnet import Normalise
from robustbench_sdnet.zoo.others.guard import External

EPS = 0.12
SEEDS = (0, 1, 2)


class Tiny(nn.Module):
    """Two layers on 8 x 8 digits; with `sparse`, the first is a sparse coding layer."""

    def __init__(self, sparse: bool = False) -> None:
        super().__init__()
        self.normalise = Normalise((0.3,) * 3, (0.38,) * 3)
        self.stem = csc2d(3, 16, size=(8, 8)) if sparse else nn.Conv2d(3, 16, 3, padding=1)
        self.norm = nn.BatchNorm2d(16)
        self.conv = nn.Conv2d(16, 32, 3, 2, 1)
        self.linear = nn.Linear(32 * 16, 10)

    def forward(self, images: Tensor) -> Tensor:
        x = F.relu(self.norm(self.stem(self.normalise(images))))
        return self.linear(F.relu(self.conv(x)).flatten(1))


@pytest.fixture(scope="module")
def digits():
    data = load_digits()
    images = torch.tensor(data.images / 16, dtype=torch.float32)[:, None].repeat(1, 3, 1, 1)
    return images, torch.tensor(data.target)


def train(digits, *, sparse: bool = False, adversarial: bool = False, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    images, labels = digits[0][100:], digits[1][100:]
    model = Tiny(sparse)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, nesterov=True, weight_decay=5e-4)
    for _ in range(150):
        chosen = torch.randint(len(images), (128,))
        x, y = images[chosen], labels[chosen]
        if adversarial:
            x = attacks.pgd(model, x, y, eps=EPS, steps=3, step_size=EPS / 2, precision="float32").images
        optimiser.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimiser.step()
    if sparse:
        refresh_step_sizes(model)
    return model.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def standard(digits):
    return train(digits)


@pytest.fixture(scope="module")
def sparse(digits):
    return train(digits, sparse=True)


@pytest.fixture(scope="module")
def hardened(digits):
    return train(digits, adversarial=True)


class Wrapped(nn.Module):
    """A model behind something that breaks attacks."""

    def __init__(self, model: nn.Module, before=None, after=None) -> None:
        super().__init__()
        self.model, self.before, self.after = model, before, after

    def forward(self, images: Tensor) -> Tensor:
        logits = self.model(images if self.before is None else self.before(images))
        return logits if self.after is None else self.after(logits)


def quantised(images: Tensor) -> Tensor:
    return (images * 7).round() / 7


def straight_through(images: Tensor) -> Tensor:
    return images + (quantised(images) - images).detach()


def pooled_and_rounded(images: Tensor) -> Tensor:
    return (F.avg_pool2d(images, 3, 1, 1) * 255).round() / 255


def noisy(images: Tensor) -> Tensor:
    return images + 0.1 * torch.randn_like(images)


def purified(images: Tensor) -> Tensor:
    with torch.enable_grad():
        x = images.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(x.square().sum(), x)
    return images - 0.01 * gradient


def only_on_the_grid(images: Tensor) -> Tensor:
    """Gradients flow at 4-bit images alone, which random starts leave at once."""
    on = ((images * 16).frac() == 0).flatten(1).all(1)
    return torch.where(on[:, None, None, None], images, images.detach())


def verdicts(model, digits, n=40, **options):
    found = diagnose(model, digits[0][:n], digits[1][:n], eps=EPS, **{"queries": 60, **options})
    assert [verdict.check for verdict in found] == list(DIAGNOSTICS)
    return {verdict.check: verdict for verdict in found}


def failed(found) -> set[str]:
    return {name for name, verdict in found.items() if verdict.verdict == "fail"}


BROKEN = {
    "saturated": (None, lambda logits: logits * 1e6, "zero_gradient"),
    "quantised": (quantised, None, "zero_gradient"),
    "pooled": (pooled_and_rounded, None, "zero_gradient"),
    "noisy": (noisy, None, "randomised"),
    "softmax": (None, lambda logits: logits.softmax(1), "probabilities"),
    "purified": (purified, None, "test_time_optimisation"),
    "straight_through": (straight_through, None, "wrong_gradient"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_models_trip_their_verdict(name, standard, digits):
    before, after, check = BROKEN[name]
    for seed in SEEDS:
        torch.manual_seed(seed)
        found = verdicts(Wrapped(standard, before, after), digits, n=30, cheap=True, seed=seed)
        assert found[check].verdict == "fail", found[check]
        assert found[check].value is not None


def test_one_call_of_autograd_is_one_call(standard, digits):
    found = verdicts(Wrapped(standard, purified), digits, n=4, cheap=True)["test_time_optimisation"]
    assert (found.value, found.sentence) == (
        1.0,
        "The forward pass calls autograd (1 call): attack through it, or without gradients.",
    )


def test_a_running_profiler_ends_no_diagnosis(standard, digits):
    with cProfile.Profile():
        found = verdicts(Wrapped(standard, purified), digits, n=4, cheap=True)
    assert found["test_time_optimisation"].value == 1.0


@pytest.mark.parametrize("name", ["noisy", "softmax"])
def test_broken_models_trip_their_verdict_among_all_checks(name, standard, digits):
    before, after, check = BROKEN[name]
    torch.manual_seed(0)
    assert check in failed(verdicts(Wrapped(standard, before, after), digits, n=20))


@pytest.mark.parametrize("cheap", [True, False])
def test_attacks_say_nothing_of_a_model_that_draws(standard, digits, cheap):
    """Fresh draws alone break images that noise, a step or a restart then seems to have broken."""
    torch.manual_seed(0)
    found = verdicts(
        Wrapped(standard, lambda x: x + 0.3 * torch.randn_like(x)),
        digits,
        cheap=cheap,
        survivors=torch.ones(40, dtype=torch.bool),
    )
    assert failed(found) == {"randomised"}
    ran = {name for name, verdict in found.items() if verdict.verdict != "not_run"}
    assert ran == {"randomised", "probabilities", "zero_gradient", "test_time_optimisation"}
    assert "fresh draws break some" in found["noise_wins"].sentence


@pytest.mark.parametrize(
    "name", ["standard", *(pytest.param(name, marks=pytest.mark.slow) for name in ("sparse", "hardened"))]
)
def test_honest_models_trip_none(name, digits, request):
    model = request.getfixturevalue(name)
    for seed in SEEDS:
        found = verdicts(model, digits, n=80, seed=seed, queries=100, **transfer_options(model))
        assert not failed(found), [found[check] for check in failed(found)]
        ran = {check for check, verdict in found.items() if verdict.verdict != "not_run"}
        assert ran == set(DIAGNOSTICS) - (set() if name == "sparse" else {"transfer_wins"})


def transfer_options(model):
    if not isinstance(model.stem, SparseCoding):
        return {}
    return {"model_at": lambda value: AtLambda(model, value), "lambdas": (0.05, 0.2)}


class AtLambda(nn.Module):
    def __init__(self, model, value):
        super().__init__()
        self.model, self.value = model, value

    def forward(self, images):
        with use_lambda(self.model, self.value):
            return self.model(images)


@pytest.mark.parametrize("cheap", [True, False])
def test_a_model_of_others_is_judged_as_the_same_is_here(standard, digits, cheap):
    images, labels = digits[0][:40], digits[1][:40]
    own, other = (
        {
            one.check: (one.verdict, one.images)
            for one in diagnose(model, images, labels, eps=EPS, cheap=cheap)
        }
        for model in (standard, External(standard, "their:model"))
    )
    assert other == own
    assert own["wrong_gradient"][0] == "pass"

    class Fixed(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return standard(images.float() * torch.ones(1, dtype=torch.float32))

    found = {
        one.check: one
        for one in diagnose(External(Fixed(), "their:fixed"), images, labels, eps=EPS, cheap=True)
    }
    assert found["wrong_gradient"].verdict in ("pass", "not_run"), "float32 within"


def test_gradient_free_attack_wins_over_a_quantiser(standard, digits):
    found = verdicts(Wrapped(standard, quantised), digits)
    assert {"gradient_free_wins", "unbounded_eps_survives"} <= failed(found)
    assert "Square" in found["gradient_free_wins"].sentence


def test_transfer_wins_over_a_quantiser(standard, digits):
    found = verdicts(Wrapped(standard, quantised), digits, others={"the bare model": standard})
    assert "transfer_wins" in failed(found)
    assert "the bare model" in found["transfer_wins"].sentence


def test_transfer_is_from_the_same_model_at_every_lambda_that_is_named(standard, digits):
    asked = []
    found = diagnose(
        standard, digits[0][:8], digits[1][:8], eps=EPS, queries=2,
        model_at=lambda lam: asked.append(lam) or standard, lambdas=(0.05, 0.2),
    )  # fmt: skip
    (transfer,) = [one for one in found if one.check == "transfer_wins"]
    assert transfer.sentence.startswith("Transfer from lambda 0.05, lambda 0.2 broke 0 of ")
    assert asked == [0.05, 0.2]


def test_models_without_some_of_the_classes_and_batches_of_no_image_are_refused_at_once(digits):
    class Few(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return images.flatten(1)[:, :3]

    images, labels = digits[0][:8], torch.arange(8)
    asked = nn.Sequential(nn.Flatten(), nn.Linear(images[0].numel(), 8))
    with pytest.raises(InputError, match="Labels go up to 7, but theirs returns 3 classes"):
        diagnose(asked, images, labels, eps=EPS, others={"theirs": Few()})
    for size in (0, -1, 2.5):
        with pytest.raises(InputError, match="batch_size must be a whole number"):
            diagnose(asked, images, labels, eps=EPS, batch_size=size)


def test_one_step_wins_where_only_the_image_has_a_gradient(standard, digits):
    assert "single_step_wins" in failed(verdicts(Wrapped(standard, only_on_the_grid), digits))


@pytest.mark.parametrize("cheap", [False, True])
def test_losses_disagree_where_only_one_saturates(standard, digits, cheap):
    found = verdicts(Wrapped(standard, None, lambda z: z * 1e6), digits, cheap=cheap)
    assert "losses_disagree" in failed(found)


@pytest.mark.parametrize("cheap", [False, True])
def test_a_loss_that_saturates_does_not_speak_against_an_attack_on_the_other(standard, digits, cheap):
    saturated = Wrapped(standard, None, lambda z: z * 1e6)
    images, labels = digits[0][:60], digits[1][:60]
    by_margin = attacks.run("apgd-dlr", saturated, images, labels, eps=EPS, precision="float32").robust
    by_entropy = saturated(images).argmax(1) == labels  # its gradient is zero: what was right survives
    found = [
        {
            verdict.check: verdict
            for verdict in diagnose(saturated, images, labels, eps=EPS, cheap=cheap, survivors=left)
        }
        for left in (by_margin, by_entropy)
    ]
    assert [one["losses_disagree"].verdict for one in found] == ["pass", "fail"]
    assert f"of {int(by_entropy.sum())} survivors of the attack" in found[1]["losses_disagree"].sentence
    if not cheap:  # the diagnostics' own steps, on the loss that saturates, judge only by what they break
        left = int(by_margin.sum())
        assert f"broke 0 of {left} survivors of the attack" in found[0]["not_converged"].sentence


def test_a_jagged_loss_is_rough(standard, digits):
    jagged = Wrapped(standard, lambda x: x + 0.02 * torch.sign(torch.sin(3000 * x)))
    assert "rough_loss" in failed(verdicts(jagged, digits, cheap=True))


@pytest.mark.parametrize("ripples", [1e4, 1e6])
def test_a_finely_rippled_loss_is_rough(standard, digits, ripples):
    """The gradient is true and says nothing: it is that of ripples finer than the random steps, which move far less."""
    found = verdicts(
        Wrapped(standard, lambda x: x + 0.005 * torch.sin(ripples * x)), digits, n=20, cheap=True
    )
    assert found["wrong_gradient"].verdict == "pass"
    assert (found["rough_loss"].verdict, found["rough_loss"].value < 0.1) == ("fail", True)


def test_a_loss_that_stands_still_where_its_gradient_does_not_is_rough(standard, digits):
    """A coarse quantiser that lets the gradient through: tiny steps cross none of its levels."""
    images = digits[0][:20] * 0.5 + 0.2  # in steps of 1/32, all of them within a level

    def coarse(x: Tensor) -> Tensor:
        return x + ((32 * x - 0.4).round() / 32 + 0.0125 - x).detach()

    found = {
        one.check: one
        for one in diagnose(Wrapped(standard, coarse), images, digits[1][:20], eps=EPS, cheap=True)
    }
    assert (found["rough_loss"].verdict, found["rough_loss"].value) == ("fail", 0.0)
    assert found["rough_loss"].sentence.startswith("Under random signs of eps/100 the loss moves 0 times")


def test_a_model_is_never_asked_outside_of_the_box(standard, digits):
    seen = []

    def root(images: Tensor) -> Tensor:
        seen.append(images.detach())
        return images.sqrt()  # not a number below 0, where digits are black

    found = verdicts(Wrapped(standard, root), digits, n=8)
    assert min(float(images.min()) for images in seen) >= 0
    assert max(float(images.max()) for images in seen) <= 1
    assert found["wrong_gradient"].verdict == "pass"
    assert found["rough_loss"].verdict != "fail"
    # Its slope at black pixels is infinite, of which an attack would warn.
    assert (found["zero_gradient"].verdict, found["zero_gradient"].value) == ("fail", 1.0)


def test_noise_wins_over_survivors_that_were_never_attacked(standard, digits):
    # An attack that did nothing leaves every right sample; the size of the budget lets noise break some.
    found = diagnose(
        standard,
        digits[0][:60],
        digits[1][:60],
        eps=0.6,
        cheap=True,
        survivors=torch.ones(60, dtype=torch.bool),
    )
    assert {"noise_wins", "single_step_wins"} <= failed({verdict.check: verdict for verdict in found})


def test_a_verdict_says_how_many_images_it_is_about(standard, digits):
    found = verdicts(standard, digits, n=40, cheap=True)
    right = int((standard(digits[0][:40]).argmax(1) == digits[1][:40]).sum())
    assert 24 < right < 40
    assert {name: verdict.images for name, verdict in found.items() if verdict.images is not None} == {
        "randomised": 40, "probabilities": 40, "test_time_optimisation": 1, "rough_loss": 24,
        "wrong_gradient": 24, "zero_gradient": right, "single_step_wins": right, "noise_wins": right,
        "losses_disagree": right,
    }  # fmt: skip


def test_a_model_that_is_always_wrong_has_nothing_to_attack(standard, digits):
    found = diagnose(standard, digits[0][:9], (standard(digits[0][:9]).argmax(1) + 1) % 10, eps=EPS)
    reasons = {verdict.sentence for verdict in found if verdict.verdict == "not_run"}
    assert any("none of these images correctly" in reason for reason in reasons)


def test_the_model_is_left_as_it_is(sparse, digits):
    before = copy.deepcopy(sparse.state_dict())
    verdicts(sparse, digits, n=20, cheap=True)
    assert not sparse.training
    assert all(torch.equal(before[name], value) for name, value in sparse.state_dict().items())


def test_verdicts_do_not_depend_on_the_batch_size(hardened, digits):
    small, large = (verdicts(hardened, digits, n=30, cheap=True, batch_size=size) for size in (7, 100))
    assert [verdict.verdict for verdict in small.values()] == [verdict.verdict for verdict in large.values()]


def test_wrong_questions_are_refused(standard, digits):
    with pytest.raises(InputError, match="eps above 0"):
        diagnose(standard, digits[0][:2], digits[1][:2], eps=0.0)
    with pytest.raises(InputError, match="at least one image"):
        diagnose(standard, digits[0][:0], digits[1][:0], eps=EPS)
