"""The Square attack: its pieces against what was published, and what it finds on linear models."""

from __future__ import annotations

from itertools import cycle

import pytest
import torch
import torchattacks
from attack_networks import linear_problem

from robustbench_sdnet import attacks
from robustbench_sdnet.attacks.engine.balls import BALLS
from robustbench_sdnet.attacks.engine.passes import Passes
from robustbench_sdnet.attacks.native.square import PROPOSALS, _averaged, window_sides
from robustbench_sdnet.attacks.native.square_proposals import bump_pair
from robustbench_sdnet.draws import Draws

EPS = 0.02


def test_square_windows_shrink_at_the_papers_queries():
    # p = 0.8 of 32 x 32 pixels: side sqrt(819) = 28.6; halved after 10, 50, 200, ... queries.
    sides = window_sides(5000, 0.8, 32, 32, 1).tolist()
    assert [sides[k] for k in (1, 11, 12, 51, 52, 201, 202)] == [29, 29, 20, 20, 14, 14, 10]
    assert sides[5000] == round((0.8 / 128 * 1024) ** 0.5)
    # Of 4 x 16 pixels a square of 51 has no place.
    assert window_sides(5, 0.8, 4, 16, 1).tolist() == [4] * 6


def test_of_several_answers_the_margins_are_averaged():
    answers = cycle([[0.0, 3.0, 0.0], [0.0, 0.0, 3.0]])
    passes = Passes(lambda images: torch.tensor([next(answers)]), 1, repeats=2)
    logits, margins = _averaged(passes, torch.full((1, 1, 2, 2), 0.5), torch.tensor([0]))
    assert margins.tolist() == [-3], "not that of the mean logits, which is -1.5"
    assert logits.tolist() == [[0, 1.5, 1.5]]


def test_square_proposals_change_one_window_a_row():
    images = torch.full((5, 3, 9, 7), 0.5)
    size = torch.tensor([1, 2, 3, 5, 7])
    draws = Draws.of(0, "square", torch.arange(5))
    moved = PROPOSALS["linf"].propose(draws, images, images, 0.1, size, torch.arange(5))
    changed = (moved != images).any(1)
    assert changed.flatten(1).sum(1).tolist() == [1, 4, 9, 25, 49]
    assert torch.allclose((moved - images)[changed[:, None].expand_as(images)].abs(), torch.tensor(0.1))
    rows, columns = changed.any(2).sum(1), changed.any(1).sum(1)
    assert rows.tolist() == columns.tolist() == size.tolist()


@pytest.mark.usefixtures("attack_alone")
def test_each_query_changes_a_window_of_its_side_and_what_is_no_better_is_dropped():
    seen, images, labels = [], torch.full((9, 3, 20, 20), 0.5), torch.zeros(9, dtype=torch.int64)

    def model(points):
        seen.append(points.detach().clone())
        return torch.stack([torch.ones(len(points)), torch.zeros(len(points))], 1)

    found = attacks.square(model, images, labels, eps=0.1, steps=60, batch_size=9)
    start, *proposed = seen[-61:]
    sides = window_sides(60, 0.8, 20, 20, 1).tolist()
    assert len(set(sides[1:])) == 3
    # In a window all rows of a column change, if any does; few windows of three channels change nothing.
    for points, side in zip(proposed, sides[1:], strict=True):
        rows = ((points - start).abs() > 0.1).any(1).any(2).sum(1)
        assert set(rows.tolist()) <= {0, side}
        assert int(rows.max()) == side
    assert found.forwards == 9 * (1 + 1 + 60)


@pytest.mark.parametrize(("norm", "order"), [("l2", 2), ("l1", 1)])
def test_square_proposals_stay_on_the_sphere(norm, order):
    images = torch.full((4, 3, 9, 8), 0.5, dtype=torch.float64)
    best = images + 0.01 * torch.randn(4, 3, 9, 8, dtype=torch.float64)
    draws = Draws.of(0, "square", torch.arange(4))
    for moved in (
        PROPOSALS[norm].start(draws, images, 0.3),
        PROPOSALS[norm].propose(draws, images, best, 0.3, torch.tensor([3, 4, 5, 8]), torch.arange(4)),
    ):
        lengths = (moved - images).flatten(1).norm(order, dim=1)
        assert torch.allclose(lengths, torch.tensor(0.3, dtype=torch.float64))


@pytest.mark.parametrize("side", [2, 3, 5, 6, 9])
def test_bump_pairs_are_those_of_the_published_code(side):
    pair = bump_pair(side, 2)
    published = torchattacks.Square(lambda x: x)
    published.device = "cpu"
    tall, low = (published.eta_rectangles(rows, side) for rows in (side // 2, side - side // 2))
    assert torch.allclose(pair.float(), torch.cat([tall, -low]) / 2**0.5)


def test_a_bump_pair_in_l1_by_hand():
    # Rings of height 1 and 1/16 around (0, 1) of 1 x 3 and (1, 1) of 2 x 3, each half of norm 1/2.
    upper, lower = [[1, 17, 1]], [[1, 1, 1], [1, 17, 1]]
    expected = torch.cat([torch.tensor(upper) / 38, -torch.tensor(lower) / 44]).double()
    assert torch.allclose(bump_pair(3, 1), expected, atol=1e-7)
    assert bump_pair(1, 1).abs().item() == 1


@pytest.mark.parametrize("norm", ["l2", "l1"])
def test_a_square_takes_in_each_channel_what_it_frees_there(norm):
    images, draws = torch.full((6, 3, 9, 8), 0.5, dtype=torch.float64), Draws.of(0, "square", torch.arange(6))
    size, k, eps = torch.full((6,), 3), torch.arange(6), 0.3
    from_nothing = PROPOSALS[norm].propose(draws, images, images, eps, size, k) - images
    if norm == "l1":
        # Three bumps of length eps come into the ball together: above the shrinkage lie their six peaks.
        peaks = torch.tensor([1 / 6 + (17 / 38 - 17 / 44) / 2, 1 / 6 - (17 / 38 - 17 / 44) / 2]).double()
        found = from_nothing.flatten(2).abs().sort(dim=2, descending=True).values / eps
        assert torch.allclose(found[:, :, :2], peaks.expand(6, 3, 2))
        assert not bool(found[:, :, 2:].any())
        return
    assert torch.allclose(from_nothing.flatten(2).norm(dim=2), torch.tensor(0.1 * 3**0.5).double())
    best = images + eps * BALLS["l2"].random_direction(draws, images, 9)
    moved = PROPOSALS[norm].propose(draws, images, best, eps, size, k)
    lengths = [(points - images).flatten(2).norm(dim=2) for points in (best, moved)]
    assert torch.allclose(*lengths)
    assert bool((lengths[0].std(dim=1) > 1e-3).all())


def test_bumps_start_as_a_centred_grid_of_pairs_upright_or_turned():
    images, draws = (
        torch.full((2, 3, 17, 18), 0.5, dtype=torch.float64),
        Draws.of(0, "square", torch.arange(2)),
    )
    delta = PROPOSALS["l2"].start(draws, images, 0.3) - images
    # Side 17 // 5 = 3: five by six pairs in each channel, and a row above and below them.
    inner = delta[:, :, 1:16]
    assert not bool(delta[:, :, [0, 16]].any())
    tiles = inner.unfold(2, 3, 3).unfold(3, 3, 3) * 90**0.5 / 0.3
    pair = bump_pair(3, 2)
    shapes = torch.stack([pair, -pair, pair.T, -pair.T])
    found = (tiles[..., None, :, :] - shapes).abs().amax((-1, -2)) < 1e-6
    assert bool(found.any(-1).all())
    assert bool(found.flatten(0, -2).any(0).all()), "each shape somewhere"
    turned = found[..., 2:].any(-1)
    assert torch.equal(turned, turned[:, :1].expand_as(turned)), "all channels of a place alike"


def test_signs_start_as_stripes_and_squares_cross_the_whole_ball():
    images, draws = torch.full((5, 3, 9, 7), 0.5, dtype=torch.float64), Draws.of(0, "square", torch.arange(5))
    start = PROPOSALS["linf"].start(draws, images, 0.1) - images
    assert torch.equal(start, start[:, :, :1].expand_as(start))
    assert bool((start.std(dim=3) > 0).all())
    size, k = torch.full((5,), 4), torch.arange(5)
    moved = PROPOSALS["linf"].propose(draws, images, images + start, 0.1, size, k) - images
    for delta in (start, moved):
        assert torch.allclose(delta.abs(), torch.tensor(0.1).double())
    assert not torch.equal(moved, start)


def test_squares_of_bumps_have_odd_sides_and_keep_half_of_what_was_there():
    images, draws = torch.full((4, 3, 9, 8), 0.5, dtype=torch.float64), Draws.of(0, "square", torch.arange(4))
    size, k = torch.tensor([3, 4, 5, 8]), torch.arange(4)
    changed = PROPOSALS["l2"].propose(draws, images, images, 0.1, size, k) != images
    assert changed.flatten(2).sum(2).tolist() == [[side * side] * 3 for side in (3, 5, 5, 7)]
    images = torch.full((4, 3, 7, 7), 0.5, dtype=torch.float64)
    old = 0.1 * BALLS["l2"].random_direction(draws, images, 9)
    moved = PROPOSALS["l2"].propose(draws, images, images + old, 0.1, torch.full((4,), 7), k) - images
    # A bump and what was there, both of unit length: the sum makes a right angle's half with each where they do.
    cosine = torch.nn.functional.cosine_similarity(moved.flatten(2), old.flatten(2), dim=2)
    assert 0.6 < float(cosine.mean()) < 0.8


@pytest.mark.parametrize("side", [3, 5])
def test_a_square_as_large_as_the_image_is_a_whole_pair_of_bumps(side):
    images = torch.full((8, 1, side, side), 0.5, dtype=torch.float64)
    draws, size, k = Draws.of(0, "square", torch.arange(8)), torch.full((8,), side), torch.arange(8)
    found = (PROPOSALS["l2"].propose(draws, images, images, 0.1, size, k) - images)[:, 0] / 0.1
    pair = bump_pair(side, 2)
    apart = [(found - shape).abs().amax((1, 2)) for shape in (pair, -pair, pair.T, -pair.T)]
    assert float(torch.stack(apart).amin(0).max()) < 1e-6


def test_windows_of_bumps_reach_every_edge_and_empty_another_window():
    images = torch.full((60, 1, 5, 4), 0.5, dtype=torch.float64)
    draws, size, k = Draws.of(0, "square", torch.arange(60)), torch.full((60,), 3), torch.arange(60)
    changed = PROPOSALS["l2"].propose(draws, images, images, 0.1, size, k) != images
    assert bool(changed.any(0).all())
    moved = PROPOSALS["l2"].propose(draws, images, images + 0.01, 0.1, size, k)
    assert bool(((moved == images) & ~changed).any())
    assert PROPOSALS["l2"].least == PROPOSALS["l1"].least == 3


def test_place_sign_and_turn_of_a_square_are_drawn_apart():
    n = 1000
    images, draws = torch.full((n, 1, 9, 9), 0.5), Draws.of(0, "square", torch.arange(n))
    delta = PROPOSALS["l2"].propose(draws, images, images, 0.1, torch.full((n,), 3), torch.zeros(n).long())
    signs = (delta - images)[:, 0].sign()
    top, left = (signs.abs().amax(dim).argmax(1) for dim in (2, 1))
    turned = signs.sum(2).abs().amax(1) < 3  # upright each row has one sign
    found = torch.corrcoef(torch.stack([top, left, turned, signs.sum((1, 2))]).float())
    assert float((found - torch.eye(4)).abs().max()) < 4 / n**0.5


def test_a_square_of_bumps_is_finite_where_rounding_left_less_than_no_budget():
    images, draws = torch.zeros(20, 1, 7, 7), Draws.of(0, "square", torch.arange(20))
    best, size, k = images.clone(), torch.full((20,), 3), torch.arange(20)
    best[:, :, 0, 0] = 0.3001
    assert bool(torch.isfinite(PROPOSALS["l2"].propose(draws, images, best, 0.3, size, k)).all())


def test_square_finds_every_breakable_sample():
    model, images, labels, distance = linear_problem(2, (1, 3, 4), 12, EPS, "linf")
    result = attacks.square(model, images, labels, eps=EPS, steps=800)
    clear = (distance / EPS - 1).abs() > 0.01  # rounding cannot turn the verdict
    assert torch.equal(result.robust[clear], (distance > EPS)[clear])


@pytest.mark.parametrize("norm", ["l2", "l1"])
def test_squares_of_bumps_find_samples_at_half_of_their_budget(norm):
    model, images, labels, distance = linear_problem(2, (1, 6, 6), 10, EPS, norm)
    assert 0.7 * EPS < float(distance.min()) < float(distance.max()) < 1.2 * EPS
    assert not bool(attacks.square(model, images, labels, eps=2 * EPS, norm=norm, steps=300).robust.any())
    assert bool(attacks.square(model, images, labels, eps=0.7 * EPS, norm=norm, steps=50).robust.all())
