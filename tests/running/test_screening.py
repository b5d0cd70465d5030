"""Screening repeats every call that bfloat16 could have turned, and no more than it must."""

import torch

from robustbench_sdnet.answers.records import records
from robustbench_sdnet.planning import plan
from robustbench_sdnet.planning.questions import corruption_specs
from robustbench_sdnet.running.predict import FIRST, screened
from robustbench_sdnet.running.runner import run
from robustbench_sdnet.specs import LambdaSpec
from robustbench_sdnet.store.store import Store

from ..tiny_setting import RESNET, SDNET


def _case(noise, n=2000):
    generator = torch.Generator().manual_seed(0)
    exact = torch.randn(n, 10, generator=generator) * 3
    error = (torch.rand(n, 10, generator=generator) - 0.5) * 2 * noise
    return exact, exact + error


def test_decisions_are_those_of_the_exact_logits():
    for noise in (1e-3, 0.05, 0.3):
        exact, low = _case(noise)
        assert noise < 0.05 or bool((exact.argmax(1) != low.argmax(1)).any())
        found, repeated = screened(low, lambda rows, exact=exact: exact[rows])
        assert torch.equal(found.argmax(1), exact.argmax(1))
        assert FIRST <= repeated < len(low)


def test_repeats_grow_with_the_error_and_small_batches_are_exact():
    counts = []
    for noise in (1e-3, 0.05, 0.3):
        exact, low = _case(noise)
        counts.append(screened(low, lambda rows, exact=exact: exact[rows])[1])
    assert counts == sorted(counts)
    assert counts[0] < 100
    exact, low = _case(0.3, n=5)
    found, repeated = screened(low, lambda rows: exact[rows])
    assert torch.equal(found, exact)
    assert repeated == 5


def test_a_gap_of_less_than_four_times_what_the_closest_calls_moved_is_repeated():
    # The 16 closest calls move by 0.01: a gap of 0.03 lies below 4 * 0.01 and is turned, those of 1 are far above.
    gaps = torch.tensor([0.01] * 16 + [0.03] + [1.0] * 3)
    moved = torch.tensor([0.01] * 16 + [-0.04] + [0.0] * 3)
    low, exact = (torch.stack([gap, torch.zeros(20)], 1) for gap in (gaps, gaps + moved))
    found, repeated = screened(low, lambda rows: exact[rows])
    assert torch.equal(found, exact)
    assert repeated == 17


def test_a_screened_run_decides_as_float32_and_reports_prefer_float32(tmp_path, make_worker, data):
    specs = corruption_specs("gaussian_noise,contrast", [3])
    lambdas = (LambdaSpec("0.1"), LambdaSpec("0.5"))
    found = {}
    with Store(f"sqlite:///{tmp_path}/s.db") as store:
        for precision in ("bfloat16", "float32"):
            cells = plan.corruption_cells([SDNET, RESNET], data, specs, lambdas, precision)
            run(cells, store=store, worker=make_worker(), count=130)
            found[precision] = [store.outcome(cell.id).right.tolist() for cell in cells]
            answered = store.answered(lambda stored: stored, {cell.id for cell in cells})
            for stored in answered:  # what is repeated counts, at least the closest calls of each shard
                passes = sum(shard.cost["forwards"] for shard in stored.shards)
                repeated = FIRST * len(stored.shards) if stored.cell.precision == "bfloat16" else 0
                assert 130 + repeated <= passes <= (260 if repeated else 130)
            rows = records(store)
            assert len(rows) == len(cells)
        assert len({cell.id for cell in cells}) == len(cells)
    assert found["bfloat16"] == found["float32"]
