"""Attacks in l1: on linear models with exact distances, and beside foolbox's."""

from __future__ import annotations

import pytest
import torch
from attack_networks import linear_problem

from robustbench_sdnet import attacks
from robustbench_sdnet.attacks.native.apgd_sparse import stages
from robustbench_sdnet.attacks.registry import chain

EPS = 0.02


@pytest.mark.parametrize("name", ["fgsm", "pgd", "apgd-ce", "apgd-dlr", "apgd-t", "fab-t"])
@pytest.mark.parametrize(("classes", "shape"), [(2, (3, 5, 7)), (4, (3, 6, 5))])
def test_every_breakable_sample_is_found(name, classes, shape):
    model, images, labels, distance = linear_problem(classes, shape, 30, EPS, "l1")
    params = {"fgsm": {}, "fab-t": {"steps": 10}}.get(name, {"steps": 40})
    result = attacks.run(name, model, images, labels, eps=EPS, norm="l1", params=params, batch_size=8)
    clear = (distance / EPS - 1).abs() > 0.01
    # Cross-entropy is convex in the image here: with more than two classes it may climb towards one that is too far.
    if classes > 2 and name in ("fgsm", "pgd", "apgd-ce"):
        clear = clear & ((distance > EPS) | (distance < 0.4 * EPS))
    assert bool((distance < EPS)[clear].any())
    assert torch.equal(result.robust[clear], (distance > EPS)[clear])
    assert bool(((result.images - images).flatten(1).abs().sum(1) <= EPS + 1e-6).all())


def test_fab_finds_the_exact_distance():
    model, images, labels, distance = linear_problem(5, (3, 4, 5), 8, EPS, "l1")
    found = attacks.fab_t(model, images, labels, eps=None, norm="l1", steps=10).extra["distance"]
    assert bool((found >= 0.999 * distance).all())
    assert bool((found <= 1.05 * distance).all())


def test_larger_balls_take_three_tenths_of_the_steps_each():
    assert stages(100) == [30, 30, 40]
    assert [sum(stages(n)) for n in range(1, 30)] == list(range(1, 30))
    assert min(min(stages(n)) for n in range(1, 30)) >= 0


def test_autoattack_in_l1_has_five_restarts_and_five_targets():
    found = dict(chain("autoattack", {"variant": "standard"}, "l1"))
    assert found["apgd-ce"] == {"steps": 100, "restarts": 5}
    assert found["apgd-t"] == {"steps": 100, "targets": 5}
    assert dict(chain("autoattack", {"variant": "standard"}, "l2"))["apgd-t"]["targets"] == 9


@pytest.mark.parametrize("batch_size", [3, 11])
@pytest.mark.parametrize("name", ["pgd", "apgd-t", "fab-t", "square"])
def test_batch_size_changes_nothing(name, batch_size):
    model, images, labels, _ = linear_problem(4, (3, 5, 4), 11, EPS, "l1")
    whole = attacks.run(name, model, images, labels, eps=EPS, norm="l1", params={"steps": 12}, batch_size=11)
    parts = attacks.run(
        name, model, images, labels, eps=EPS, norm="l1", params={"steps": 12}, batch_size=batch_size
    )
    assert torch.equal(whole.broken_at, parts.broken_at)
    assert torch.allclose(whole.images, parts.images, atol=1e-9)


@pytest.mark.slow
def test_autoattack_is_never_above_foolbox(hardened):
    model, images, labels = hardened
    images, labels, eps = images[:200], labels[:200], 2.0
    ours = attacks.autoattack(model, images, labels, eps=eps, norm="l1", precision="float32").robust.sum()
    for name, params in {
        "SparseL1DescentAttack": {"steps": 100},
        "L1PGD": {"steps": 100},
        "L1FMNAttack": {"steps": 100},
        "EADAttack": {"steps": 300, "binary_search_steps": 4},
    }.items():
        theirs = attacks.run(f"foolbox:{name}", model, images, labels, eps=eps, norm="l1", params=params)
        assert ours <= theirs.robust.sum(), name
