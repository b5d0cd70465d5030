"""A sweep gives what single passes give, shares work, and leaves the model alone."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch

from robustbench_sdnet.errors import InputError
from robustbench_sdnet.lambdas import sweep_lambdas
from robustbench_sdnet.lambdas.sweep import stem_of
from robustbench_sdnet.zoo import build_model, csc_layers, residuals, use_lambda
from robustbench_sdnet.zoo.nets.csc import csc2d

LAMBDAS = (0.0, 0.1, 0.5, 1.4)


def at(model, images, lam, scope="stem"):
    with use_lambda(model, lam, scope=scope):
        return model(images)


@pytest.mark.parametrize("scope", ["stem", "all"])
def test_a_sweep_agrees_with_single_passes(model, images, scope):
    swept = list(sweep_lambdas(model, images, LAMBDAS, scope=scope))
    for lam, logits in zip(LAMBDAS, swept, strict=True):
        torch.testing.assert_close(logits, at(model, images, lam, scope), rtol=1e-4, atol=1e-5)
    assert (swept[0] - swept[-1]).abs().max() > 1e-3


def test_a_lambda_a_sample(model, images):
    lam = torch.linspace(0, 1, len(images))
    (logits,) = sweep_lambdas(model, images, [lam])
    torch.testing.assert_close(logits, at(model, images, lam), rtol=1e-4, atol=1e-5)


def test_a_lambda_alone_is_one(model, images):
    for lam in (0.5, "0.5"):
        (logits,) = sweep_lambdas(model, images, lam)
        torch.testing.assert_close(logits, at(model, images, 0.5), rtol=1e-4, atol=1e-5)


def test_logits_do_not_depend_on_the_other_lambdas(model, images):
    together = list(sweep_lambdas(model, images, LAMBDAS))
    for lam, logits in zip(LAMBDAS, together, strict=True):
        assert torch.equal(next(sweep_lambdas(model, images, [lam])), logits)


@pytest.mark.parametrize(
    "coding",
    [
        *(
            {"n_steps": 1},
            {"n_steps": 3},
            {"n_steps": 4},
            {"mu": 0.3},
            {"n_dict": 2},
            {"non_negative": False},
        ),
        *({"square_noise": False}, {"rescale_lambda": True}),
    ],
)
def test_every_way_of_coding_can_be_swept(images, coding):
    other = build_model("sdnet20", width=4, input_size=8, **coding).eval()
    with torch.no_grad():
        for lam, logits in zip(LAMBDAS, sweep_lambdas(other, images, LAMBDAS), strict=True):
            torch.testing.assert_close(logits, at(other, images, lam), rtol=1e-4, atol=1e-5)


def test_a_stem_in_training_mode_codes_with_the_step_of_training(model, images):
    stem = stem_of(deepcopy(model), images)
    stem.layer.train().step_size.fill_(0.01)  # training finds its own
    twin = deepcopy(stem.layer)
    for code in stem.codes([0.5, 0.5]):
        with use_lambda(twin, 0.5):
            torch.testing.assert_close(code, twin(stem.x))


def test_the_analysis_is_computed_once(model, images, monkeypatch):
    stem = stem_of(model, images)
    calls = []
    original = type(stem.layer.operator).analyse

    def counted(self, *arguments):
        calls.append(1)
        return original(self, *arguments)

    monkeypatch.setattr(type(stem.layer.operator), "analyse", counted)
    list(stem.codes(LAMBDAS))
    # One analysis of the images, and one of the synthesis for each lambda's second step.
    assert len(calls) == 1 + len(LAMBDAS)


def test_residuals_agree_with_the_model(model, images):
    stem = stem_of(model, images)
    for lam, energy in zip(LAMBDAS, stem.residuals(LAMBDAS), strict=True):
        with use_lambda(model, lam):
            torch.testing.assert_close(energy, residuals(model, images), rtol=1e-4, atol=1e-4)


def test_the_model_is_left_alone_even_when_a_sweep_is_abandoned(model, images):
    before = model(images)
    swept = sweep_lambdas(model, images, LAMBDAS)
    next(swept)
    assert torch.equal(model(images), before)
    assert "forward" not in vars(csc_layers(model)[0])


def test_what_cannot_be_swept(model, images):
    with pytest.raises(InputError, match="no sparse coding stem"):
        next(sweep_lambdas(build_model("resnet20", width=4, input_size=8).eval(), images, [0.1]))
    with pytest.raises(InputError, match="not negative"):
        list(sweep_lambdas(model, images, [-0.1]))
    with pytest.raises(InputError, match="scope"):
        list(sweep_lambdas(model, images, [0.1], scope="head"))
    for count in (1, len(images) + 1):
        with pytest.raises(InputError, match="needs one value per image"):
            list(sweep_lambdas(model, images, [torch.full((count,), 0.1)]))


class _Inverted(torch.nn.Module):
    """One of our models behind a step of its own: what the stem sees is not what the model is given."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, images):
        return self.inner(1 - images)


class _Twice(_Inverted):
    """One whose stem sees the images, then their mirror images."""

    def forward(self, images):
        return self.inner(images) + self.inner(images.flip(3))


@pytest.mark.parametrize("wrap", [_Inverted, _Twice, torch.nn.Sequential])
def test_a_model_around_ours_is_swept_as_it_answers(wrap):
    torch.manual_seed(0)
    inner = build_model("sdnet20", width=4, num_classes=3, input_size=8).eval().requires_grad_(False)
    model = wrap(inner)
    images = torch.rand(4, 3, 8, 8)
    for lam, found in zip((0.1, 0.5), sweep_lambdas(model, images, (0.1, 0.5)), strict=True):
        with use_lambda(model, lam):
            assert torch.equal(found, model(images))
    given = 1 - images if wrap is _Inverted else images
    assert torch.allclose(stem_of(model, images).x, inner.normalise(given))


def test_residuals_of_repeated_dictionaries_are_those_of_the_layer():
    model = (
        build_model("sdnet20", width=4, num_classes=3, input_size=8, n_dict=2).eval().requires_grad_(False)
    )
    images = torch.rand(4, 3, 8, 8)
    (found,) = stem_of(model, images).residuals([0.1])
    assert torch.allclose(found, residuals(model, images), rtol=1e-5)


def test_a_stem_that_never_ran_codes_with_its_own_step_size():
    """Its step size is computed at the first use: that of a sweep is one."""
    torch.manual_seed(0)
    stem = csc2d(3, 8, size=(8, 8)).eval().requires_grad_(False)
    images = torch.rand(4, 3, 8, 8)
    (first,) = stem_of(stem, images).residuals([0.1])
    stem(images)
    (second,) = stem_of(stem, images).residuals([0.1])
    assert torch.equal(first, second)
    torch.testing.assert_close(first, residuals(stem, images))
