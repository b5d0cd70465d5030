"""Pieces of APGD, FAB and AutoAttack against what their papers say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from attack_networks import convolutional, linear_problem
from scipy.optimize import linprog, minimize
from torch import nn

from robustbench_sdnet import attacks
from robustbench_sdnet.attacks.engine.balls import BALLS
from robustbench_sdnet.attacks.engine.losses import (
    dlr,
    margin,
    probability_weights,
    ranked_targets,
    targeted_dlr,
)
from robustbench_sdnet.attacks.engine.passes import Passes
from robustbench_sdnet.attacks.engine.result import AttackResult
from robustbench_sdnet.attacks.engine.search import Rows
from robustbench_sdnet.attacks.native.apgd_search import ApgdSearch, checkpoints
from robustbench_sdnet.attacks.native.chain import _merged, _recounted
from robustbench_sdnet.specs import Repeats


def test_apgd_checkpoints_are_those_of_the_paper():
    # p = 0, 0.22, then windows shrinking by 0.03 to 0.06: 0.41, 0.57, 0.70, 0.80, 0.87, 0.93, 0.99.
    assert checkpoints(100) == [0, 22, 41, 57, 70, 80, 87, 93, 99]


@pytest.mark.usefixtures("attack_alone")
def test_apgd_walks_as_the_published_algorithm_does():
    """One image at a time, in plain words, on a loss with many hills, where most windows end with a smaller step."""
    generator = torch.Generator().manual_seed(0)
    weights = torch.randn(12, 3, generator=generator, dtype=torch.float64)
    images = torch.rand(3, 1, 3, 4, generator=generator, dtype=torch.float64)
    labels, eps, steps, seen = torch.tensor([0, 1, 2]), 0.2, 60, []

    def model(x):
        seen.append(x.detach().clone())
        return torch.sin(25 * x.flatten(1)) @ weights

    attacks.apgd_ce(model, images, labels, eps=eps, steps=steps, early_stop=False, batch_size=1)
    # Passes before these are of the images themselves.
    walks = torch.cat(seen)[-3 * (steps + 1) :].reshape(3, steps + 1, 1, 3, 4)
    for walk, image, label in zip(walks, images, labels, strict=True):
        x = before = walk[0]
        best, size, losses, begun = (-torch.inf,), 2 * eps, [], 0
        for k, found in enumerate(walk):
            assert torch.allclose(x, found, atol=1e-9), k
            x.requires_grad_()
            loss = torch.nn.functional.cross_entropy(model(x[None]), label[None])
            (gradient,) = torch.autograd.grad(loss, x)
            x, loss = x.detach(), loss.item()
            losses.append(loss)
            best = (loss, x, gradient) if loss > best[0] else best
            if k and k in checkpoints(steps):
                rises = sum(losses[i + 1] > losses[i] for i in range(begun, k))
                if rises <= 0.75 * (k - begun):
                    size, (_, x, gradient) = size / 2, best
                begun = k
            step = _boxed(x + size * gradient.sign(), image, eps)
            share = 0.75 if k else 1
            x, before = _boxed(x + share * (step - x) + (1 - share) * (x - before), image, eps), x


def test_apgd_halves_its_steps_for_either_of_the_papers_reasons():
    """At step 57 a window of 16 ends, of which more than 12 must raise the loss; none ends at 56."""
    search = ApgdSearch(ball=BALLS["linf"], eps=0.1, seed=0, length=100, loss=dlr, stream="x")
    rows = [  # rises, halved at the last checkpoint, best loss there and now
        (12, True, 1.0, 2.0, 57, True),
        (13, False, 2.0, 2.0, 57, True),
        (13, True, 2.0, 2.0, 57, False),
        (13, False, 1.0, 2.0, 57, False),
        (0, False, 2.0, 2.0, 56, False),
    ]
    gains, halved, then, now, k, expected = map(torch.tensor, zip(*rows, strict=True))
    x, best = torch.zeros(5, 1, 1, 1), torch.ones(5, 1, 1, 1)
    state = {
        "gains": gains.float(), "halved": halved, "window_loss": then, "best_loss": now,
        "size": torch.full((5,), 0.2), "best": best, "best_gradient": 2 * best,
    }  # fmt: skip
    base, gradient = search._halve(state, x, -best, k)
    assert torch.equal(state["size"], torch.where(expected, 0.1, 0.2))
    assert torch.equal(base.flatten(), expected.float())
    assert torch.equal(gradient.flatten(), torch.where(expected, 2.0, -1.0))
    assert state["halved"].tolist() == [True, True, False, False, False]
    assert state["window_loss"].tolist() == [2.0] * 5
    assert state["gains"].tolist() == [0.0] * 5


@pytest.mark.parametrize(("rises", "size"), [(16, 0.1), (17, 0.2)])
def test_apgd_judges_its_first_window_by_the_rises_of_its_steps_alone(rises, size):
    """Of 22 steps more than 16.5 must raise the loss; that none gets back to the start's does not matter yet."""
    losses = torch.tensor([99, *range(rises), *[rises] * (22 - rises)]).float()
    image, labels = torch.full((1, 1, 1, 2), 0.5), torch.zeros(1, dtype=torch.int64)
    rows = Rows(image, *[labels] * 5, torch.tensor([[1]]))
    search = ApgdSearch(
        ball=BALLS["linf"],
        eps=0.1,
        seed=0,
        length=100,
        stream="x",
        loss=lambda z, _: z[:, 0] + losses[rows.k],
    )
    state, passes = search.begin(rows), Passes(lambda x: 0 * x.flatten(1), 1)
    for k in range(23):
        rows = replace(rows, k=torch.tensor([k]))
        search.step(passes, rows, state)
    assert state["size"].item() == pytest.approx(size)


def _boxed(x, image, eps):
    return torch.minimum(torch.maximum(x, image - eps), image + eps).clamp(0, 1)


def test_dlr_losses_by_hand():
    logits, labels = torch.tensor([[5.0, 3.0, 1.0, 0.0, -2.0]]), torch.tensor([0])
    assert margin(logits, labels).item() == 2
    assert dlr(logits, labels).item() == pytest.approx((3 - 5) / (5 - 1))
    # Target 2: (1 - 5) / (5 - (1 + 0) / 2).
    assert targeted_dlr(logits, labels, torch.tensor([2])).item() == pytest.approx(-4 / 4.5)
    assert ranked_targets(logits, labels).tolist() == [[1, 2, 3, 4]]
    # The fewest classes of either ratio, and one less.
    four, three = logits[:, :4], logits[:, :3]
    assert targeted_dlr(four, labels, torch.tensor([2])).item() == pytest.approx(-4 / 4.5)
    assert dlr(three, labels).item() == pytest.approx((3 - 5) / (5 - 1))
    assert targeted_dlr(three, labels, torch.tensor([2])).item() == pytest.approx(-4)
    assert dlr(logits[:, :2], labels).item() == pytest.approx(-2)


def test_probability_weights_are_the_gradients_and_do_not_saturate():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(9, 6, generator=generator, dtype=torch.float64, requires_grad=True)
    labels = logits.argmax(1)
    p = logits.softmax(1)
    p_y = p.gather(1, labels[:, None])[:, 0]
    p_max = p.scatter(1, labels[:, None], -1).amax(1)
    for value, weights in zip(
        (p_max, -p_y, p_max - p_y), probability_weights(logits.detach(), labels), strict=True
    ):
        (gradient,) = torch.autograd.grad(value.sum(), logits, retain_graph=True)
        ratio = gradient / weights
        assert float(ratio.min()) > 0
        assert torch.allclose(ratio, ratio[:, :1].expand_as(ratio))
    for weights in probability_weights((1e4 * logits).detach().float(), labels):
        assert bool((weights.gather(1, labels[:, None]) < -0.5).all())
        assert bool(torch.isfinite(weights).all())


def test_a_tie_counts_as_the_prediction_does():
    logits = torch.tensor([[1.0, 1.0], [1.0, 1.0]])
    values = margin(logits, torch.tensor([0, 1]))
    assert values[0] >= 0
    assert values[1] < 0


def test_projection_onto_the_hyperplane_is_the_smallest_in_the_box():
    generator = torch.Generator().manual_seed(0)
    points = torch.rand(12, 6, generator=generator, dtype=torch.float64)
    normals = torch.randn(12, 6, generator=generator, dtype=torch.float64)
    normals[:, 0] = 0
    gaps = 1.5 * torch.randn(12, generator=generator, dtype=torch.float64)
    for norm in ("linf", "l2", "l1"):
        found = BALLS[norm].boundary(points, normals, gaps)
        assert bool(((points + found) > -1e-12).all())
        assert bool(((points + found) < 1 + 1e-12).all())
        for x, w, gap, d in zip(points.numpy(), normals.numpy(), gaps.numpy(), found.numpy(), strict=True):
            room = np.abs(w) @ np.where(w * gap > 0, 1 - x, x)
            if room < abs(gap):
                assert abs(w @ d) == pytest.approx(room)
                continue
            assert w @ d == pytest.approx(gap)
            size = float(BALLS[norm].lengths(torch.from_numpy(d)[None])[0])
            assert size == pytest.approx(_smallest(x, w, gap, norm), rel=1e-4)


def _smallest(x, w, gap, norm):
    if norm == "l1":
        n, eye = len(x), np.eye(len(x))
        sides = np.block([[eye, -eye], [-eye, -eye]])
        bounds = [*zip(-x, 1 - x, strict=True), *[(0, None)] * n]
        cost, plane = np.r_[np.zeros(n), np.ones(n)], np.r_[w, np.zeros(n)][None]
        return linprog(cost, A_ub=sides, b_ub=np.zeros(2 * n), A_eq=plane, b_eq=[gap], bounds=bounds).fun
    if norm == "linf":
        n, eye = len(x), np.eye(len(x))
        sides = np.block([[eye, -np.ones((n, 1))], [-eye, -np.ones((n, 1))]])
        bounds = [*zip(-x, 1 - x, strict=True), (0, None)]
        cost, plane = np.r_[np.zeros(n), 1], np.r_[w, 0][None]
        return linprog(cost, A_ub=sides, b_ub=np.zeros(2 * n), A_eq=plane, b_eq=[gap], bounds=bounds).fun
    plane = {"type": "eq", "fun": lambda d: w @ d - gap}
    start = gap * w / (w @ w)
    found = minimize(lambda d: d @ d, start, bounds=[*zip(-x, 1 - x, strict=True)], constraints=plane)
    return np.sqrt(found.fun)


def test_autoattack_stages_run_on_survivors(hardened):
    model, images, labels = hardened
    images, labels, eps = images[:24], labels[:24], 0.15
    chained = attacks.apgd_ce(model, images, labels, eps=eps, steps=20, precision="float32")
    alive = chained.robust.nonzero()[:, 0]
    targeted = attacks.apgd_t(
        model,
        images[alive],
        labels[alive],
        eps=eps,
        steps=10,
        targets=2,
        precision="float32",
        sample_ids=alive,
    )

    with pytest.MonkeyPatch.context() as patch:
        from robustbench_sdnet.attacks.native import chain as module

        stages = (("apgd-ce", {"steps": 20}), ("apgd-t", {"steps": 10, "targets": 2}))
        patch.setattr(module, "chain", lambda name, params, norm: stages)
        whole = attacks.autoattack(model, images, labels, eps=eps, precision="float32")
    assert torch.equal(whole.robust[alive], targeted.robust)
    assert whole.forwards == chained.forwards + targeted.forwards
    assert torch.equal(whole.extra["stage"] == 0, chained.clean & ~chained.robust)
    assert torch.equal(whole.broken_at[alive], targeted.broken_at)
    assert torch.equal(whole.images[alive], targeted.images)


def _outcomes(images, robust, broken_at, margin, counts, hits=None):
    clean, extra = (
        torch.ones(len(images), dtype=torch.bool),
        {} if hits is None else {"hits": torch.tensor(hits)},
    )
    return AttackResult(
        torch.tensor(images).reshape(-1, 1, 1, 1),
        clean,
        torch.tensor(robust),
        torch.tensor(broken_at),
        torch.tensor(margin),
        *counts,
        extra=extra,
        repeats=None if hits is None else Repeats(10),
    )


def test_a_later_stage_stands_in_the_place_of_its_survivors():
    index = torch.tensor([0, 2])
    first = ([0.0, 1.0, 2.0], [True, False, True], [-1, 7, -1], [0.5, -0.1, 0.4], (30, 20, 10, 3))
    then = ([3.0, 4.0], [False, True], [0, -1], [-0.2, 0.1], (4, 3, 2, 1))
    found = _merged(_outcomes(*first), _outcomes(*then), index)
    assert found.images.flatten().tolist() == [3, 1, 4]
    assert found.robust.tolist() == [False, False, True]
    # What a stage gets wrong at once, its first step broke: the stage before left it right.
    assert found.broken_at.tolist() == [1, 7, -1]
    assert found.margin.tolist() == pytest.approx([-0.2, -0.1, 0.1])
    assert (found.forwards, found.backwards, found.gradients, found.silent) == (34, 23, 12, 4)
    # Of random models a stage counts only where it leaves fewer right answers.
    drawn = _merged(_outcomes(*first, hits=[6, 2, 8]), _outcomes(*then, hits=[6, 7]), index)
    assert drawn.images.flatten().tolist() == [0, 1, 4]
    assert drawn.extra["hits"].tolist() == [6, 2, 7]
    assert (drawn.broken_at.tolist(), drawn.forwards) == ([-1, 7, -1], 34)


def test_the_last_draws_of_a_chain_decide_and_are_paid_for():
    outcomes = ([0.0, 1.0, 0.2, 0.3], [True, False, True, False], [-1, 7, -1, 0], [0.5] * 4, (30, 20, 10, 3))
    whole = replace(_outcomes(*outcomes, hits=[9, 2, 8, 0]), clean=torch.tensor([True, True, True, False]))

    def model(images):
        score = torch.where((images - 0.2).abs() < 0.05, 0.3, -images - 0.5).flatten()
        return torch.stack([score, torch.zeros_like(score)], 1)

    found = _recounted(whole, model, torch.zeros(4, dtype=torch.int64), {})
    # What is wrong now and no stage broke, a first step did.
    assert found.extra["hits"].tolist() == [0, 0, 10, 0]
    assert found.robust.tolist() == [False, False, True, False]
    assert found.broken_at.tolist() == [1, 7, -1, 0]
    assert found.margin.tolist() == pytest.approx([-0.5, -1.5, 0.3, -0.8])
    assert found.forwards == 30 + 10 * 4


def test_averaged_gradients_break_a_randomised_model():
    class Noisy(nn.Module):
        """A random mask hides half of the pixels from a brightness test at each pass."""

        def forward(self, images):
            mask = (torch.rand(images.shape) > 0.5).to(images)
            score = 20 * ((images - 0.5) * mask).mean((1, 2, 3))
            return torch.stack([score + 0.2, -score], dim=1)

    torch.manual_seed(0)
    images = torch.full((6, 1, 6, 6), 0.5)
    labels = torch.zeros(6, dtype=torch.int64)
    result = attacks.autoattack(Noisy(), images, labels, eps=0.1, variant="rand", precision="float32")
    assert not bool(result.robust.any())
    assert result.backwards % 20 == 0
    assert set(result.extra["stage"].tolist()) <= {0, 1}


def test_float64_works_everywhere():
    model = convolutional(classes=5).double().eval()
    images = torch.rand(4, 1, 8, 8, dtype=torch.float64)
    labels = model(images).argmax(1)
    for name, params in {
        "apgd-t": {"steps": 5},
        "fab-t": {"steps": 3},
        "square": {"steps": 5},
        "noise": {},
    }.items():
        for norm in ("linf", "l2", "l1"):
            result = attacks.run(name, model, images, labels, eps=0.05, norm=norm, params=params)
            assert result.images.dtype == torch.float64


@pytest.mark.parametrize("draws", [1, 3])
def test_noise_is_as_many_draws_as_asked(draws):
    model, images, labels, _ = linear_problem(2, (1, 3, 3), 6, 0.02, "linf")
    found = attacks.noise(model, images, labels, eps=1e-5, draws=draws)
    assert bool(found.robust.all())
    assert (found.forwards, found.backwards) == (6 * (1 + draws), 0)
