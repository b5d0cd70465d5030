"""Models that draw random numbers: fresh draws on the final image decide, by closed forms."""

from __future__ import annotations

import warnings

import pytest
import torch
from scipy.stats import binom, norm
from torch import nn

from robustbench_sdnet import attacks
from robustbench_sdnet.attacks.engine.losses import margin
from robustbench_sdnet.errors import InputError, RandomWarning
from robustbench_sdnet.specs import Repeats

DRAWS = 11


class Flips(nn.Module):
    """Right by a margin of 2, whatever the image, but for a share of answers that are wrong by three times as much."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, images):
        score = torch.where(torch.rand(len(images)) < self.share, -3.0, 1.0) + 1e-6 * images.flatten(1).mean(
            1
        )
        return torch.stack([score, -score], dim=1)


def flipping(share, name="pgd", n=400, protocol="mean", **params):
    torch.manual_seed(0)
    images, labels = torch.full((n, 1, 2, 2), 0.5), torch.zeros(n, dtype=torch.int64)
    return attacks.run(
        name,
        Flips(share),
        images,
        labels,
        eps=0.1,
        params=params,
        answers=DRAWS,
        protocol=protocol,
        batch_size=n,
    )


@pytest.mark.parametrize("name", ["pgd", "apgd-ce", "square", "foolbox:LinfPGD", "torchattacks:PGD"])
def test_lucky_draws_of_a_search_do_not_lower_the_mean(name):
    """The image changes nothing, so that accuracy is 70 %, though nearly every search sees a wrong answer."""
    steps = {} if ":" in name else {"steps": 5}
    result = flipping(0.3, name, **steps)
    spread = (0.3 * 0.7 / (400 * DRAWS)) ** 0.5
    assert abs(result.robust_accuracy - 0.7) < 4 * spread
    assert abs(result.clean_accuracy - 0.7) < 4 * spread
    assert result.extra["hits"].shape == (400,)
    # The counts are binomial, as those of fresh draws are.
    assert abs(float(result.extra["hits"].double().var()) - DRAWS * 0.3 * 0.7) < 0.5


@pytest.mark.parametrize("name", ["fgsm", "square", "lean", "foolbox:LinfFastGradientAttack"])
def test_single_answers_of_such_a_model_are_warned_of_once(name):
    """Any lucky draw of a search breaks an image, though most answers to it are right."""
    plain = nn.Sequential(nn.Flatten(), nn.Linear(4, 2)).eval()
    images, labels = torch.full((6, 1, 2, 2), 0.45), torch.zeros(6, dtype=torch.int64)
    params = {"steps": 3} if name == "square" else {}
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        attacks.run(name, Bright(), images, labels, eps=0.1, params=params)
        attacks.run(name, Bright(), images, labels, eps=0.1, params=params, answers=3)
        attacks.run(name, plain, images, labels, eps=0.1, params=params)
        attacks.run(name, Bright(), images[:0], labels[:0], eps=0.1, params=params)
    (line,) = (one for one in said if one.category is RandomWarning)
    assert "Give answers=11" in str(line.message)
    assert line.filename == __file__


def test_majority_and_any_follow_the_binomial():
    majority = flipping(0.3, protocol="majority", steps=1)
    expected = binom.sf(DRAWS // 2, DRAWS, 0.7)  # 0.922, clean
    assert abs(majority.clean_accuracy - expected) < 4 * (expected * (1 - expected) / 400) ** 0.5
    assert abs(majority.robust_accuracy - expected) < 4 * (expected * (1 - expected) / 400) ** 0.5
    assert bool((majority.margin[majority.robust] < 0).any()), (
        "the mean margin of most right answers may be wrong"
    )
    assert torch.equal(majority.broken_at == -1, majority.robust)
    assert bool((majority.robust & ~majority.clean).any()), "by other draws"
    any_wrong, expected = flipping(0.05, protocol="any", steps=1), 0.95**DRAWS  # 0.569
    assert any_wrong.backwards == 400, "attacked wherever any draw is right"
    for accuracy in (any_wrong.clean_accuracy, any_wrong.robust_accuracy):
        assert abs(accuracy - expected) < 4 * (expected * (1 - expected) / 400) ** 0.5


@pytest.mark.parametrize("name", ["pgd", "foolbox:LinfPGD"])
def test_no_answers_at_all_are_refused_by_every_attack(name):
    images, labels = torch.full((2, 1, 4, 4), 0.5), torch.zeros(2, dtype=torch.int64)
    with pytest.raises(InputError, match="0"):
        attacks.run(name, Bright(), images, labels, eps=0.1, answers=0)
    with pytest.raises(InputError, match="protocol='any' counts fresh answers, and there are none"):
        attacks.run(name, Bright(), images, labels, eps=0.1, protocol="any")


class NoisyWeights(nn.Module):
    """score = margin - (1 + sigma n) . (x - centre), n new in each answer: a gradient alone is mostly noise."""

    def __init__(self, values: int, eps: float, sigma: float) -> None:
        super().__init__()
        self.values, self.margin, self.sigma = values, values * eps / 2, sigma

    def forward(self, images):
        moved = images.flatten(1) - 0.5
        weights = 1 + self.sigma * torch.randn(moved.shape)
        score = self.margin - (weights * moved).sum(1)
        return torch.stack([score, -score], dim=1)


@pytest.mark.parametrize("name", ["pgd", "apgd-ce"])
def test_averaged_gradients_break_what_single_ones_do_not(name):
    values, eps, sigma = 400, 0.01, 10.0
    model = NoisyWeights(values, eps, sigma)
    images, labels = torch.full((30, 1, 20, 20), 0.5), torch.zeros(30, dtype=torch.int64)

    def accuracy(eot):
        torch.manual_seed(0)
        params = {"steps": 10, "eot": eot}
        return attacks.run(name, model, images, labels, eps=eps, params=params, answers=DRAWS).robust_accuracy

    # All values moved by eps: score of mean values * eps / 2 - values * eps and spread sigma * eps * sqrt(values).
    best = float(norm.cdf(-values / 2 / (sigma * values**0.5)))  # 0.16
    assert accuracy(eot=200) < best + 0.12
    assert accuracy(eot=1) > best + 0.25


class Bright(nn.Module):
    """A noisy threshold on the brightness: Square sees the loss through noise alone."""

    def forward(self, images):
        score = 1 - 10 * (images.flatten(1).mean(1) - 0.5) + 2 * torch.randn(len(images))
        return torch.stack([score, -score], dim=1)


def test_square_averages_its_losses():
    images, labels = torch.full((40, 1, 4, 4), 0.5), torch.zeros(40, dtype=torch.int64)

    def accuracy(eot):
        torch.manual_seed(0)
        params = {"steps": 30, "eot": eot}
        return attacks.run("square", Bright(), images, labels, eps=0.3, params=params, answers=DRAWS)

    averaged, single = accuracy(20), accuracy(1)
    assert averaged.forwards > single.forwards
    best = float(norm.cdf((1 - 3) / 2))  # every pixel at + eps: 0.16
    assert best - 0.1 < averaged.robust_accuracy < single.robust_accuracy + 0.02
    assert averaged.robust_accuracy < best + 0.1
    assert abs(averaged.clean_accuracy - norm.cdf(1 / 2)) < 4 * (0.69 * 0.31 / (40 * DRAWS)) ** 0.5


class Misleading(nn.Module):
    """A noisy threshold on the brightness whose gradient points the wrong way: each step makes the image easier."""

    def forward(self, images):
        bright = images.flatten(1).mean(1) - 0.5
        score = 10 * (2 * bright.detach() - bright) + torch.randn(len(images))
        return torch.stack([score, -score], dim=1)


@pytest.mark.parametrize(("name", "early_stop"), [("fgsm", True), ("apgd-ce", False)])
def test_an_image_that_is_often_wrong_gets_no_better(name, early_stop):
    """Half of the draws are wrong on an image and 31 % at the end of the step, which looks broken that often."""
    torch.manual_seed(0)
    images, labels = torch.full((1000, 1, 4, 4), 0.5), torch.zeros(1000, dtype=torch.int64)
    asked = {"eps": 0.05, "answers": DRAWS, "batch_size": 1000, "early_stop": early_stop}
    params = {} if name == "fgsm" else {"steps": 1}
    result = attacks.run(name, Misleading(), images, labels, params=params, **asked)
    # Taking every end that looks broken would leave 0.31 * 0.69 + 0.69 * 0.5 = 0.56.
    assert abs(result.robust_accuracy - 0.5) < 4 * (0.25 / (1000 * DRAWS)) ** 0.5


def test_a_chain_counts_fresh_draws_on_its_final_images():
    torch.manual_seed(0)
    images, labels = torch.full((300, 1, 2, 2), 0.5), torch.zeros(300, dtype=torch.int64)
    result = attacks.autoattack(
        Flips(0.4), images, labels, eps=0.1, variant="rand", answers=DRAWS, batch_size=300
    )
    # The least of two stages' counts would be 0.52.
    assert abs(result.robust_accuracy - 0.6) < 4 * (0.24 / (300 * DRAWS)) ** 0.5
    assert bool((result.extra["stage"][result.robust] == -1).all())


def test_a_chain_goes_on_while_any_draw_is_right(monkeypatch):
    stages = (("noise", {"draws": 1}), ("noise", {"draws": 1}))
    monkeypatch.setattr("robustbench_sdnet.attacks.native.chain.chain", lambda name, params, norm: stages)
    torch.manual_seed(0)
    images, labels = torch.full((100, 1, 2, 2), 0.5), torch.zeros(100, dtype=torch.int64)
    asked = {"eps": 0.1, "answers": DRAWS, "protocol": "any", "batch_size": 100}
    alone = attacks.noise(Flips(0.5), images, labels, **asked)
    chained = attacks.lean(Flips(0.5), images, labels, **asked)
    # "any" leaves hardly one robust, but of nearly all some draws are right, so that the mean can fall further.
    assert alone.robust_accuracy < 0.05
    assert chained.forwards > 1.9 * alone.forwards


def test_a_deterministic_model_is_answered_as_without_draws(hardened):
    model, images, labels = hardened
    plain = attacks.pgd(model, images[:40], labels[:40], eps=0.15, precision="float32")
    drawn = attacks.pgd(model, images[:40], labels[:40], eps=0.15, precision="float32", answers=3)
    assert torch.equal(plain.robust, drawn.robust)
    assert torch.equal(drawn.extra["hits"], 3 * plain.robust.long())
    assert plain.repeats is None
    assert torch.equal(drawn.images[plain.robust], plain.images[plain.robust]), "those closest to breaking"
    with torch.no_grad():
        assert torch.allclose(drawn.margin, margin(model(drawn.images), labels[:40]), atol=1e-4), "their mean"


def test_what_a_count_means():
    hits = torch.tensor([0, 5, 6, 11])
    for protocol, right in (("mean", [0, 0, 1, 1]), ("majority", [0, 0, 1, 1]), ("any", [0, 0, 0, 1])):
        assert Repeats(11, protocol).right(hits).int().tolist() == right
    assert Repeats(11).credit(hits).tolist() == pytest.approx([0, 5 / 11, 6 / 11, 1])
    with pytest.raises(InputError, match=r"Unknown protocol 'men'. Did you mean 'mean'"):
        Repeats(11, "men")


@pytest.mark.parametrize("draws", [0, -1, 2.5, True, "3", 10_001])
def test_draws_that_cannot_be_are_one_line(draws):
    with pytest.raises(InputError, match="draws must be a whole number from 1 to 10,000, got"):
        Repeats(draws)
