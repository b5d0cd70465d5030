"""A cell's id never changes: what is stored under it would be computed again, or taken for another answer."""

from __future__ import annotations

from dataclasses import asdict
from decimal import Decimal

from robustbench_sdnet.planning.identity import shown_name
from robustbench_sdnet.planning.plan import attack_cells, corruption_cells
from robustbench_sdnet.planning.questions import attack_specs, corruption_specs
from robustbench_sdnet.specs import Cell, DataSpec, Eps, LambdaSpec, ModelSpec, params
from robustbench_sdnet.specs.models import canonical

SDNET = ModelSpec(
    name="s",
    source="s",
    arch="sdnet20",
    weights="a" * 64,
    options=params({"width": 16, "n_steps": 2}),
    mean=(0.5, 0.5, 0.5),
    std=(0.25, 0.25, 0.25),
    training_lambda=0.1,
)
RESNET = ModelSpec(name="r", source="r", arch="resnet20", weights="b" * 64)
DATA = DataSpec(name="digits", source="digits", split="test", content="c" * 64)
LAMBDAS = (LambdaSpec("0.1"), LambdaSpec("0.5", "all"), LambdaSpec("calibrated", fit="f" * 16))
SMALL, USUAL = [Eps.parse("2/255")], [Eps.parse("8/255")]

# Taken from commit 8126cf1, those in l2 from when its version became 1: model, perturbation, severity or eps,
# lambda, lambda of the attack.
IDS = (
    "b68036d20680716f34fa43e4",  # s clean 0.1 -
    "43e91fdd189756a63a6aef4f",  # s clean 0.5 -
    "6ddd6d1eb74275f37165dfcd",  # s clean calibrated -
    "57b0f8e1cf311d3c58baffaa",  # r clean - -
    "5e92915834f620d7e9e48450",  # s gaussian_noise(seed=3) 5 0.1 -
    "9d29f9c84aa92ae36322914e",  # s gaussian_noise(seed=3) 5 0.5 -
    "1b4e0b56977e9de0293f0ca0",  # s gaussian_noise(seed=3) 5 calibrated -
    "5cbc5619f2752153ef57810e",  # r gaussian_noise(seed=3) 5 - -
    "a58b092b51dbf8261bc16dfd",  # s shot_noise@0.1 0.1 -
    "43781655eb0a9b3067d27853",  # s shot_noise@0.1 0.5 -
    "5e3e1666bbf778e10114409c",  # s shot_noise@0.1 calibrated -
    "9ebd8000b2b6e7a75a3f3353",  # r shot_noise@0.1 - -
    "986da85e8994b12f6fd29495",  # s contrast 1 0.1 -
    "eeb887415d3834cfd6941c6a",  # s contrast 1 0.5 -
    "b4a1d2cac8b664f91d0351e6",  # s contrast 1 calibrated -
    "85b0e319206ccdbb107c3c97",  # r contrast 1 - -
    "1dcbdd263afdf55313f880e3",  # s pgd(steps=3,seed=1) 2/255 0.1 0.1
    "74dc4c9a2a617cd91dd3a10e",  # s pgd(steps=3,seed=1) 8/255 0.1 0.1
    "8a114f6cb58706e4c1c8f33f",  # r autoattack/apgd-ce 8/255 - -
    "f468e9f0ae9855cbf9780f5d",  # r autoattack/apgd-t 8/255 - -
    "0afb10294861e635842219bd",  # r autoattack/fab-t 8/255 - -
    "fa4747dae80df3c3965f37b0",  # r autoattack/square 8/255 - -
    "6cae212c1ee2e8ffdaa9eeb8",  # r noise 8/255 - -
    "404eab23e140d1589ab18341",  # r fab-t - -
    "72762cf082482c34a90ef205",  # s pgd 8/255 0.1 0.1
    "5029408fa17466803c47bb0f",  # s pgd 8/255 0.5 0.1
    "16e5f18d83a0c5c1e8967044",  # s pgd 8/255 0.5 0.5
    "0ce214ce7dd1d03ec0515af2",  # s pgd 8/255 0.1 0.5
    "227a9ccc9ee71dfcebb7d8a3",  # s pgd 8/255 0.1 0.1
    "788c143e264078b53f91e8ee",  # s pgd(warm_start) 8/255 0.1 0.1, warm
    "d6dbafffc54768f4a43efdf2",  # s pgd(warm_start) 8/255 0.5 0.5, warm
    "e2860d50016f1a55cb03a60c",  # r torchattacks:CW - -
    "9a35606e0d3cabcccdf3f0a0",  # r foolbox:LinfPGD 8/255 - -
)


def cells():
    corruptions = [
        *corruption_specs("gaussian_noise", [5], seed=3),
        *corruption_specs("shot_noise", levels=[Decimal("0.10")]),
        *corruption_specs("contrast", [1], source="published"),
    ]
    yield from corruption_cells([SDNET, RESNET], DATA, corruptions, LAMBDAS, "bfloat16")
    curve = attack_specs("pgd", SMALL + USUAL, given={"steps": "3"}, seed=1)
    yield from attack_cells([SDNET], DATA, curve, LAMBDAS[:1], eps_curve=True)
    attacks = (
        attack_specs("autoattack", USUAL) + attack_specs("noise", USUAL) + attack_specs("fab-t", [], "l2")
    )
    yield from attack_cells([RESNET], DATA, attacks, precision="bfloat16")
    yield from attack_cells([SDNET], DATA, attack_specs("pgd", USUAL), LAMBDAS[:2], LAMBDAS[:2])
    yield from attack_cells([SDNET], DATA, attack_specs("pgd", USUAL, "l2"), LAMBDAS[:2], warm_start=True)
    others = attack_specs("torchattacks:CW", [], "l2") + attack_specs("foolbox:LinfPGD", USUAL)
    yield from attack_cells([RESNET], DATA, others)


def test_ids_are_those_under_which_answers_are_stored():
    assert tuple(dict.fromkeys(cell.id for cell in cells())) == IDS


def test_square_is_asked_anew_in_the_norms_in_which_its_answers_changed():
    found = {norm: attack_specs("autoattack", USUAL, norm)[-1].version for norm in ("linf", "l2", "l1")}
    assert found == {"linf": 1, "l2": 3, "l1": 3}
    assert attack_specs("apgd-ce", USUAL, "l1")[0].version == 2


def test_a_cell_that_is_read_back_has_its_id():
    assert all(Cell.from_json(cell.to_json()) == cell for cell in cells())


def test_a_cell_is_written_with_all_its_fields_and_nothing_else():
    for cell in cells():
        assert len(cell.id) == 24  # known from now on, and no field
        assert cell.to_json() == canonical(asdict(cell))


def test_a_data_set_whose_file_name_is_no_text_has_a_name_that_reports_can_write():
    assert shown_name("npz:/a/t\udcff.npz") == r"npz:t\udcff.npz"
