"""The lambda matrix: its diagonal, its worst case, warm starts."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from robustbench_sdnet import attacks
from robustbench_sdnet.errors import InputError
from robustbench_sdnet.lambdas import Fixed, LabelFree, LambdaMatrix, WithPolicy, lambda_matrix
from robustbench_sdnet.lambdas.matrix import worst_case

LAMBDAS = (0.1, 0.6)
OPTIONS = {"eps": 0.02, "params": {"steps": 3}}


@pytest.fixture(scope="module")
def found(model, images, labels):
    return lambda_matrix(model, images, labels, attacked=LAMBDAS, evaluated=(*LAMBDAS, 1.2), **OPTIONS)


def made(robust):
    robust = torch.tensor(robust)
    rows, columns, n = robust.shape
    names = tuple(str(k) for k in range(max(rows, columns)))
    return LambdaMatrix(names[:rows], names[:columns], robust, 0, 0, torch.zeros(rows, n, 1, 1, 1))


def test_the_diagonal_is_the_direct_attack(model, images, labels, found):
    for index, lam in enumerate(LAMBDAS):
        direct = attacks.run(
            "pgd",
            WithPolicy(model, Fixed(lam)),
            images,
            labels,
            eps=0.02,
            params={"steps": 3},
            precision="float32",
        )
        assert torch.equal(found.robust[index, index], direct.robust)
        assert torch.equal(found.images[index], direct.images)
    assert found.kind(0, 0) == found.kind(1, 1) == "attack"
    assert {found.kind(0, 1), found.kind(1, 0), found.kind(0, 2)} == {"transfer"}


def test_what_is_wrong_without_an_attack_is_never_robust(model, images, labels, found):
    for column, lam in enumerate((*LAMBDAS, 1.2)):
        clean = WithPolicy(model, Fixed(lam))(images).argmax(1) == labels
        assert not (found.robust[:, column] & ~clean).any()


outcomes = st.lists(st.booleans(), min_size=5, max_size=5)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.lists(outcomes, min_size=2, max_size=2), min_size=1, max_size=4))
def test_the_worst_case_is_never_above_any_single_attack(robust):
    matrix = made(robust)
    worst = matrix.worst_case.double().mean(1)
    assert (worst <= matrix.accuracies + 1e-12).all()
    together = worst_case([matrix, made([row[::-1] for row in robust])])
    assert (together <= matrix.worst_case).all()


def test_the_worst_case_of_a_real_matrix(found):
    assert (found.worst_case.double().mean(1) <= found.accuracies.min(0).values + 1e-12).all()
    assert found.worst_case.shape == (3, found.robust.shape[2])


def test_a_warm_start_keeps_what_already_breaks(model, images, labels):
    warm = lambda_matrix(model, images, labels, attacked=(0.1, 0.11), warm_start=True, **OPTIONS)
    # What breaks the neighbour at 0.1 is where the attack at 0.11 begins: it stays broken.
    assert not (warm.robust[1, 1] & ~warm.robust[0, 1]).any()
    with pytest.raises(InputError, match="Only pgd can be warm-started"):
        lambda_matrix(
            model, images, labels, attacked=(0.1, 0.2), warm_start=True, eps=0.02, attack="fgsm", params={}
        )


def test_policies_and_noise_can_be_in_a_matrix(model, images, labels):
    policies = (0.1, LabelFree("discrepancy"))
    white = lambda_matrix(model, images, labels, attacked=policies, **OPTIONS)
    chance = lambda_matrix(model, images, labels, attacked=policies, attack="noise", eps=0.02)
    assert white.attacked == ("0.1", "label-free:discrepancy")
    assert (worst_case([white, chance]) <= white.worst_case).all()
    assert white.backwards > 0
    assert chance.backwards == 0


def test_matrices_that_do_not_fit_together(found, model, images, labels):
    with pytest.raises(InputError, match="same lambdas"):
        worst_case([found, made([[[True] * 24]])])
    with pytest.raises(InputError, match="at least one matrix"):
        worst_case([])
    with pytest.raises(InputError, match="at least one lambda"):
        lambda_matrix(model, images, labels, attacked=(), eps=0.1)
