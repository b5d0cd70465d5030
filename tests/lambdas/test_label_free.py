"""Lambda from the image alone: the noise estimate and each criterion, against closed forms."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from robustbench_sdnet.errors import InputError
from robustbench_sdnet.lambdas import LabelFree, Reference, reference, sweep_lambdas
from robustbench_sdnet.lambdas.label_free import _discrepancy, noise_variance
from robustbench_sdnet.lambdas.sweep import stem_of
from robustbench_sdnet.zoo import build_model, use_lambda
from robustbench_sdnet.zoo.nets.csc import csc1d, csc_linear


def noisy(images, sigma, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return (images + sigma * torch.randn(images.shape, generator=generator)).clamp(0, 1)


def test_noise_variance_of_white_noise_is_its_variance():
    # 64 images of 3 x 32 x 32 values: the relative error of the mean is about 1 %.
    x = 0.3 * torch.randn((64, 3, 32, 32), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert float(noise_variance(x).mean()) == pytest.approx(0.09, rel=0.03)
    unequal = x * x.new_tensor([1.0, 2.0, 3.0]).reshape(3, 1, 1)  # variances are averaged, not deviations
    assert float(noise_variance(unequal).mean()) == pytest.approx(0.09 * 14 / 3, rel=0.03)


def test_noise_of_images_too_small_for_the_filter_is_refused():
    for height, width in ((1, 2), (2, 3), (3, 2)):
        with pytest.raises(InputError, match=f"takes 3x3 pixels or more, got {height}x{width}"):
            noise_variance(torch.rand(2, 3, height, width))
    assert noise_variance(torch.rand(2, 3, 3, 3)).shape == (2,)


@pytest.mark.parametrize("criterion", ["noise", "discrepancy"])
@pytest.mark.parametrize(
    ("layer", "shape"), [(csc1d(2, 4, length=16), (5, 2, 16)), (csc_linear(5, 4), (5, 5))]
)
def test_noise_is_estimated_of_images_alone(criterion, layer, shape):
    with pytest.raises(InputError, match=r"from images \(n, c, h, w\), got .* Take label-free:entropy"):
        LabelFree(criterion)(layer.eval(), torch.rand(shape))


def test_noise_variance_does_not_see_ramps():
    ramp = torch.arange(8.0)[:, None] * 2 + torch.arange(8.0)
    assert float(noise_variance(ramp.expand(1, 3, 8, 8))) == pytest.approx(0, abs=1e-9)


def test_the_noise_criterion_is_the_universal_threshold(model, images):
    floor = reference(model, images)
    assert floor.variance == pytest.approx(float(noise_variance(stem_of(model, images).x).median()))
    assert reference(model, images, batch_size=7).variance == pytest.approx(floor.variance)
    x = noisy(images, 0.1)
    sigma = (noise_variance(stem_of(model, x).x) - floor.variance).clamp_min(1e-12).sqrt()
    expected = (sigma.square() * 2 * math.log(4) + 0.1**2).sqrt().clamp(max=1.4)  # 4 atoms, trained at 0.1
    torch.testing.assert_close(LabelFree("noise", reference=floor)(model, x), expected)
    doubled = ((2 * sigma).square() * 2 * math.log(4) + 0.1**2).sqrt().clamp(max=1.4)
    torch.testing.assert_close(LabelFree("noise", reference=floor, strength=2)(model, x), doubled)


@pytest.mark.parametrize("criterion", ["noise", "discrepancy"])
def test_more_noise_asks_for_a_larger_lambda(model, images, criterion):
    policy = LabelFree(criterion, reference=reference(model, images))
    means = [float(policy(model, noisy(images, sigma)).mean()) for sigma in (0.0, 0.1, 0.3)]
    assert means[0] < means[1] < means[2]


@pytest.mark.parametrize("strength", [1, 0.5])
def test_discrepancy_lets_the_residual_grow_by_the_noise_energy(model, images, strength):
    lambdas = tuple(round(0.1 + 0.005 * k, 3) for k in range(600))
    policy = LabelFree("discrepancy", lambdas=lambdas, strength=strength)
    x = noisy(images, 0.03)
    chosen = policy(model, x)
    stem = stem_of(model, x)
    before, after = (energy / stem.x[0].numel() for energy in stem.residuals([0.1, chosen]))
    inside = (chosen > 0.101) & (chosen < 3.0)
    assert inside.sum() > 5
    energy = strength * noise_variance(stem.x)
    torch.testing.assert_close((after - before)[inside], energy[inside], rtol=0.02, atol=1e-4)


def test_discrepancy_stops_where_the_residual_has_first_grown_by_the_noise_energy():
    # Growth of 0, 0.5, 0.2 and 1 at 0.1 to 0.4: 0.3 is first reached at 0.1 + 0.1 * 0.3 / 0.5, before the dip.
    energies = torch.tensor([[1.0], [1.5], [1.2], [2.0]])
    x = torch.zeros(1, 1, 1, 1)
    stem = SimpleNamespace(trained_lambda=0.1, x=x, residuals=lambda grid: energies)
    for variance, lam in (
        (0.3, 0.16),
        (0.75, 0.35),
        (9.0, 0.4),
    ):  # more noise than the last explains takes the last
        found = _discrepancy(stem, torch.tensor([variance]), (0.2, 0.3, 0.4))
        assert found.tolist() == pytest.approx([lam])


def test_discrepancy_without_noise_is_the_training_lambda(model, images):
    policy = LabelFree("discrepancy", reference=Reference(1e9))
    torch.testing.assert_close(policy(model, images), torch.full((len(images),), 0.1), rtol=0, atol=1e-3)


def test_entropy_takes_the_most_certain_prediction(model, images):
    lambdas = (0.1, 0.6, 1.2)
    chosen = LabelFree("entropy", lambdas=lambdas)(model, images)
    entropies = torch.stack(
        [torch.distributions.Categorical(logits=z).entropy() for z in sweep_lambdas(model, images, lambdas)]
    )
    expected = torch.tensor(lambdas)[entropies.argmin(0)]
    assert torch.equal(chosen, expected)


def test_entropy_tries_lambda_on_the_layers_it_will_be_set_on(every, images):
    entropies = []
    for lam in (0.1, 0.3):
        with use_lambda(every, lam, scope="all"):
            entropies.append(torch.distributions.Categorical(logits=every(images)).entropy())
    assert (entropies[1] < entropies[0] - 0.1).all()
    chosen = [
        LabelFree("entropy", lambdas=(0.1, 0.3), scope=scope)(every, images).tolist()
        for scope in ("all", "stem")
    ]
    assert chosen[0] == pytest.approx([0.3] * 24)
    assert chosen[1] != chosen[0]


@pytest.mark.parametrize("criterion", ["noise", "discrepancy"])
@pytest.mark.parametrize("trained", [1.4, 2.0])
def test_a_model_trained_beyond_all_candidates_keeps_its_lambda(images, criterion, trained):
    """Both criteria raise the training lambda: there is nothing to raise it to."""
    network = build_model("sdnet20", width=4, input_size=8, lam=trained).eval()
    chosen = LabelFree(criterion)(network, images)
    torch.testing.assert_close(chosen, torch.full((len(images),), trained))


def test_label_free_refuses_nonsense():
    with pytest.raises(InputError, match="Did you mean 'entropy'"):
        LabelFree("entropi")
    with pytest.raises(InputError, match="increasing numbers"):
        LabelFree("noise", lambdas=(0.5, 0.1))
    with pytest.raises(InputError, match="strength"):
        LabelFree("noise", strength=0.0)
    assert LabelFree("noise", strength="2") == LabelFree("noise", strength=2.0)
    assert (
        LabelFree("noise", strength=np.float32(2)).identity() == LabelFree("noise", strength=2.0).identity()
    )


def test_another_reference_strength_or_grid_is_another_policy():
    made = [{}, {"reference": Reference(0.1)}, {"strength": 2}, {"lambdas": (0.1, 0.2)}]
    assert len({LabelFree("noise", **given).identity() for given in made}) == 4
