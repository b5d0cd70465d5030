"""Records of stores whose cells resemble each other: nothing is mixed up, and nothing hides what it should not."""

from dataclasses import replace

import numpy as np
import pytest

from robustbench_sdnet.answers.answered import Cost
from robustbench_sdnet.answers.frames import outcomes
from robustbench_sdnet.answers.per_image import places
from robustbench_sdnet.answers.records import records
from robustbench_sdnet.answers.snapshot import Snapshot
from robustbench_sdnet.specs import (
    CLEAN,
    AttackSpec,
    Cell,
    CorruptionSpec,
    DataSpec,
    Eps,
    LambdaSpec,
    ModelSpec,
    Repeats,
    params,
)
from robustbench_sdnet.specs.lambdas import is_upper_bound
from robustbench_sdnet.store.outcome import Outcome
from robustbench_sdnet.store.store import Shard, Store

MODEL = ModelSpec(name="sdnet", source="s", arch="sdnet20", weights="a", training_lambda=0.1)
DATA = DataSpec(name="digits", source="digits", split="test", content="c")
NOISE = CorruptionSpec(name="gaussian_noise", severity=3)
PGD = AttackSpec(name="pgd", eps=Eps.parse("8/255"), params=params({"steps": 20}))
COST = {
    "forwards": 1, "backwards": 0, "seconds": 0.1, "memory_mib": 1, "device": "cpu", "precision": "", "versions": {},
}  # fmt: skip


@pytest.fixture
def store(tmp_path):
    with Store(f"sqlite:///{tmp_path}/results.db") as opened:
        yield opened


def answer(store, cell, n, right, hits=None):
    nothing = np.full(n, np.nan, np.float32)
    outcome = Outcome(
        ids=np.arange(n),
        right=np.arange(n) < right,
        broken_at=np.where(np.arange(n) < right, -1, 0).astype(np.int32),
        margin=nothing,
        lam=nothing,
        residual=nothing,
        distance=nothing,
        hits=hits,
    )
    store.add_cells({cell.id: cell})
    store.add_shards([Shard(cell.id, 0, n, outcome, COST)])


def test_two_fits_of_one_policy_are_two_answers(store):
    for fit, counts in (("aaa", {1: 9, 2: 5}), ("bbb", {1: 8, 2: 6})):
        for severity, right in counts.items():
            lam = LambdaSpec("calibrated", fit=fit)
            noise = replace(NOISE, severity=severity)
            answer(store, Cell(model=MODEL, data=DATA, perturbation=noise, lam=lam), 10, right)
    found = sorted((row["severity"], row["accuracy"], row["lambda"]) for row in records(store))
    first, second = "calibrated [fit aaa]", "calibrated [fit bbb]"
    assert found == [(1, 0.8, second), (1, 0.9, first), (2, 0.5, first), (2, 0.6, second)]
    assert set(outcomes(store)["lambda"]) == {first, second}
    assert is_upper_bound("all:calibrated:test-labels [fit 12ab34]")


def test_two_models_of_equal_tensors_and_other_options_are_two_answers(store):
    for steps, right in ((2, 9), (4, 5)):
        model = replace(MODEL, options=params({"n_steps": steps}))
        answer(store, Cell(model=model, data=DATA, perturbation=NOISE, lam=LambdaSpec("0.1")), 10, right)
    assert sorted(row["accuracy"] for row in records(store)) == [0.5, 0.9]


def test_a_screened_answer_stands_until_float32_has_seen_as_many_images(store):
    screened = Cell(model=MODEL, data=DATA, perturbation=NOISE, lam=LambdaSpec("0.1"), precision="bfloat16")
    exact = replace(screened, precision="float32")
    store.add_cells({exact.id: exact})
    answer(store, screened, 20, 10)
    assert [row["n"] for row in records(store)] == [20], "float32 was planned and not answered"
    answer(store, exact, 10, 5)
    assert [row["n"] for row in records(store)] == [20]
    store.add_shards([Shard(exact.id, 10, 20, Outcome.join([store.outcome(screened.id, 10, 20)]), COST)])
    assert [row["cell"] for row in records(store)] == [exact.id]


def test_only_some_cells_are_looked_at(store):
    curve, scratch = (Cell(model=MODEL, data=DATA, perturbation=PGD, lam=LambdaSpec("0.1"),
                           lam_attack=LambdaSpec("0.1"), parents=parents) for parents in (("p",), ()))  # fmt: skip
    answer(store, curve, 10, 3)
    answer(store, scratch, 10, 4)
    assert [row["accuracy"] for row in records(store)] == [0.3], "the tighter bound stands"
    assert [row["accuracy"] for row in records(Snapshot.read(store, only={scratch.id}))] == [0.4]


def test_the_worst_case_knows_a_model_under_another_name(store):
    lams = [LambdaSpec("0.1"), LambdaSpec("0.5")]
    for name, made_at, right in (("a", lams[0], 6), ("b", lams[1], 4)):
        cell = Cell(
            model=replace(MODEL, name=name), data=DATA, perturbation=PGD, lam=lams[0], lam_attack=made_at
        )
        answer(store, cell, 10, right)
    worst = [row for row in records(store) if row["kind"] == "worst_case"]
    assert [row["accuracy"] for row in worst] == [0.4]


def test_transfers_alone_make_no_worst_case(store):
    deployed, others = LambdaSpec("0.7"), [LambdaSpec("0.1"), LambdaSpec("0.3")]
    made = [Cell(model=MODEL, data=DATA, perturbation=PGD, lam=deployed, lam_attack=lam) for lam in others]
    for cell, right in zip(made, (6, 5), strict=True):
        answer(store, cell, 10, right)
    assert {row["kind"] for row in records(store)} == {"transfer"}
    answer(store, replace(made[0], lam_attack=deployed), 10, 8)
    assert [row["accuracy"] for row in records(store) if row["kind"] == "worst_case"] == [0.5]


def test_images_of_two_data_sets_have_no_worst_case_in_common(store):
    lam, other = LambdaSpec("0.1"), replace(DATA, name="other", content="d")
    direct = Cell(model=MODEL, data=DATA, perturbation=PGD, lam=lam, lam_attack=lam)
    answer(store, direct, 10, 6)
    answer(store, replace(direct, data=other, lam_attack=LambdaSpec("0.5")), 10, 4)
    assert {row["kind"] for row in records(store)} == {"attack", "transfer"}


def test_oracles_are_of_several_lambdas_on_the_same_images(store):
    """Three numbers make one, as right as the best and at its scope; two do not, nor three of other images."""
    lams = [LambdaSpec(text, scope) for scope in ("stem", "all") for text in ("0.1", "0.3", "0.5")]
    for lam, right in zip(lams, (5, 8, 8, 1, 2, 3), strict=True):
        answer(store, Cell(model=MODEL, data=DATA, perturbation=NOISE, lam=lam), 10, right)
    for lam, n in zip(lams[:3], (10, 10, 8), strict=True):
        answer(store, Cell(model=MODEL, data=DATA, perturbation=replace(NOISE, severity=5), lam=lam), n, 5)
        answer(store, Cell(model=MODEL, data=DATA, perturbation=CLEAN, lam=lam), 10, 9)
    found = [row for row in records(store) if str(row["lambda"]).endswith("oracle")]
    assert [(row["lambda"], row["severity"], row["accuracy"], row["passes_forward"]) for row in found] == [
        ("all:oracle", 3, 0.3, 3),
        ("oracle", 3, 0.8, 3),
    ]


def test_a_worst_case_is_over_attack_lambdas_and_bears_the_plain_attacks_name(store):
    """An attack that was run twice at the deployed lambda, as in two chains or from a warm start, makes none."""
    lam, other = LambdaSpec("0.1"), LambdaSpec("0.5")
    plain = Cell(model=MODEL, data=DATA, perturbation=PGD, lam=lam, lam_attack=lam)
    warm = [
        replace(plain, perturbation=replace(PGD, shown="warm_start"), warm=True, parents=(parent,))
        for parent in "abcdefgh"
    ]
    warm.sort(key=lambda cell: cell.id, reverse=True)
    assert warm[-1].id < plain.id, "the one that breaks most comes before the plain one"
    for right, cell in enumerate((plain, *warm)):
        answer(store, cell, 10, 9 - right)
    assert {row["kind"] for row in records(store)} == {"attack"}
    answer(store, replace(plain, lam_attack=other), 10, 9)
    (found,) = [row for row in records(store) if row["kind"] == "worst_case"]
    assert (found["perturbation"], found["accuracy"], found["lambda_attack"]) == ("pgd", 0.1, None)


@pytest.mark.parametrize(("protocol", "counted"), [("mean", "majority"), ("any", "any")])
def test_a_worst_case_over_draws_says_how_it_counts_what_is_yes_or_no(store, protocol, counted):
    """Of ten draws seven are right on each image of one attack, six on half of the images of the other."""
    model = replace(MODEL, options=params({"randomised": True})).counted(Repeats(10, protocol))
    lams = [LambdaSpec("0.1"), LambdaSpec("0.5")]
    for made_at, right, hits in ((lams[0], 10, np.full(10, 7)), (lams[1], 5, np.repeat([6, 3], 5))):
        cell = Cell(model=model, data=DATA, perturbation=PGD, lam=lams[0], lam_attack=made_at)
        answer(store, cell, 10, right, hits.astype(np.int32))
    found = {row["kind"]: (row["accuracy"], row["draws"], row["protocol"]) for row in records(store)}
    shares = (0.7, 0.45) if protocol == "mean" else (0, 0)
    for kind, share in zip(("attack", "transfer"), shares, strict=True):
        assert found[kind] == (pytest.approx(share), 10, protocol)
    assert found["worst_case"] == (0.5, 10, counted)


def test_a_chain_does_not_take_the_name_of_an_attack_asked_for_alone(store):
    alone = Cell(
        model=MODEL, data=DATA, perturbation=PGD, lam=LambdaSpec("0.1"), lam_attack=LambdaSpec("0.1")
    )
    stage = replace(alone, perturbation=replace(PGD, chain="autoattack"))
    assert stage.id == alone.id
    answer(store, alone, 10, 4)
    store.add_cells({stage.id: stage})
    assert [row["perturbation"] for row in records(store)] == ["pgd"]


def test_an_answer_with_a_hole_says_which_images_it_is_of(store):
    cell = Cell(model=MODEL, data=DATA, perturbation=NOISE, lam=LambdaSpec("0.1"))
    answer(store, cell, 10, 8)
    assert "images" not in records(store)[0]
    assert records(store, with_cost=True)[0]["device"] == "cpu"
    part = store.outcome(cell.id, 0, 2)
    more = Shard(
        cell.id,
        10,
        12,
        replace(part, ids=np.arange(10, 12)),
        {**COST, "device": "cuda", "threads": 3, "memory_mib": 5},
    )
    store.add_shards([more])
    (cost,) = records(store, with_cost=True)
    assert (cost["device"], cost["memory_mib"]) == (["cpu", "cuda"], 5), "the most that any of it took"
    assert cost["threads"] == 3, "of the answers that hold it"
    holed = replace(cell, perturbation=replace(NOISE, severity=5))
    store.add_cells({holed.id: holed})
    for start, stop in ((0, 4), (6, 10), (10, 12)):
        part = store.outcome(cell.id, 0, stop - start)
        store.add_shards([Shard(holed.id, start, stop, replace(part, ids=np.arange(start, stop)), COST)])
    found = {row["severity"]: (row["n"], row["images"]) for row in records(store)}
    assert found == {3: (12, None), 5: (10, "0-3, 6-11")}


def test_the_cost_of_an_answer_is_that_of_all_its_shards():
    first = {
        "forwards": 4, "backwards": 3, "seconds": 0.1236, "memory_mib": 9.0, "device": "cpu",
        "precision": "float32", "versions": {"torch": "2"}, "threads": 1, "gradients": 4, "silent": 1,
    }  # fmt: skip
    second = {**first, "forwards": 5, "device": "cuda", "memory_mib": 7.0}
    older = {"forwards": 1, "backwards": 0, "seconds": 1, "device": "cpu"}
    cost = Cost.of([Shard("c", at, at + 1, None, each) for at, each in enumerate((first, second, older))])
    assert cost == Cost(
        forwards=10,
        backwards=6,
        seconds=1.247,
        memory_mib=9.0,
        devices=("cpu", "cuda"),
        precisions=("float32",),
        versions=({"torch": "2"},),
        gradients=8,
        silent=2,
        threads=(1,),
    )
    assert cost.plus([cost]) == replace(cost, forwards=20, backwards=12, seconds=2.494)


@pytest.mark.parametrize(
    ("ids", "said"),
    [([0, 1, 2], ""), ([1], "1"), ([0, 1, 3], "0-1, 3"), ([9, 3, 4, 7, 8], "3-4, 7-9"), ([], "")],
)
def test_images_are_named_by_the_ranges_of_their_ids(ids, said):
    assert places(np.array(ids, np.int64)) == said
