"""Searches in a copy with folded normalisation: the same logits, and the model itself decides."""

from __future__ import annotations

import pytest
import torch
from attack_networks import convolutional
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from robustbench_sdnet import attacks, zoo
from robustbench_sdnet.attacks.engine.folding import foldable, folded
from robustbench_sdnet.attacks.engine.losses import margin
from robustbench_sdnet.attacks.engine.passes import Passes
from robustbench_sdnet.lambdas import Fixed, WithPolicy


def used(model: nn.Module) -> nn.Module:
    """The model in evaluation mode, its normalisations with statistics and weights unlike the initial ones."""
    generator = torch.Generator().manual_seed(0)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d) and module.running_mean is not None:
            for values in (module.running_mean, module.weight.data, module.bias.data):
                values.add_(0.3 * torch.randn(values.shape, generator=generator))
            module.running_var.mul_(0.5 + torch.rand(module.running_var.shape, generator=generator))
    return model.eval().requires_grad_(False)


def normalisations(model: nn.Module) -> int:
    return sum(isinstance(module, nn.BatchNorm2d) for module in model.modules())


@pytest.mark.parametrize(("arch", "left"), [("resnet20", 0), ("sdnet20", 1)])
def test_a_folded_network_gives_the_same_logits(arch, left):
    model, images = used(zoo.build_model(arch, width=4)), torch.rand(3, 3, 32, 32)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    twin, low = folded(model, lambda: model(images[:1]))
    assert normalisations(twin) == normalisations(low) == left  # a sparse stem rectifies in between
    wanted = model(images)
    assert torch.allclose(twin(images), wanted, rtol=0, atol=1e-5 * float(wanted.abs().max()))
    with torch.autocast("cpu", torch.bfloat16):
        error = (low(images) - wanted).abs().amax()
    assert 0 < error < 0.05 * float(wanted.abs().max())
    assert twin.linear.weight is low.linear.weight is model.linear.weight
    after = model.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert not any(module._forward_hooks for module in model.modules())


def test_lambda_reaches_the_folded_network():
    model, images = used(zoo.build_model("sdnet20", width=4)), torch.rand(3, 3, 32, 32)
    deployed = WithPolicy(model, Fixed(0.8)).eval()
    twin, _ = folded(deployed, lambda: deployed(images[:1]))
    assert normalisations(twin) == 1
    assert torch.allclose(twin(images), deployed(images), atol=1e-5)
    assert not torch.allclose(twin(images), model(images), atol=1e-3)


@pytest.mark.parametrize("untracked", [False, True])
def test_a_normalisation_by_the_batch_is_not_folded(untracked):
    model, images = convolutional(), torch.rand(4, 1, 8, 8)
    model[1] = nn.BatchNorm2d(8, track_running_stats=not untracked)
    used(model)[1].train(not untracked)
    twin, _ = folded(model, lambda: model(images))
    assert normalisations(twin) == 1
    assert torch.allclose(twin(images), model(images), atol=1e-5)


class Twice(nn.Module):
    """Reads the convolution behind the normalisation's back."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.norm, self.head = nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 3)

    def forward(self, images):
        features = self.body(images)
        return self.head((features + self.norm(features)).mean((2, 3)))


def test_a_copy_with_other_logits_is_not_used():
    model, images = used(Twice()), torch.rand(4, 1, 8, 8)
    assert not torch.allclose(folded(model, lambda: model(images[:1]))[0](images), model(images), atol=1e-3)
    passes = Passes(model, 4)
    passes.fold(images, model(images))
    assert not passes.approximate


def test_a_copy_with_the_same_logits_is_used():
    model, images = used(convolutional()), torch.rand(4, 1, 8, 8)
    passes = Passes(model, 4)
    passes.fold(images, model(images))
    assert passes.approximate


class Counted(nn.Module):
    """Counts the images that pass through it, and through its copies."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[int] = []

    def forward(self, images):
        self.seen.append(len(images))
        return images


@pytest.mark.usefixtures("attack_alone")
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_what_making_and_trying_a_copy_costs_is_counted(precision):
    counted = Counted()
    model = nn.Sequential(counted, used(convolutional())).eval()
    images, labels = torch.rand(6, 1, 8, 8), torch.zeros(6, dtype=torch.int64)
    asked = {"eps": 0.01, "steps": 10, "precision": precision, "early_stop": False}
    attacks.pgd(model, images, labels, **asked)  # tries which layout suits the model, once
    counted.seen.clear()
    found = attacks.pgd(model, images, labels, **asked)
    assert found.forwards == sum(counted.seen) > 6 * 12


def test_folded_weights_lie_as_the_images_do_that_they_meet_and_the_model_s_as_before():
    model, images = used(zoo.build_model("resnet20", width=4)), torch.rand(3, 3, 8, 8)
    last = torch.channels_last
    twin, low = folded(model, lambda: model(images[:1]), (torch.contiguous_format, last))
    found = [
        {module.weight.is_contiguous(memory_format=last) for module in net.modules() if _wide(module)}
        for net in (model, twin, low)
    ]
    assert found == [{False}, {False}, {True}]


class Made(TorchDispatchMode):
    """The names of the operations that write a tensor of their own."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        found = func(*args, **(kwargs or {}))
        if not func.is_view:
            self.names.append(func.name())
        return found


def test_a_full_batch_is_copied_once_into_the_layout_of_the_model():
    model, images = used(zoo.build_model("resnet20", width=4)), torch.rand(42, 3, 8, 8)
    passes, made, given = Passes(model), Made(), []
    model.register_forward_pre_hook(lambda _, inputs: given.append((inputs[0], [*made.names])))
    with made:
        passes.exact(images)
    passes.exact(images[:41])
    (batch, names), (few, _) = given
    assert names == ["aten::clone"]
    assert batch.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(batch, images)
    assert torch.equal(few, torch.cat([images[:41], images[:1]]))
    assert few.stride() == batch.stride()


def _wide(module: nn.Module) -> bool:
    """A convolution of several channels and pixels, whose layouts differ."""
    return isinstance(module, nn.Conv2d) and module.weight.shape[2] > 1


class Particular(nn.Module):
    """Calls its parts in a way of its own: by keyword, outside autocast, or asking which parts it has."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.body, self.norm, self.head, self.way = (
            nn.Conv2d(1, 4, 3),
            nn.BatchNorm2d(4),
            nn.Linear(4, 3),
            way,
        )
        self.parts = (self.body,)

    def forward(self, images):
        if self.way == "keyword":
            features = self.norm(input=self.body(images))
        elif self.way == "key":
            features = self.norm(self.body(images)) * {self.parts[0]: 2.0}[self.body]
        elif self.way == "attribute":
            features = self.norm(self.body(images)) * (self.norm.num_features / 4)
        else:
            with torch.autocast("cpu", enabled=False):
                features = self.norm(self.body(images.float()))
        return self.head(features.relu().mean((2, 3)))


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("way", ["keyword", "key", "attribute", "outside autocast"])
def test_models_that_a_copy_cannot_stand_for_are_attacked_themselves(way, precision):
    model, images = used(Particular(way)), torch.rand(6, 1, 8, 8)
    labels = model(images).argmax(1)
    result = attacks.pgd(model, images, labels, eps=0.3, steps=20, precision=precision)
    assert torch.equal(result.robust, model(result.images).argmax(1) == labels)


def test_what_others_have_changed_is_left_alone():
    images = torch.rand(1, 1, 8, 8)
    shared = nn.Conv2d(1, 1, 3, padding=1)
    hooked = used(convolutional())
    hooked[0].register_forward_hook(lambda module, inputs, output: 2 * output)
    batchwise = used(nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3, track_running_stats=False)))
    repeated = used(nn.Sequential(shared, nn.BatchNorm2d(1), shared, nn.BatchNorm2d(1)))
    assert folded(repeated, lambda: repeated(images)) is None
    assert (
        normalisations(folded(hooked, lambda: hooked(images))[0]) == 1
    )  # the second one has no hook before it
    assert folded(batchwise, lambda: batchwise(images)) is None
    assert not foldable(nn.Sequential(nn.Conv2d(1, 3, 3)))
    assert not foldable(lambda images: images)


def test_successes_of_a_folded_search_are_the_models(hardened, monkeypatch):
    model, images, labels = hardened
    monkeypatch.setattr("robustbench_sdnet.attacks.engine.passes.AGREEMENT", torch.inf)

    def misled(model, run, layouts):
        other = nn.Sequential(convolutional(), nn.Softmax(1)).eval()
        return other, other

    monkeypatch.setattr("robustbench_sdnet.attacks.engine.passes.folded", misled)
    result = attacks.pgd(model, images[:100], labels[:100], eps=0.15, precision="float32")
    right = model(result.images).argmax(1) == labels[:100]
    assert torch.equal(result.robust, result.clean & right)
    assert torch.allclose(result.margin, margin(model(result.images), labels[:100]), atol=1e-4)


@pytest.mark.parametrize("early_stop", [False, True])
def test_successes_in_bfloat16_alone_are_none_of_a_model_that_does_not_fold(early_stop):
    """In bfloat16 a sum of 1.9955 is 1.9922, on the other side of 1.994."""

    def model(images):
        score = (images.flatten(1) @ torch.ones(4, 1)).float() - 1.994
        return torch.cat([score, -score], 1)

    images, labels = torch.full((2, 1, 2, 2), 1.9955 / 4), torch.zeros(2, dtype=torch.int64)
    asked = {"eps": 1e-4, "steps": 3, "precision": "bfloat16", "early_stop": early_stop}
    with torch.autocast("cpu", torch.bfloat16):
        assert bool((margin(model(images), labels) < 0).all())
    result = attacks.pgd(model, images, labels, **asked)
    assert result.robust.all()
    assert torch.equal(result.margin, margin(model(result.images), labels))


def test_square_searches_in_full_precision(hardened):
    model, images, labels = hardened
    low, full = (
        attacks.square(model, images[:60], labels[:60], eps=0.1, steps=200, precision=precision)
        for precision in ("bfloat16", "float32")
    )
    assert torch.equal(low.images, full.images)
    assert low.forwards == full.forwards


class OwnNew(nn.Module):
    """Cannot be made without an argument, and changes no more once it is made."""

    def __new__(cls, inner: nn.Module) -> OwnNew:
        return super().__new__(cls)

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner
        self.done = True

    def __setattr__(self, name: str, value: object) -> None:
        if "done" in self.__dict__ and name != "training":
            raise AttributeError(name)
        super().__setattr__(name, value)

    def forward(self, images):
        return self.inner(images)


def test_a_model_is_copied_without_its_own_ways_to_make_and_to_change_it():
    model, images = OwnNew(used(convolutional())), torch.rand(3, 1, 8, 8)
    twin, _ = folded(model, lambda: model(images))
    assert normalisations(twin) == 0
    assert torch.allclose(twin(images), model(images), atol=1e-5)
