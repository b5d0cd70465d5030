"""What starts from what: survivors, warm starts and transfer."""

from dataclasses import replace

import pytest

from robustbench_sdnet.planning import plan
from robustbench_sdnet.planning.chains import continues, stage_order
from robustbench_sdnet.planning.questions import attack_specs
from robustbench_sdnet.specs import CLEAN, Eps, ModelSpec

from .test_plan import DATA, L1, L3, SDNET, pgd

SMALL, LARGE = pgd("2/255"), pgd("8/255")


@pytest.mark.parametrize(
    ("before", "attack", "goes_on"),
    [
        (SMALL, LARGE, True),
        (LARGE, SMALL, False),
        (SMALL, replace(LARGE, seed=1), False),
        (SMALL, replace(LARGE, norm="l2"), False),
        (SMALL, replace(LARGE, name="fgsm"), False),
        (SMALL, pgd("8/255", steps=7), False),
        (LARGE, LARGE, False),
        (replace(SMALL, kind="noise"), replace(LARGE, kind="noise"), False),
        (replace(SMALL, eps=None), LARGE, False),
        (SMALL, replace(LARGE, eps=None), False),
        (replace(SMALL, chain="a"), replace(LARGE, chain="b"), False),
        (replace(SMALL, chain="a", name="square"), replace(LARGE, chain="a"), True),
        (replace(LARGE, chain="a"), replace(LARGE, chain="a", name="square"), True),
        (CLEAN, LARGE, False),
    ],
)
def test_an_attack_goes_on_with_the_survivors_of_its_own_kind_alone(before, attack, goes_on):
    assert continues(before, attack, eps_curve=True) is goes_on
    whole = before != CLEAN and before.eps == attack.eps
    assert continues(before, attack, eps_curve=False) is (goes_on and whole), "without a curve stages alone"


@pytest.mark.parametrize(
    ("name", "given"),
    [("autoattack", {}), ("autoattack", {"variant": "rand"}), ("lean", {}), ("lean+autoattack", {})],
)
def test_stages_stand_in_the_order_in_which_they_run(name, given):
    stages = attack_specs(name, [Eps.parse("8/255")], given=given)
    assert sorted(reversed(stages), key=stage_order) == stages


def test_noise_is_asked_at_every_deployed_lambda_and_neither_warmed_nor_transferred():
    noise, attack = (attack_specs(name, [Eps.parse("8/255")])[0] for name in ("noise", "pgd"))
    other = ModelSpec(name="other", source="o", arch="sdnet20", weights="d", training_lambda=0.1)
    cells = plan.attack_cells([SDNET, other], DATA, [noise, attack], [L1, L3], [L1], warm_start=True)
    for model in (SDNET, other):
        own = [cell for cell in cells if cell.model == model]
        drawn = [cell for cell in own if cell.perturbation.name == "noise"]
        assert [(cell.kind, cell.lam, cell.parents) for cell in drawn] == [
            ("noise", lam, ()) for lam in (L1, L3)
        ]
        cold, warm, moved = (cell for cell in own if cell.perturbation.name == "pgd")
        assert [(cell.kind, cell.lam, cell.warm) for cell in (cold, warm, moved)] == [
            ("attack", L1, False), ("attack", L1, True), ("transfer", L3, False),
        ]  # fmt: skip
        assert [cell.parents for cell in (cold, warm, moved)] == [(), (cold.id,), (warm.id,)], (
            "of its own model"
        )
