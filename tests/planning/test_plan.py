"""Plans: which cells, which shards, and what is left to do."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, strategies as st

from robustbench_sdnet.errors import InputError
from robustbench_sdnet.planning import costs, plan
from robustbench_sdnet.planning.questions import attack_specs
from robustbench_sdnet.specs import (
    CLEAN,
    AttackSpec,
    CorruptionSpec,
    DataSpec,
    Eps,
    LambdaSpec,
    ModelSpec,
    Repeats,
    SequenceSpec,
    params,
)

SDNET = ModelSpec(name="sdnet", source="s", arch="sdnet20", weights="a", training_lambda=0.1)
RESNET = ModelSpec(name="resnet", source="r", arch="resnet20", weights="b")
DATA = DataSpec(name="digits", source="digits", split="test", content="c")
FOG = CorruptionSpec(name="fog", severity=3)
L1, L3 = LambdaSpec("0.1"), LambdaSpec("0.3")


def pgd(eps="8/255", **options):
    return AttackSpec(name="pgd", eps=Eps.parse(eps), params=params({"steps": 20, **options}))


def test_time_left_knows_that_models_are_not_equally_fast():
    """Forward on two AVX2 cores: 109 images a second of resnet18, 88 of sdnet18, 35 of sdnet18_all."""

    def cost(arch, **options):
        model = ModelSpec(name=arch, source=arch, arch=arch, weights=arch, options=params(options))
        cells = plan.attack_cells([model], DATA, [pgd()])
        return sum(costs.bound(cell) for cell in cells)

    assert cost("sdnet18") == cost("resnet18") == cost("mine:net")
    assert cost("sdnet18_all", n_steps=2) == 3 * cost("resnet18")
    assert cost("sdnet18_all", n_steps=4) == 7 * cost("resnet18")
    assert cost("resnet20", width=64) == 16 * cost("resnet20") == cost("resnet18") * 19 / 17


def test_a_model_without_csc_layers_gives_one_cell_a_corruption():
    cells = plan.corruption_cells([SDNET, RESNET], DATA, [FOG], [L1, L3])
    asked = [(cell.model.name, cell.perturbation.name, cell.lam) for cell in cells]
    assert asked == [
        (name, corruption, lam)
        for corruption in ("clean", "fog")
        for name, lams in (("sdnet", (L1, L3)), ("resnet", (None,)))
        for lam in lams
    ]


def test_the_default_lambda_is_the_training_value():
    assert plan.corruption_cells([SDNET], DATA, [])[0].lam == L1


def test_attacks_take_gradients_at_the_deployed_lambda():
    cells = plan.attack_cells([SDNET], DATA, [pgd()], [L1, L3])
    attacks = [cell for cell in cells if cell.kind == "attack"]
    assert [(cell.lam, cell.lam_attack) for cell in attacks] == [(L1, L1), (L3, L3)]


def test_attack_lambdas_make_a_matrix_whose_off_diagonal_is_transfer_from_its_parent():
    cells = plan.attack_cells([SDNET], DATA, [pgd()], [L1, L3], [L1, L3])
    by_id = {cell.id: cell for cell in cells}
    transfer = [cell for cell in cells if cell.kind == "transfer"]
    assert [(cell.lam_attack, cell.lam) for cell in transfer] == [(L1, L3), (L3, L1)]
    for cell in transfer:
        parent = by_id[cell.parents[0]]
        assert parent.kind == "attack"
        assert parent.lam == cell.lam_attack
        assert cells.index(parent) < cells.index(cell)


def test_a_chain_at_other_lambdas_than_it_attacked_is_refused():
    chain = attack_specs("autoattack", [Eps.parse("8/255")])
    with pytest.raises(
        InputError, match=r"'autoattack' combines several attacks.* Leave out --attack-lambda"
    ):
        plan.attack_cells([SDNET], DATA, chain, [L1, L3], [L1])
    with_own = plan.attack_cells([SDNET], DATA, chain, [L1], [L1])
    assert [cell.id for cell in with_own] == [
        cell.id for cell in plan.attack_cells([SDNET], DATA, chain, [L1])
    ]
    plan.attack_cells([RESNET], DATA, chain, [L1, L3], [L1])  # has no lambda


def test_stages_of_a_chain_start_from_the_survivors_of_the_stage_before():
    stages = [
        AttackSpec(name=name, eps=Eps.parse(eps), chain="autoattack", params=params({"steps": 5}))
        for eps in ("4/255", "8/255")
        for name in ("apgd-ce", "square")
    ]
    cells = [cell for cell in plan.attack_cells([RESNET], DATA, stages) if cell.kind == "attack"]
    assert [len(cell.parents) for cell in cells] == [0, 1, 0, 1], "another eps is another chain"
    assert cells[1].parents == (cells[0].id,)
    assert cells[3].parents == (cells[2].id,)


def test_an_eps_curve_goes_on_with_the_same_attack_alone_and_not_from_a_warm_start():
    small, large, other = (
        pgd(eps, restarts=1, **more) for eps, more in (("2/255", {}), ("8/255", {}), ("8/255", {"steps": 7}))
    )

    def parents(*attacks, **given):
        cells = plan.attack_cells([RESNET], DATA, attacks, eps_curve=True, **given)
        return [bool(cell.parents) for cell in cells if cell.kind == "attack"]

    assert parents(small, large) == [False, True]
    assert parents(small, other) == [False, False]
    # Each budget once in the ordinary way, and once from that.
    assert parents(small, large, warm_start=True) == [False, True, False, True]
    assert parents(small, large, attack_lambdas=[L1]) == [False, False], "its images are evaluated elsewhere"


def test_two_data_sets_share_no_task():
    other = DataSpec(name="other", source="other", split="test", content="d")
    cells = [
        cell for data in (DATA, other) for cell in plan.corruption_cells([RESNET], data, [FOG], clean=False)
    ]
    assert [len(task.cells) for task in _tasks(cells, {}, 100)] == [1] * len(_tasks(cells[:1], {}, 100)) * 2


def test_usual_limits_fall_on_edges_of_the_grid():
    edges = {stop for _, stop in costs.grid(1000, 10_000)}
    assert {100, 200, 500, 1000, 2000, 10_000} <= edges
    assert max(stop - start for start, stop in costs.grid(1000, 10_000)) == 1000
    assert [stop for _, stop in costs.grid(50, 120)] == [50, 100, 120]


@given(size=st.sampled_from([10, 50, 100, 200, 500, 1000, 5000]), stop=st.integers(1, 12_000))
def test_a_grid_covers_everything_once(size, stop):
    shards = list(costs.grid(size, stop))
    assert shards[0][0] == 0
    assert shards[-1][1] == stop
    assert all(a[1] == b[0] for a, b in pairwise(shards))
    assert all(0 < b - a <= size for a, b in shards)


@given(
    wanted=st.tuples(st.integers(0, 50), st.integers(1, 50)).map(lambda t: (t[0], t[0] + t[1])),
    stored=st.lists(st.integers(0, 90), max_size=20, unique=True).map(
        lambda edges: list(zip(sorted(edges)[::2], sorted(edges)[1::2], strict=False))
    ),
)
def test_missing_is_the_set_difference(wanted, stored):
    def positions(ranges):
        return {i for a, b in ranges for i in range(a, b)}

    parts = list(costs.missing(wanted, stored))
    assert positions(parts) == positions([wanted]) - positions(stored)
    assert sum(b - a for a, b in parts) == len(positions(parts)), "no part twice"


def test_a_plan_looks_at_each_stored_shard_of_a_cell_a_few_times():
    class Counted(list):
        looked = 0

        def __iter__(self):
            Counted.looked += len(self)
            return super().__iter__()

        def __getitem__(self, where):
            found = super().__getitem__(where)
            Counted.looked += len(found) if isinstance(where, slice) else 1
            return found

    attack = plan.attack_cells([RESNET], DATA, [pgd(steps=1000)])[-1]
    stored = Counted(costs.grid(10, 50_000))
    tasks = plan.tasks([attack], {attack.id: stored}, 50_000, pixels=224 * 224, device="cpu")
    assert (len(stored), tasks) == (5000, [])
    assert Counted.looked < 50 * len(stored), "not each of them for each of them"


def _tasks(cells, stored, count):
    return plan.tasks(cells, stored, count, pixels=1024, device="cpu")


def test_one_corrupted_batch_serves_all_models_and_lambdas():
    cells = plan.corruption_cells([SDNET, RESNET], DATA, [FOG], [L1, L3])
    tasks = _tasks(cells, {}, 100)
    assert [len(task.cells) for task in tasks] == [3, 3]
    assert {cell.perturbation for cell in tasks[1].cells} == {FOG}
    assert _tasks(cells + cells, {}, 100) == tasks, "a cell that is asked twice is answered once"
    attacked = [*plan.attack_cells([SDNET, RESNET], DATA, [pgd()], [L1, L3])[-3:]]
    assert {len(task.cells) for task in _tasks(attacked, {}, 100)} == {1}, "each attack sees its own images"


def test_corruptions_alone_are_screened_in_bfloat16():
    sequence = SequenceSpec(name="fog", frames=2)
    cells = plan.corruption_cells([RESNET], DATA, [FOG, sequence], precision="bfloat16")
    assert [cell.precision for cell in cells] == ["float32", "bfloat16", "float32"]


def test_a_larger_limit_keeps_the_shards_of_a_smaller_one():
    cells = plan.corruption_cells([RESNET], DATA, [])
    first = _tasks(cells, {}, 250)
    stored = {cells[0].id: [(task.start, task.stop) for task in first]}
    second = _tasks(cells, stored, 1000)
    assert [(task.start, task.stop) for task in second] == [(250, 500), (500, 1000)]
    assert _tasks(cells, {cells[0].id: [(0, 1000)]}, 1000) == []


def test_only_cells_that_lack_a_shard_are_in_its_task():
    cells = plan.corruption_cells([SDNET, RESNET], DATA, [])
    tasks = _tasks(cells, {cells[0].id: [(0, 100)]}, 200)
    assert [(task.start, [cell.model.name for cell in task.cells]) for task in tasks] == [
        (0, ["resnet"]),
        (100, ["sdnet", "resnet"]),
    ]


def test_shards_shrink_with_the_cost_of_a_cell():
    cheap, dear = (plan.attack_cells([RESNET], DATA, [pgd(steps=steps)])[-1] for steps in (10, 1000))
    clean = plan.corruption_cells([RESNET], DATA, [])[0]
    sizes = [costs.shard_size(cell, 1024, "cpu") for cell in (clean, cheap, dear)]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] == 1000
    assert costs.shard_size(clean, 224 * 224, "cpu") < sizes[0]
    assert costs.shard_size(cheap, 1024, "cuda:1") > sizes[1]
    assert CLEAN.name == "clean"


def test_whatever_repeats_a_pass_is_counted():
    drawn = replace(RESNET, options=params({"randomised": True})).counted(Repeats(draws=11))
    (noise,) = attack_specs("noise", [Eps.parse("8/255")], given={"draws": "1000"})
    asked = {pgd(): 40, pgd(restarts=3): 120, pgd(eot=5): 200, pgd(targets=9): 360, noise: 1000}
    for own, passes in (({}, 40), ({"queries": 7}, 14), ({"n_queries": 9, "n_targets": 2}, 36)):
        asked[replace(pgd(), params=params(own))] = passes
    for attack, passes in asked.items():
        clean, attacked = plan.attack_cells([drawn], DATA, [attack])
        assert (costs.passes(clean), costs.passes(attacked)) == (11, passes)
    assert costs.passes(replace(attacked, model=RESNET, lam_attack=L1, lam=L3)) == 1, "transfer"
    assert costs.passes(replace(clean, perturbation=SequenceSpec(name="fog", frames=31))) == 31 * 11


def test_cells_on_survivors_have_shards_that_leave_a_batch_of_them():
    specs = attack_specs("autoattack", [Eps.parse("8/255")])
    stages = plan.attack_cells([RESNET], DATA, specs)[1:]
    assert [costs.shard_size(cell, 32 * 32, "cpu") for cell in stages] == [100, 50, 50, 50]
    # Of larger images a shard would take hours.
    assert [costs.shard_size(cell, 224 * 224, "cpu") for cell in stages] == [10, 10, 10, 10]
    # On a GPU a step of hundreds takes little longer than one of a few.
    assert [costs.shard_size(cell, 32 * 32, "cuda") for cell in stages] == [5000, 2000, 2000, 500]


@pytest.mark.parametrize("largest", [1, 7, 100, 250])
def test_batches_have_few_shapes(largest):
    from robustbench_sdnet.running.predict import batches

    shapes = set()
    for count in range(1, 600):
        parts = list(batches(count, largest))
        assert np.concatenate([np.arange(a, b) for a, b, _ in parts]).tolist() == list(range(count))
        assert all(b - a <= size <= largest for a, b, size in parts)
        shapes |= {size for _, _, size in parts}
    assert len(shapes) <= 7


def test_the_dearest_attack_still_has_shards():
    square = AttackSpec(name="square", eps=Eps.parse("8/255"), params=params({"steps": 5000}))
    cell = plan.attack_cells([RESNET], DATA, [square])[-1]
    for pixels in (32 * 32, 224 * 224):
        for device in ("cpu", "cuda"):
            assert costs.shard_size(cell, pixels, device) >= 10


def test_two_variants_of_a_chain_are_told_apart_and_do_not_continue_each_other():
    from robustbench_sdnet.planning.questions import attack_specs

    eps = [Eps.parse("8/255")]
    specs = (
        attack_specs("autoattack", eps)
        + attack_specs("autoattack", eps, seed=1)
        + attack_specs("autoattack", eps, given={"variant": "rand"})
    )
    assert [spec.chain for spec in specs[::4]] == [
        "autoattack",
        "autoattack(seed=1)",
        "autoattack(variant=rand)",
    ]
    cells = [cell for cell in plan.attack_cells([RESNET], DATA, specs) if cell.kind == "attack"]
    assert [len(cell.parents) for cell in cells] == [0, 1, 1, 1, 0, 1, 1, 1, 0, 1]


def test_searches_that_rounding_misleads_stay_in_float32(monkeypatch):
    from robustbench_sdnet.attacks.native import wrapper
    from robustbench_sdnet.planning.questions import attack_specs
    from robustbench_sdnet.running.cells import search_precision

    monkeypatch.setattr(wrapper, "native_bfloat16", lambda device: True)
    budget = Eps.parse("8/255")
    found = {
        name: [search_precision(attack_specs(name, eps)[0], asked, "cpu") for asked in ("auto", "bfloat16")]
        for name, eps in {
            "pgd": [budget],
            "square": [budget],
            "fab-t": [],
            "fmn": [budget],
            "noise": [budget],
            "torchattacks:MIFGSM": [budget],
        }.items()
    }
    assert found == {
        "pgd": ["bfloat16", "bfloat16"],
        "square": ["float32", "float32"],
        "fab-t": ["float32", "float32"],
        "fmn": ["float32", "float32"],
        "noise": ["float32", "float32"],
        "torchattacks:MIFGSM": ["float32", "float32"],
    }
