"""What stands around other people's models: images are theirs to change, and the input they expect is judged."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from robustbench_sdnet.errors import ModelError
from robustbench_sdnet.zoo import build_model, check_input
from robustbench_sdnet.zoo.others import guard
from robustbench_sdnet.zoo.others.guard import External


def test_a_model_takes_images_in_the_type_that_its_weights_were_given() -> None:
    model = External(nn.Sequential(nn.Flatten(), nn.Linear(12, 3)), "own")
    for kind in (torch.float64, torch.float32):
        logits = model.to(kind)(torch.rand(2, 3, 2, 2))
        assert logits.dtype == kind


@pytest.mark.parametrize(
    ("kinds", "wanted"),
    [
        ((torch.float64, torch.float32), torch.float64),
        ((torch.float32, torch.bfloat16), None),
        ((torch.bfloat16, torch.bfloat16), torch.bfloat16),
    ],
)
def test_the_type_of_images_follows_that_of_all_weights(kinds, wanted) -> None:
    model = nn.ModuleList(nn.Linear(2, 2).to(kind) for kind in kinds)
    assert External(model, "own").dtype == wanted


def test_a_model_that_changes_its_images_in_place_changes_its_own_copy() -> None:
    class InPlace(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return images.sub_(0.5).mean((2, 3))

    images = torch.rand(2, 3, 4, 4)
    before, wanted = images.clone(), images.mean((2, 3)) - 0.5
    asked = images.requires_grad_()
    logits = External(InPlace(), "own")(asked)
    (gradient,) = torch.autograd.grad(logits.sum(), asked)
    assert torch.equal(images, before)
    assert torch.allclose(logits, wanted)
    assert torch.allclose(gradient, torch.full_like(before, 1 / 16))


@pytest.mark.parametrize("end", [-0.002, 1.002])
def test_images_lie_in_their_range_within_a_thousandth(end: float) -> None:
    images = torch.full((2, 3, 2, 2), 0.5)
    images[1, 0, 0, 0] = 0.5 + (end - 0.5) * 0.997  # rounding of what prepared them
    asked = External(nn.Flatten(), "own")
    asked(images)
    images[1, 0, 0, 0] = end
    with pytest.raises(ModelError, match=r"'own' takes images in \[0, 1\], got values from"):
        External(nn.Flatten(), "own")(images)
    asked = External(nn.Flatten(), "own")
    asked(images[:0])  # shows nothing of them
    with pytest.raises(ModelError, match=r"'own' takes images in \[0, 1\]"):
        asked(images)


WITHOUT = "from a file without normalise.mean and normalise.std."


def remembering(images: Tensor) -> nn.Module:
    """A layer whose statistics are those of these images."""
    layer = nn.Sequential(nn.BatchNorm2d(3, momentum=None))
    layer.train()(images)
    return layer.eval()


def test_the_input_is_judged_by_the_first_batch_norm() -> None:
    torch.manual_seed(0)
    images = (0.47 + 0.2 * torch.randn(64, 3, 8, 8)).clamp(0, 1)
    model = build_model("resnet20", width=4, input_size=8)
    with torch.no_grad():
        for _ in range(60):  # until the running statistics are those of these images
            model.train()(images)
    assert check_input(model.eval(), images) is None
    bare = build_model("resnet20", width=4, input_size=8, mean=(0, 0, 0), std=(1, 1, 1)).eval()
    bare.load_state_dict({k: v for k, v in model.state_dict().items() if "normalise" not in k}, strict=False)
    mean, std = "0.4914,0.4822,0.4465", "0.2023,0.1994,0.201"
    for lacking, remedy in (
        (bare, f"Import it again with --mean {mean} --std {std}, into another --output, {WITHOUT}"),
        (nn.Sequential(bare), "Check the mean and std of the model's own normalisation."),
        (
            remembering(model.normalise(images)),
            f"Add '?mean={mean}&std={std}' to the model's name, in quotes.",
        ),
    ):
        found = str(check_input(lacking, images))
        assert "the model lacks its normalisation" in found
        assert found.endswith(remedy)
    twice = nn.Sequential(model.normalise, model).eval()
    assert "it normalises twice). Remove one of the two" in str(check_input(twice, images))
    plain = build_model("resnet20", width=4, input_size=8, mean=(0, 0, 0), std=(1, 1, 1))
    with torch.no_grad():
        for _ in range(60):
            plain.train()(images)
    normalised = build_model("resnet20", width=4, input_size=8).eval()
    normalised.load_state_dict(
        {k: v for k, v in plain.state_dict().items() if "normalise" not in k}, strict=False
    )
    said = str(check_input(normalised, images))
    assert said.endswith("Import it again with --mean 0,0,0 --std 1,1,1, into another --output, " + WITHOUT)
    scaled = remembering(255 * images)
    assert str(check_input(scaled, images)).endswith(
        "Add '?mean=0&std=0.00392157' to the model's name, in quotes."
    )
    assert check_input(External(scaled, "bytes", (0.0,), (0.00392157,)), images) is None
    wrong = External(bare, "wrong", (0.0,), (2.0,))
    assert str(check_input(wrong, images)).endswith("Check the mean and std that were given.")
    assert check_input(nn.Flatten(), images) is None


def test_a_network_of_ours_whose_normalisation_was_taken_out_is_told_like_any_other() -> None:
    torch.manual_seed(0)
    images = torch.rand(64, 3, 8, 8) * torch.tensor([1.0, 0.8, 0.6])[:, None, None]
    model = build_model("resnet20", width=4, input_size=8)
    with torch.no_grad():
        for _ in range(60):
            model.train()(images)
    model.normalise = nn.Identity()
    remedy = "Add '?mean=0.4914,0.4822,0.4465&std=0.2023,0.1994,0.201' to the model's name, in quotes."
    assert str(check_input(model.eval(), images)).endswith(remedy)


class Centred(nn.Module):
    """Undoes the scaling to [-1, 1]."""

    def forward(self, images: Tensor) -> Tensor:
        return (images + 1) / 2


def test_a_model_of_images_from_minus_1_to_1_is_told_apart_and_its_remedy_mends_it() -> None:
    torch.manual_seed(0)
    images = torch.rand(64, 3, 8, 8) * torch.tensor([1.0, 0.8, 0.6])[:, None, None]
    norm = nn.BatchNorm2d(3, momentum=1.0)
    norm(images)
    model = nn.Sequential(Centred(), norm).eval()
    found = str(check_input(model, images))
    assert (
        "when images are scaled to [-1, 1]. Add '?mean=0.5&std=0.5' to the model's name, in quotes." in found
    )
    assert check_input(External(model, "own", (0.5,), (0.5,)), images) is None


@pytest.mark.parametrize(
    ("as_is", "best", "told"),
    [
        (0.45, 0.1, ""),
        (0.46, 0.1, "are 5 times nearer"),
        (0.05, 0.0, ""),
        (0.06, 0.0, "are 60000 times nearer"),
    ],
)
def test_another_input_is_named_where_it_comes_four_times_nearer(monkeypatch, as_is, best, told) -> None:
    images = torch.rand(4, 3, 8, 8)
    monkeypatch.setattr(guard, "_distance", lambda model, layer, seen: as_is if seen is images else best)
    found = check_input(nn.BatchNorm2d(3).eval(), images) or ""
    assert bool(found) == bool(told)
    assert told in found


@pytest.mark.parametrize(("batches", "judged"), [(0, True), (1, False), (28, False), (29, True)])
def test_statistics_that_begin_to_be_learned_judge_nothing(batches: int, judged: bool) -> None:
    """After 28 batches 5 % of them are still 0 and 1; without a count, as in files that lack it, they are taken."""
    norm = nn.BatchNorm2d(3).eval()
    norm.num_batches_tracked.fill_(batches)
    assert (check_input(norm, torch.rand(40, 3, 8, 8)) is not None) == judged


class Unreached(nn.Module):
    """What lies behind the first BatchNorm layer, or beside the way."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(3)

    def forward(self, images: Tensor) -> Tensor:
        raise AssertionError("it ran to the end")


def test_the_input_is_judged_without_running_the_whole_model() -> None:
    assert (
        check_input(nn.Sequential(nn.BatchNorm2d(3), Unreached()).eval(), torch.rand(40, 3, 8, 8)) is not None
    )
    aside = nn.Flatten()
    aside.norm = nn.BatchNorm2d(3)  # never called
    assert check_input(aside.eval(), torch.rand(40, 3, 8, 8)) is None
