"""Learning rates against the formulas, worked by hand."""

from __future__ import annotations

import pytest

from robustbench_sdnet.training.recipes.options import TrainOptions


def rates(total, **options):
    return [TrainOptions(**options).learning_rate(step, total) for step in range(total)]


def test_cosine_per_iteration():
    found = rates(4, schedule="cosine", lr=1.0, lr_min=0.0)
    # (1 + cos(pi * k / 4)) / 2
    assert found == pytest.approx([1, 0.853553, 0.5, 0.146447], abs=1e-6)
    assert min(rates(1000, lr=0.1, lr_min=1e-6)) == pytest.approx(1e-6, abs=1e-6)


def test_cosine_falls_to_its_lowest_rate_and_warms_up():
    found = rates(4, schedule="cosine", lr=1.0, lr_min=0.2, warmup=0.5)
    # 0.2 + 0.8 (1 + cos(pi * k / 4)) / 2, of which the first step takes half
    assert found == pytest.approx([0.5, 0.882843, 0.6, 0.317157], abs=1e-6)


def test_step_lowers_at_milestones():
    found = rates(20, schedule="step", lr=1.0, epochs=10, milestones=(3, 6), gamma=0.1)
    assert found == pytest.approx([1.0] * 6 + [0.1] * 6 + [0.01] * 8)


def test_one_cycle_rises_to_lr_and_falls_to_zero():
    found = rates(10, schedule="one-cycle", lr=1.0, warmup=0.4)
    # rises by 1/4 a step, then (1 - k/10) / 0.6
    assert found == pytest.approx([0.25, 0.5, 0.75, 1, 1, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6])


def test_one_cycle_rises_for_three_tenths_unless_it_is_told():
    found = rates(10, schedule="one-cycle", lr=1.0)
    assert found == pytest.approx([1 / 3, 2 / 3, 1, 1, 6 / 7, 5 / 7, 4 / 7, 3 / 7, 2 / 7, 1 / 7])


def test_warmup_is_linear():
    found = rates(10, schedule="step", lr=1.0, warmup=0.5, milestones=())
    assert found == pytest.approx([0.2, 0.4, 0.6, 0.8, 1, 1, 1, 1, 1, 1])
