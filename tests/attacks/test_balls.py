"""The geometry of each norm: projections against exact solvers, directions, starting points."""

from __future__ import annotations

import inspect
import math

import numpy as np
import pytest
import torch
from attack_networks import linear_problem
from scipy import stats

from robustbench_sdnet import attacks
from robustbench_sdnet.attacks.engine.balls import BALLS, ball
from robustbench_sdnet.draws import Draws
from robustbench_sdnet.errors import InputError
from robustbench_sdnet.specs import BUDGETED, NORMS


def nearest_in_l1(point, image, eps):
    """The same point by sorting: the shrinkage is where the piecewise linear sum of changes meets eps."""
    delta = point - image
    size, space = np.abs(delta), np.where(delta > 0, 1 - image, image)
    if np.minimum(size, space).sum() <= eps:
        return image + np.sign(delta) * np.minimum(size, space)
    knots = np.unique(np.concatenate([[0.0], size, np.maximum(size - space, 0)]))
    sums = np.array([np.minimum(np.maximum(size - knot, 0), space).sum() for knot in knots])
    right = int(np.argmax(sums <= eps))
    left = right - 1
    share = (sums[left] - eps) / (sums[left] - sums[right])
    shrinkage = knots[left] + share * (knots[right] - knots[left])
    return image + np.sign(delta) * np.minimum(np.maximum(size - shrinkage, 0), space)


def test_the_l1_projection_is_the_nearest_point_in_a_thousand_cases():
    generator = np.random.default_rng(0)
    worst = 0.0
    for case in range(1000):
        d = int(generator.integers(1, 60))
        image = generator.random(d)
        if case % 3 == 0:
            image = image.round()  # corners of the box, as saturated pixels are
        point = image + generator.normal(size=d) * generator.choice([0.01, 0.3, 3.0])
        if case % 5 == 0:
            point = image + (point - image).round(1)  # ties
        eps = float(generator.choice([0.01, 0.5, 3.0, 12.0]))
        shape = (1, 1, 1, d)
        found = BALLS["l1"].project(
            torch.from_numpy(point).reshape(shape), torch.from_numpy(image).reshape(shape), eps
        )
        worst = max(worst, float(np.abs(found.numpy().ravel() - nearest_in_l1(point, image, eps)).max()))
    assert worst < 1e-9


def test_the_l1_projection_is_no_farther_than_a_general_solver():
    from scipy.optimize import minimize

    generator = np.random.default_rng(1)
    for _ in range(5):
        image, point = generator.random(5), generator.normal(size=5)
        found = nearest_in_l1(point, image, 0.7)
        start = image + 0.01 * np.sign(point - image) * np.where(point > image, 1 - image, image)
        limit = {"type": "ineq", "fun": lambda z, image=image: 0.7 - np.abs(z - image).sum()}
        other = minimize(
            lambda z, point=point: ((z - point) ** 2).sum(),
            start,
            bounds=[(0, 1)] * 5,
            constraints=limit,
            method="SLSQP",
        )
        away = other.x - image  # beyond the ball by what the solver allows itself
        inside = image + away * min(1, 0.7 / np.abs(away).sum())
        assert ((found - point) ** 2).sum() <= ((inside - point) ** 2).sum() + 1e-12


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("norm", list(BALLS))
def test_projections_keep_the_dtype_and_end_inside(norm, dtype):
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(20, 3, 4, 4, generator=generator).to(dtype)
    points = images + torch.randn(images.shape, generator=generator).to(dtype)
    radii = torch.linspace(0.1, 4, 20)
    for eps in (1.0, radii):
        found = BALLS[norm].project(points, images, eps.to(dtype) if isinstance(eps, torch.Tensor) else eps)
        assert found.dtype == dtype
        assert float(found.min()) >= 0
        assert float(found.max()) <= 1
        lengths = BALLS[norm].lengths((found - images).double())
        rounding = 48 * torch.finfo(dtype).eps
        assert bool((lengths <= torch.as_tensor(eps).double() + rounding).all())
        again = BALLS[norm].project(found, images, eps)
        assert torch.allclose(again.float(), found.float(), atol=4 * torch.finfo(dtype).eps)


@pytest.mark.parametrize("norm", list(BALLS))
def test_points_well_inside_stay_to_the_bit(norm):
    images = torch.full((2, 1, 2, 2), 0.5)
    points = images + 0.25 * torch.eye(2)
    assert torch.equal(BALLS[norm].project(points, images, torch.tensor([2.0, 3.0])), points)


def test_the_l0_projection_keeps_the_pixels_that_matter_most():
    images = torch.full((1, 3, 1, 4), 0.5)
    delta = torch.tensor([[0.1, 0.0, 0.4, 9.0], [0.0, 0.2, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]]).reshape(
        1, 3, 1, 4
    )
    # Beyond the box pixel 3 can only move by 0.5, which still gains most: 9^2 - 8.5^2; pixel 2 gains 0.16.
    found = BALLS["l0"].project(images + delta, images, 2.0) - images
    assert torch.allclose(found[0, 0, 0], torch.tensor([0.0, 0.0, 0.4, 0.5]))
    assert not bool(found[0, 1:].any())


@pytest.mark.parametrize("gap", [0.5, 2.0, 9.0, 20.0, 1e3])  # some need the few steepest values, some all
def test_values_move_by_steepness_then_in_order(gap):
    generator = torch.Generator().manual_seed(0)
    points = torch.rand(6, 96, generator=generator, dtype=torch.float64)
    normals = torch.randn(6, 96, generator=generator, dtype=torch.float64).round()  # many ties
    found = BALLS["l1"].boundary(points, normals, torch.full((6,), gap, dtype=torch.float64))
    for x, w, d in zip(points.tolist(), normals.tolist(), found.tolist(), strict=True):
        left, wanted = gap, [0.0] * len(x)
        for place in sorted(range(len(x)), key=lambda i, w=w: -abs(w[i])):
            if w[place] and left > 0:
                move = min(left / abs(w[place]), 1 - x[place] if w[place] > 0 else x[place])
                wanted[place], left = math.copysign(move, w[place]), left - move * abs(w[place])
        assert d == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize("norm", BUDGETED)
def test_directions_and_random_points_have_their_length(norm):
    known, draws = BALLS[norm], Draws.of(0, "test", torch.arange(6))
    gradient = torch.randn(6, 3, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    middle = torch.full_like(gradient, 0.5)
    one = torch.ones(6, dtype=torch.float64)
    assert torch.allclose(known.lengths(known.steepest(gradient, middle)), one)
    # A confident model's gradients are as small: a step must not shrink with them.
    single = known.steepest((gradient * 1e-30).float(), middle.float())
    assert torch.allclose(known.lengths(single), one.float())
    assert not bool(known.steepest(torch.zeros_like(gradient), middle).any())
    assert torch.allclose(known.lengths(known.random_on_sphere(draws, middle, 0.3) - middle), 0.3 * one)
    assert bool((known.lengths(known.random_in_ball(draws, middle, 0.3, 4) - middle) <= 0.3 + 1e-9).all())
    assert bool((known.lengths(known.noise(draws, middle, 0.3, 1) - middle) <= 0.3 + 1e-9).all())


@pytest.mark.parametrize(("norm", "p"), [("l2", 2), ("l1", 1)])
def test_a_random_point_of_a_ball_has_a_uniform_radius_and_direction(norm, p):
    n = 4000
    middle, draws = torch.full((n, 1, 2, 2), 0.5, dtype=torch.float64), Draws.of(0, "test", torch.arange(n))
    delta = (BALLS[norm].random_in_ball(draws, middle, 0.1, 1) - middle).flatten(1)
    lengths = BALLS[norm].lengths(delta)
    assert stats.kstest(lengths / 0.1, "uniform").pvalue > 1e-3
    # |x|^p of four values that sum to 1 is Dirichlet: normal values in l2, exponential sizes in l1.
    shares = (delta.abs() / lengths[:, None]).T
    assert all(stats.kstest(share**p, "beta", (1 / p, 3 / p)).pvalue > 1e-3 for share in shares)
    assert float(delta.sign().mean(0).abs().max()) < 4 / n**0.5
    # How far it lies says nothing of where.
    found = torch.corrcoef(torch.cat([lengths[None], shares]))[0, 1:]
    assert float(found.abs().max()) < 4 / n**0.5


@pytest.mark.parametrize("drawn", ["random_in_ball", "noise"])
def test_random_points_in_linf_are_uniform_in_the_box(drawn):
    middle, draws = torch.full((500, 1, 2, 2), 0.5), Draws.of(0, "test", torch.arange(500))
    delta = getattr(BALLS["linf"], drawn)(draws, middle, 0.1, 1) - middle
    assert stats.kstest(delta.flatten() / 0.1, "uniform", (-1, 2)).pvalue > 1e-3


def test_a_random_point_of_the_linf_sphere_has_one_value_at_its_radius_and_all_others_uniform():
    n = 1000
    middle, draws = torch.full((n, 1, 2, 2), 0.5, dtype=torch.float64), Draws.of(0, "test", torch.arange(n))
    shares = (BALLS["linf"].random_on_sphere(draws, middle, 0.1, 1) - middle).flatten(1) / 0.1
    largest = shares.abs() > 1 - 1e-9
    assert largest.sum(1).tolist() == [1] * n
    assert stats.kstest(shares[~largest], "uniform", (-1, 2)).pvalue > 1e-3
    assert abs(float(shares[largest].mean())) < 4 / n**0.5


@pytest.mark.parametrize("eps", [0.3, 1.0])
def test_random_noise_in_l1_stays_in_its_ball_where_many_values_are_rounded(eps):
    generator = torch.Generator().manual_seed(0)
    images = 0.55 + 0.4 * torch.rand(20, 3, 32, 32, generator=generator)
    draws = Draws.of(0, "test", torch.arange(20))
    points = BALLS["l1"].noise(draws, images, eps, 0)
    BALLS["l1"].assert_inside(points, images, eps)
    assert float(BALLS["l1"].lengths(points - images).min()) >= 0.999 * eps


def test_steps_in_l1_leave_values_alone_that_cannot_move():
    images = torch.zeros(1, 1, 2, 2, dtype=torch.float64)
    gradient = torch.tensor([[[[-9.0, 5.0], [1.0, 0.0]]]], dtype=torch.float64)
    step = BALLS["l1"].steepest(gradient, images)
    assert step.flatten().tolist() == [0, 1, 0, 0], "the steepest value is at 0 already and wants to fall"


@pytest.mark.parametrize("name", ["pgd", "square", "autoattack"])
def test_an_unknown_norm_is_refused_with_those_that_are_known(name):
    images = torch.rand(2, 3, 4, 4)
    with pytest.raises(InputError, match=r"Unknown norm 'l3'.*Known: l1, l2, linf\."):
        getattr(attacks, name)(lambda x: x, images, torch.zeros(2, dtype=torch.int64), eps=0.1, norm="l3")
    with pytest.raises(InputError, match="Known: l0, l1, l2, linf"):
        ball("l3")
    with pytest.raises(InputError, match="l0 has no random direction"):
        BALLS["l0"].random_in_ball(Draws.of(0, "t", torch.arange(2)), images, 1.0)


def test_every_norm_has_a_ball_of_its_name():
    assert list(BALLS) == list(NORMS)
    assert all(known.name == name for name, known in BALLS.items())


def test_public_attacks_spell_out_their_options():
    found = inspect.signature(attacks.pgd).parameters
    defaults = {name: p.default for name, p in found.items() if p.kind == p.KEYWORD_ONLY}
    assert defaults.pop("eps") is inspect.Parameter.empty
    assert defaults == {
        "norm": "linf",
        "steps": 20,
        "step_size": None,
        "random_start": True,
        "restarts": 1,
        "eot": 1,
        "start": None,
        "early_stop": True,
        "precision": "auto",
        "seed": 0,
        "sample_ids": None,
        "batch_size": None,
        "answers": None,
        "protocol": "mean",
    }


def test_only_pgd_begins_at_given_points():
    images = torch.rand(2, 3, 4, 4)
    with pytest.raises(InputError, match=r"Attack square cannot begin at given points\. Known: pgd\."):
        attacks.run("square", lambda x: x, images, torch.zeros(2).long(), eps=0.1, start=images)


def test_pgd_begins_each_image_at_its_own_point_whatever_the_batch():
    eps = 0.02
    model, images, labels, _ = linear_problem(2, (1, 3, 3), 5, eps, "linf")
    start = images + eps * torch.linspace(-0.5, 0.5, 5, dtype=torch.float64).reshape(5, 1, 1, 1)
    options = {"eps": eps, "steps": 1, "early_stop": False, "batch_size": 2}
    found = attacks.pgd(model, images, labels, start=start, **options)
    up = (model.weight[1 - labels] - model.weight[labels]).sign().reshape(images.shape)
    assert torch.allclose(found.images, start + eps / 4 * up)


class Brightness(torch.nn.Module):
    """Two classes by the sum of all values: every value of a constant image moves alike, and rounds alike."""

    def forward(self, images):
        score = images.flatten(1).mean(1)
        return torch.stack([score, -score], dim=1)


@pytest.mark.parametrize(("norm", "first"), [("l2", 0.3), ("l1", 9.0)])
def test_equal_roundings_of_many_values_do_not_add_up_beyond_the_ball(norm, first):
    images, labels = torch.full((1, 3, 32, 32), 0.93), torch.zeros(1, dtype=torch.int64)
    for part in range(12):
        eps = first * (1 + part / 17)
        result = attacks.pgd(Brightness(), images, labels, eps=eps, norm=norm, steps=8, random_start=False)
        length = float(BALLS[norm].lengths((result.images - images).double()))
        assert eps - 1e-3 * first < length <= eps + 1e-6 * max(1, eps)
