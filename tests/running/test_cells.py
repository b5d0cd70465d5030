"""Which cells a run asks beside those that it was given."""

from __future__ import annotations

import pytest

from robustbench_sdnet.planning.questions import attack_specs
from robustbench_sdnet.running.cells import _with_noise
from robustbench_sdnet.specs import Eps


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_every_budget_of_an_attack_has_noise_of_its_norm_and_seed_before_it(norm: str) -> None:
    budgets = [Eps.parse("1/255"), Eps.parse("8/255")]
    pgd, square = (attack_specs(name, budgets, norm, seed=3) for name in ("pgd", "square"))
    *noise, first, second, third, last = _with_noise([*pgd, *square])
    assert [first, second, third, last] == [*pgd, *square]
    assert noise == attack_specs("noise", budgets, norm, seed=3), "once for both attacks"
    assert {spec.seed for spec in noise} == {3}
