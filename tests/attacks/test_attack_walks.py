"""Minimal-norm attacks, and Auto-PGD in l1, walk as published: as torchattacks' FAB, or in plain words."""

from __future__ import annotations

import math
from functools import partial
from itertools import combinations

import pytest
import torch
import torchattacks

from robustbench_sdnet import attacks
from robustbench_sdnet.attacks.engine.balls import BALLS
from robustbench_sdnet.attacks.engine.passes import Passes
from robustbench_sdnet.attacks.engine.search import Rows
from robustbench_sdnet.attacks.native.fmn import FmnSearch
from robustbench_sdnet.attacks.native.sigma_zero import SigmaZeroSearch

pytestmark = pytest.mark.usefixtures("attack_alone")


def hilly(classes, dtype):
    """A model of 1 x 3 x 4 images with many hills, images and their labels; the model lists what it is asked."""
    generator = torch.Generator().manual_seed(0)
    first = torch.randn(12, 8, generator=generator, dtype=torch.float64).to(dtype)
    last = torch.randn(8, classes, generator=generator, dtype=torch.float64).to(dtype)
    images = torch.rand(4, 1, 3, 4, generator=generator, dtype=torch.float64).to(dtype)
    seen = []

    class Hilly(torch.nn.Module):
        def forward(self, x):
            seen.append(x.detach().clone())
            return torch.sin(2 * x.flatten(1) @ first) @ last

    model = Hilly().eval()
    return model, images, model(images).argmax(1), seen


@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_fab_ends_where_torchattacks_does(norm):
    model = hilly(2, torch.float32)[0]
    images = torch.rand(100, 1, 3, 4, generator=torch.Generator().manual_seed(1))
    labels = model(images).argmax(1)
    theirs = torchattacks.FAB(model, norm=norm, eps=1e6, steps=12, multi_targeted=True, n_classes=2)
    theirs.set_device("cpu")
    expected = theirs(images, labels)
    found = attacks.fab_t(model, images, labels, norm=norm.lower(), steps=12)
    assert bool(torch.isfinite(found.extra["distance"]).all())
    # A point that rounding alone puts on either side of the boundary sends the walk another way.
    assert (found.images - expected).flatten(1).abs().amax(1).le(1e-4).float().mean() >= 0.9
    theirs_away = torch.linalg.vector_norm(
        (expected - images).flatten(1), {"Linf": torch.inf, "L2": 2}[norm], dim=1
    )
    assert float(found.extra["distance"].mean()) == pytest.approx(float(theirs_away.mean()), rel=5e-3)


@pytest.mark.parametrize(
    ("norm", "loss"), [("Linf", "ce"), ("Linf", "dlr"), ("Linf", "targeted"), ("L2", "ce")]
)
def test_apgd_walks_as_torchattacks_from_the_same_points(norm, loss):
    model, images, labels, seen = hilly(6, torch.float64)
    ball, eps, steps = BALLS[norm.lower()], 0.25, 50
    if loss == "targeted":
        theirs = torchattacks.APGDT(model, norm=norm, eps=eps, steps=steps)
        ours, theirs.target_class = partial(attacks.apgd_t, targets=1), 2
    else:
        theirs = torchattacks.APGD(model, norm=norm, eps=eps, steps=steps, loss=loss)
        ours = {"ce": attacks.apgd_ce, "dlr": attacks.apgd_dlr}[loss]
    theirs.set_device("cpu")
    torch.manual_seed(1)
    theirs.attack_single_run(images, labels)
    expected = seen[-steps - 1 :]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(ball), "random_on_sphere", lambda *_: expected[0])
        ours(model, images, labels, eps=eps, norm=norm.lower(), steps=steps, early_stop=False)
    for k, (found, wanted) in enumerate(zip(seen[-steps - 1 :], expected, strict=True)):
        assert torch.allclose(found, wanted, atol=1e-6), k


def test_every_course_of_apgd_begins_at_random_points_of_its_own():
    model, images, labels, seen = hilly(6, torch.float64)
    starts = []
    for name, courses in (("apgd-ce", "restarts"), ("apgd-dlr", "restarts"), ("apgd-t", "targets")):
        params = {"steps": 1, courses: 2}
        attacks.run(name, model, images, labels, eps=0.1, params=params, early_stop=False)
        starts += [seen[-4], seen[-2]]  # each before its only step
    assert not any(bool((one == other).all()) for one, other in combinations(starts, 2))


def test_sigma_zero_walks_as_published():
    model, images, labels, seen = hilly(3, torch.float64)
    steps = 30
    attacks.sigma_zero(model, images, labels, steps=steps, batch_size=1)
    walks = torch.cat(seen)[-4 * steps :].reshape(4, steps, 1, 3, 4)
    for walk, image, label in zip(walks, images, labels, strict=True):
        delta = torch.zeros_like(image).requires_grad_()
        adam, threshold = torch.optim.Adam([delta], lr=1.0), 0.3
        for k, found in enumerate(walk):
            assert torch.allclose(image + delta, found, atol=1e-9), k
            logits = model((image + delta)[None])[0]
            gap = logits[label] - logits.masked_fill(torch.arange(3) == label, -torch.inf).max()
            loss = gap.clamp_min(0) + (delta**2 / (delta**2 + 1e-3)).mean()
            (delta.grad,) = torch.autograd.grad(loss, delta)
            delta.grad /= delta.grad.abs().max().clamp_min(1e-12)
            rate = adam.param_groups[0]["lr"] = 0.1 + 0.9 * (1 + math.cos(math.pi * k / steps)) / 2
            adam.step()
            threshold = min(max(threshold + (0.01 if gap < 0 else -0.01) * rate, 0), 1)
            with torch.no_grad():
                delta.copy_((image + delta).clamp(0, 1) - image)
                delta[delta.abs() < threshold] = 0


def test_thresholds_of_sigma_zero_stay_from_0_to_1():
    images, labels = torch.full((2, 1, 2, 2), 0.5), torch.tensor([0, 1])
    search = SigmaZeroSearch(ball=BALLS["l0"], eps=None, seed=0, length=10)
    rows = Rows(images, labels, *[torch.zeros_like(labels)] * 4, torch.tensor([[1], [0]]))
    state = {**search.begin(rows), "threshold": torch.tensor([0.004, 0.996])}
    # The first is right, so that its threshold falls by 0.01; the second is wrong, and its threshold rises.
    search.step(Passes(lambda x: x.flatten(1)[:, :2] * torch.tensor([2.0, 1.0]), 2), rows, state)
    assert state["threshold"].tolist() == [0, 1]


@pytest.mark.parametrize("norm", ["linf", "l2", "l1", "l0"])
def test_fmn_walks_as_published(norm):
    """But for two things: the radius never falls before a success, and reaches a thousandth beyond the boundary."""
    model, images, labels, seen = hilly(3, torch.float64)
    orders = {"linf": (math.inf, 1), "l2": (2, 2), "l1": (1, math.inf), "l0": (0, None)}
    steps, share, (order, dual) = 30, 0.9 if norm == "l0" else 0.05, orders[norm]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("robustbench_sdnet.attacks.native.fmn.CONVERGED", -1.0)  # nobody leaves early
        attacks.fmn(model, images, labels, norm=norm, steps=steps, gamma=share, batch_size=1)
    walks = torch.cat(seen)[-4 * steps :].reshape(4, steps, 1, 3, 4)
    for walk, image, label in zip(walks, images, labels, strict=True):
        x, radius, best = image, 0.0, math.inf
        for k, found in enumerate(walk):
            assert torch.allclose(x, found, atol=1e-9), k
            x = x.detach().requires_grad_()
            logits = model(x[None])[0]
            gap = logits.masked_fill(torch.arange(3) == label, -torch.inf).max() - logits[label]
            (gradient,) = torch.autograd.grad(gap, x)
            gap, x, cosine = gap.item(), x.detach(), (1 + math.cos(math.pi * k / steps)) / 2
            length, gamma = float((x - image).flatten().norm(order)), 0.001 + (share - 0.001) * cosine
            if gap > 0:
                best = min(best, length)
                fewer = max(min(radius - 1, math.floor(radius * (1 - gamma))), 1)
                radius = min(fewer if norm == "l0" else radius * (1 - gamma), best)
            elif norm == "l0":
                radius = max(radius + 1, math.floor(radius * (1 + gamma)))
            else:
                planned = 1.001 * (length + abs(gap) / float(gradient.flatten().norm(dual)))
                radius *= 1 + gamma
                radius = max(radius, planned) if best == math.inf else radius
            radius = min(radius, float(torch.maximum(image, 1 - image).flatten().norm(order)))
            moved = x + (0.01 + 0.99 * cosine) * gradient / gradient.norm()
            x = BALLS[norm].project(moved[None], image[None], radius)[0]


def test_fmn_grows_to_what_the_box_allows_and_ends_where_a_fifth_of_the_steps_gained_nothing():
    search = FmnSearch(ball=BALLS["linf"], eps=None, seed=0, length=100, step_size=1.0, gamma=0.05)
    rows = [  # steps taken, smallest distance then and a look before, whether the course ends
        (60, 0.9995, 1.0, True),
        (60, 0.9985, 1.0, False),
        (40, 1.0, 1.0, False),
        (79, 1.0, 1.0, False),
        (80, math.inf, math.inf, False),
    ]
    k, best, mark, expected = map(torch.tensor, zip(*rows, strict=True))
    state = {"best": best, "mark": mark}
    assert torch.equal(search._converged(state, k), expected)
    assert torch.equal(state["mark"], torch.where(k == 79, mark, best))
    image, labels = torch.tensor([0.1, 0.5, 0.3, 0.92]).reshape(1, 1, 2, 2), torch.zeros(1, dtype=torch.int64)
    rows = Rows(image, *[labels] * 5, torch.tensor([[1]]))
    state = {**search.begin(rows), "radius": torch.tensor([0.9])}
    weight = torch.tensor([[2.0, 0, 0, 0], [0, 0, 0, 0]])
    search.step(Passes(lambda x: x.flatten(1) @ weight.T + torch.tensor([9.0, 0]), 1), rows, state)
    assert state["radius"].item() == pytest.approx(0.92), "from 0.92 to 0, the longest way to go"


def test_fmn_changes_a_number_of_pixels_by_a_share_of_it_and_by_one_at_least():
    search = FmnSearch(ball=BALLS["l0"], eps=None, seed=0, length=100, step_size=1.0, gamma=0.05)
    # Pixels so far, margin, and the next number: by 5.5 % of them, rounded down, else by one, and never below one.
    rows = [(100, 1, 105), (100, -1, 94), (10, 1, 11), (10, -1, 9), (1, -1, 1)]
    radius, gap, expected = (torch.tensor(column).float() for column in zip(*rows, strict=True))
    state, nothing = {"radius": radius, "best": torch.full((5,), 500.0)}, torch.zeros(5, 1, 1, 1)
    assert torch.equal(search._radius(state, gap, radius, nothing, torch.full((5,), 0.055)), expected)


def test_pma_climbs_one_probability_and_then_their_margin():
    model, images, labels, seen = hilly(3, torch.float64)
    steps, eps = 7, 0.1
    attacks.pma(model, images, labels, eps=eps, steps=steps, early_stop=False, batch_size=1)
    walks = torch.cat(seen)[-8 * (steps + 1) :].reshape(4, 2, steps + 1, 1, 3, 4)
    assert bool((walks[:, 0, 0] != walks[:, 1, 0]).any()), "each from its own random point"
    for course, image, label in zip(walks, images, labels, strict=True):
        for attempt, walk in enumerate(course):
            x = walk[0]
            for k, found in enumerate(walk):
                assert torch.allclose(x, found, atol=1e-9), (attempt, k)
                x = x.detach().requires_grad_()
                p = model(x[None])[0].softmax(0)
                rival, own = p[torch.arange(3) != label].max(), p[label]
                climbed = rival - own if k >= 3 else -own if attempt else rival
                (gradient,) = torch.autograd.grad(climbed, x)
                share = k / 3 if k < 3 else (k - 3) / 4
                moved = x.detach() + eps * (1 + math.cos(math.pi * share)) * gradient.sign()
                x = moved.clamp(image - eps, image + eps).clamp(0, 1)


def test_apgd_in_l1_walks_as_published():
    model, images, labels, seen = hilly(3, torch.float64)
    steps, eps, counts = 130, 0.3, (39, 39, 52)
    options = {"norm": "l1", "steps": steps, "early_stop": False, "batch_size": 1}
    attacks.apgd_ce(model, images[2:], labels[2:], eps=eps, **options)
    walks, returned = torch.cat(seen)[-2 * (steps + 3) :].reshape(2, steps + 3, 1, 1, 3, 4), [0, 0]
    for walk, image, label in zip(walks, images[2:, None], labels[2:], strict=True):
        best, place = (-math.inf, walk[0], None), 0
        for count, radius in zip(counts, (3 * eps, 2 * eps, eps), strict=True):
            x, size = BALLS["l1"].project(best[1], image, radius), radius
            best, changed = (-math.inf, x, None), int((x != image).sum())
            share = changed / 12 / 1.5
            for within in range(count + 1):
                assert torch.allclose(x, walk[place], atol=1e-9), place
                x, place = x.requires_grad_(), place + 1
                loss = torch.nn.functional.cross_entropy(model(x), label[None])
                (gradient,) = torch.autograd.grad(loss, x)
                x, loss = x.detach(), loss.item()
                best = (loss, x, gradient) if loss > best[0] else best
                returned[1] += within == count and radius > eps and loss < best[0]
                if within and within % int(0.04 * count) == 0:
                    now = int((best[1] != image).sum())
                    if now < 0.95 * changed:
                        size, (_, x, gradient) = radius, best
                        returned[0] += 1
                    else:
                        size = max(size / 1.5, radius / 10)
                    changed, share = now, now / 12 / 1.5
                least = gradient.abs().flatten().sort(descending=True).values[max(int(share * 12), 1) - 1]
                signs = gradient.sign() * (gradient.abs() >= least)
                x = BALLS["l1"].project(x + size * signs / signs.abs().sum(), image, radius)
    assert min(returned) > 0, "to the best point, at sparser ones and between stages"
