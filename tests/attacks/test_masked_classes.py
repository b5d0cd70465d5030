"""Models that mask classes out with -1e9, as for a part of ImageNet: rounding is not measured by those."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from robustbench_sdnet import attacks
from robustbench_sdnet.attacks.engine.rounding import disagreement, size_of
from robustbench_sdnet.diagnostics import diagnose
from robustbench_sdnet.specs.models import same_answers
from robustbench_sdnet.zoo.others.fingerprint import fingerprint, repeatable

MASKS = (None, -1e4, -1e9)


class Masked(nn.Module):
    """A model with noise of its own, and behind its classes two that are masked out."""

    def __init__(self, inner: nn.Module, mask: float | None, noise: float = 0.0) -> None:
        super().__init__()
        self.inner, self.mask, self.noise = inner, mask, noise

    def forward(self, images: Tensor) -> Tensor:
        logits = self.inner(images)
        logits = logits + self.noise * torch.randn_like(logits) if self.noise else logits
        if self.mask is None:
            return logits
        return torch.cat([logits, logits.new_full((len(logits), 2), self.mask)], 1)


class Twice(nn.Module):
    """Reads its convolution twice, so that a copy with folded normalisation answers otherwise."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.convolution, self.norm = nn.Conv2d(3, 12, 3, 2, 1), nn.BatchNorm2d(12)
        self.first, self.second = nn.Linear(12 * 64, 10), nn.Linear(12 * 64, 10)
        with torch.no_grad():
            self.norm.running_mean.uniform_(-0.5, 0.5)
            self.norm.running_var.uniform_(0.02, 0.2)
            self.norm.weight.uniform_(-2, 2)

    def forward(self, images: Tensor) -> Tensor:
        found = self.convolution(images - 0.5)
        normed = torch.relu(self.norm(found)).flatten(1)
        return 5 * self.first(normed) - 15 * self.second(torch.tanh(3 * found).flatten(1))


@pytest.fixture
def images() -> Tensor:
    return torch.rand((40, 3, 16, 16), generator=torch.Generator().manual_seed(5))


def test_a_folded_copy_that_answers_otherwise_is_not_searched_in(images: Tensor) -> None:
    labels = Twice().eval()(images).argmax(1)
    found = [attacks.pgd(Masked(Twice(), mask).eval(), images, labels, eps=0.012, steps=20) for mask in MASKS]
    assert [one.robust_accuracy for one in found] == [found[0].robust_accuracy] * len(MASKS)
    assert found[0].robust_accuracy < 0.5, "which the copy would miss"


@pytest.mark.parametrize("name", ["pgd", "square", "lean"])
def test_steps_and_passes_are_those_without_masks(name: str, images: Tensor) -> None:
    labels = Twice().eval()(images).argmax(1)
    attack = getattr(attacks, name)
    steps = {} if name == "lean" else {"steps": 20}
    bare, *masked = (
        attack(Masked(Twice(), mask).eval(), images, labels, eps=0.03, **steps) for mask in MASKS
    )
    for one in masked:
        assert torch.equal(one.broken_at, bare.broken_at)
        assert (one.forwards, one.backwards) == (bare.forwards, bare.backwards)


def test_accuracies_of_randomised_models_are_those_without_masks(images: Tensor) -> None:
    labels = Twice().eval()(images).argmax(1)
    found = []
    for mask in MASKS:
        torch.manual_seed(0)
        model = Masked(Twice(), mask, noise=1.0).eval()
        asked = {"eps": 0.004, "steps": 10, "answers": 10, "protocol": "mean"}
        found.append(attacks.pgd(model, images, labels, **asked).robust_accuracy)
    assert found == [found[0]] * len(MASKS)


def test_models_are_told_apart_and_noise_is_seen_behind_masks() -> None:
    size = (16, 16)
    (one, _), (other, _) = (fingerprint(Masked(Twice(seed), -1e9).eval(), size) for seed in (0, 1))
    assert same_answers(one, one)
    assert not same_answers(one, other)
    noisy = Masked(Twice(), -1e9, noise=0.2).eval()
    assert fingerprint(noisy, size) == ((), True)
    assert repeatable(noisy, size)


def test_the_diagnostic_of_randomness_sees_noise_behind_masks(images: Tensor) -> None:
    labels = Twice().eval()(images).argmax(1)
    for noise, verdict in ((0.0, "pass"), (0.2, "fail")):
        model = Masked(Twice(), -1e9, noise).eval()
        found = {one.check: one for one in diagnose(model, images[:8], labels[:8], eps=0.01, cheap=True)}
        assert found["randomised"].verdict == verdict


def test_sizes_leave_masks_alone_and_take_all_else() -> None:
    logits = torch.tensor([[3.0, -8.0, 1.0], [3.0, -1e9, 1.0], [0.0, 0.0, 0.0]])
    assert size_of(logits).tolist() == [8.0, 3.0, 0.0]
    other = logits + torch.tensor([[0.0, 0.8, 0.0], [0.0, 64.0, 0.3], [0.0, 0.0, 0.0]])
    assert disagreement(logits, other) == pytest.approx(0.1)
    assert disagreement(logits[2:], other[2:]) == 0
    assert disagreement(logits[:1], other[:1], least=16.0) == pytest.approx(0.05)
    assert size_of(logits[:, :1]).tolist() == [3.0, 3.0, 0.0], "of one class alone"


def test_a_class_is_masked_out_from_a_hundred_times_the_two_largest_logits_on() -> None:
    # Of the third, the largest is small by chance, and the second says how large logits are.
    logits = torch.tensor([[1.0, 0.5, -100.0], [1.0, 0.5, -101.0], [0.01, -8.0, -9.0]])
    assert size_of(logits).tolist() == [100.0, 1.0, 9.0]
