"""Specs: what users may write, and what identifies a cell."""

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

from robustbench_sdnet.errors import InputError
from robustbench_sdnet.specs import (
    CLEAN,
    AttackSpec,
    Cell,
    CorruptionSpec,
    DataSpec,
    Eps,
    LambdaSpec,
    ModelSpec,
    SequenceSpec,
    decimal_text,
    params,
    parse_eps_list,
    parse_lambdas,
    parse_numbers,
    parse_severities,
)
from robustbench_sdnet.specs.budgets import budget_doubts, check_reach
from robustbench_sdnet.specs.models import same_answers

MODEL = ModelSpec(name="a", source="runs/a", arch="sdnet20", weights="ab" * 32, training_lambda=0.1)
DATA = DataSpec(name="digits", source="digits", split="test", content="cd" * 32)
DRAWN = replace(MODEL, options=params({"draws": 11, "protocol": "any"}))
PGD = AttackSpec(name="pgd", eps=Eps.parse("8/255"), params=params({"steps": 20, "step_size": None}))
CELL = Cell(model=MODEL, data=DATA, perturbation=PGD, lam=LambdaSpec("0.1"), lam_attack=LambdaSpec("0.1"))


def test_eps_is_an_exact_fraction_kept_with_its_text():
    eps = Eps.parse("8/255")
    assert (eps.fraction, eps.text, float(eps)) == (Fraction(8, 255), "8/255", 8 / 255)
    assert Eps.parse("0.031").fraction == Fraction(31, 1000) != Fraction(8, 255)
    assert Eps.parse(8 / 255).fraction == Fraction(8, 255), "a float computed as 8/255 is meant as 8/255"
    assert Eps.parse(np.float64(0.031)).fraction == Fraction(31, 1000)
    assert Eps.parse("3", norm="l2").fraction == 3
    assert len({Eps.parse("0.5", "l2"), Eps.parse("1/2", "l2")}) == 1, "one ball, however it was written"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("8", r"at most 1 .*got '8'. Write 8/255"),
        ("2", "Write 2/255"),
        ("255", "Write 255/255"),
        ("256", r"got '256'\.$"),
        ("1.5", r"got '1\.5'\.$"),
        ("abc", "got 'abc'"),
        ("-1/255", "not be negative"),
        ("1/0", "got '1/0'"),
        ("nan", "got 'nan'"),
        ("", "got ''"),
    ],
)
def test_eps_refuses_what_cannot_be_a_budget(text, message):
    with pytest.raises(InputError, match=message):
        Eps.parse(text)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -0.1, Eps.parse("3", "l2")])
def test_eps_refuses_numbers_that_are_no_budget(value):
    with pytest.raises(InputError, match="eps must"):
        Eps.parse(value)


@pytest.mark.parametrize(
    ("typed", "text"),
    [
        *(("8/255", "8/255"), ("16/510", "8/255"), (" 8 / 255", "8/255"), (8 / 255, "8/255"), ("1/2", "0.5")),
        *(
            ("0.50", "0.5"),
            ("0.5/255", "0.5/255"),
            ("0/255", "0"),
            ("1/7", "1/7"),
            ("0.031", "0.031"),
            (12, "12"),
        ),
    ],
)
def test_a_budget_has_one_spelling(typed, text):
    found = Eps.parse(typed, "l2")
    assert found.text == text
    assert Eps.parse(found.text, "l2") == found


@pytest.mark.parametrize("kind", [np.float64, np.float32, np.float16])
def test_a_budget_of_numpy_is_what_it_was_rounded_from(kind):
    """8/255 in float32 was 0.03137255, its own question."""
    for level in range(256):
        assert Eps.parse(kind(level / 255)).fraction == Fraction(level, 255)
        assert Eps.parse(kind(level) / kind(255)).fraction == Fraction(level, 255)
    for text in ("0.1", "0.031", "0.5", "1e-05"):
        assert Eps.parse(kind(text)) == Eps.parse(text)
    several = parse_eps_list(np.array([2, 1], kind) / 255), parse_eps_list("1/255,2/255")
    assert several[0] == several[1]
    assert parse_eps_list(np.array(8 / 255, kind)) == parse_eps_list("8/255")


def test_eps_lists_are_sorted_and_without_repeats():
    assert [eps.text for eps in parse_eps_list("8/255, 1/255,16/510")] == ["1/255", "8/255"]
    with pytest.raises(InputError, match="must not be empty"):
        parse_eps_list("8/255,")


@pytest.mark.parametrize(
    ("text", "found"), [("3", (3,)), ("1-5", (1, 2, 3, 4, 5)), ("5,1", (1, 5)), ("1-2,2-3", (1, 2, 3))]
)
def test_severities(text, found):
    assert parse_severities(text) == found


@pytest.mark.parametrize("text", ["0", "6", "0-3", "1-9", "5-1", "", "x", "1-", "1.5"])
def test_severities_outside_1_to_5_are_refused(text):
    with pytest.raises(InputError, match="severity must"):
        parse_severities(text)


def test_lambda_ranges_include_both_ends_exactly():
    published = parse_lambdas("0.1:1.4:0.1")
    assert len(published) == 14
    assert [lam.text for lam in published[:3]] == ["0.1", "0.2", "0.3"], "decimals, not 0.30000000000000004"
    assert published[-1].text == "1.4"
    assert [lam.text for lam in parse_lambdas("0.10,0.4,1e-1")] == ["0.1", "0.4"]
    assert parse_lambdas("label-free:entropy,0.1")[0].fixed is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("-0.1", "not negative"),
        ("inf", "finite"),
        ("0.5:0.1:0.1", "first <= last"),
        ("0.1:1:0", "step above 0"),
        ("0.1:0.2", "first:last:step"),
        ("0:1:1e-9", "more than 1000"),
        ("much", "Unknown lambda policy 'much'"),
    ],
)
def test_bad_lambdas_are_refused(text, message):
    with pytest.raises(InputError, match=message):
        parse_lambdas(text)


def test_numbers_and_decimal_text():
    assert parse_numbers("0.02:0.20:0.02", "level")[-1] == Decimal("0.2")
    assert parse_numbers("3,1:2:1,0.5", "level") == (3, 1, 2, Decimal("0.5"))
    texts = {0.1: "0.1", "1.0": "1", Decimal("1E+2"): "100", 0: "0", "0.0": "0", "-0": "0"}
    assert {given: decimal_text(given) for given in texts} == texts


def test_a_cell_survives_json():
    sequence = SequenceSpec(name="fog", frames=31, difficulty=2, seed=1)
    for asked in (PGD, CLEAN, sequence):
        cell = replace(CELL, perturbation=asked, warm=True)
        copy = Cell.from_json(cell.to_json())
        assert copy == cell
        assert copy.id == cell.id


def test_a_cell_of_a_version_without_warm_starts_is_read_as_one_without():
    assert Cell.from_json(CELL.to_json().replace(',"warm":false', "")) == CELL


def test_equal_questions_have_equal_ids_whatever_they_are_called():
    same = [
        replace(CELL, model=replace(MODEL, name="b", source="elsewhere")),
        replace(CELL, data=replace(DATA, name="copy", source="npz:copy.npz")),
        replace(CELL, perturbation=replace(PGD, eps=Eps.parse("16/510"))),
        replace(CELL, perturbation=replace(PGD, params=params({"step_size": None, "steps": np.int64(20)}))),
    ]
    assert {cell.id for cell in same} == {CELL.id}
    assert same[-1] == CELL, "hyper-parameters have one order"


def test_everything_that_can_change_an_answer_changes_the_id():
    different = [
        replace(CELL, model=replace(MODEL, weights="ef" * 32)),
        replace(CELL, model=replace(MODEL, mean=(0.5, 0.5, 0.5))),
        replace(CELL, model=replace(MODEL, options=params({"n_steps": 3}))),
        replace(CELL, model=replace(MODEL, fingerprint=(8.0, 8.0, 1.0))),
        replace(CELL, data=replace(DATA, content="00" * 32)),
        replace(CELL, data=replace(DATA, split="train")),
        replace(CELL, perturbation=replace(PGD, eps=Eps.parse("0.031"))),
        replace(CELL, perturbation=replace(PGD, norm="l2")),
        replace(CELL, perturbation=replace(PGD, seed=1)),
        replace(CELL, perturbation=replace(PGD, version=2)),
        replace(CELL, perturbation=replace(PGD, params=params({"steps": 40, "step_size": None}))),
        replace(CELL, perturbation=CLEAN),
        replace(CELL, perturbation=CorruptionSpec(name="fog", severity=3)),
        replace(CELL, perturbation=CorruptionSpec(name="fog", severity=3, source="published")),
        replace(CELL, perturbation=CorruptionSpec(name="fog", severity=3, table="imagenet")),
        replace(CELL, perturbation=CorruptionSpec(name="fog", severity=3, stored="jpeg85")),
        replace(CELL, perturbation=CorruptionSpec(name="fog", level="3")),
        replace(CELL, perturbation=SequenceSpec(name="fog", frames=31)),
        replace(CELL, perturbation=SequenceSpec(name="fog", frames=31, difficulty=2)),
        replace(CELL, lam=LambdaSpec("0.2")),
        replace(CELL, lam_attack=LambdaSpec("0.2")),
        replace(CELL, lam=LambdaSpec("0.1", scope="all")),
        replace(CELL, precision="bfloat16"),
        replace(CELL, parents=("x",)),
        replace(CELL, parents=("x",), warm=True),
    ]
    assert len({cell.id for cell in (CELL, *different)}) == len(different) + 1


def test_kinds():
    assert CELL.kind == "attack"
    assert replace(CELL, lam=LambdaSpec("0.5")).kind == "transfer"
    assert replace(CELL, perturbation=replace(PGD, kind="noise")).kind == "noise"
    assert replace(CELL, perturbation=CLEAN).kind == "clean"
    assert replace(CELL, perturbation=SequenceSpec(name="fog", frames=31)).kind == "sequence"


@pytest.mark.parametrize(
    ("changes", "needed"),
    [
        ({"parents": ("x",)}, False),
        ({"parents": ("x",), "warm": True}, True),
        ({"parents": ("x",), "lam": LambdaSpec("0.5")}, True),
        ({"parents": ("x",), "model": DRAWN}, True),
        ({"model": DRAWN}, False),
    ],
)
def test_survivors_alone_ask_for_no_images_but_of_a_randomised_model(changes, needed):
    assert replace(CELL, **changes).needs_images is needed


@pytest.mark.parametrize(
    ("other", "same"),
    [
        # Of logits up to 4 the last may be 0.004 apart; the size of the images is no logit.
        ((8.0, 8.0, 1.0, -4.0), True),
        ((8.0, 8.0, 1.0035, -4.0), True),
        ((8.0, 8.0, 1.0, -4.0045), False),
        ((8.0, 8.0, 1.0045, -4.0), False),
        ((8.0, 8.0, 1.0, -4.0, 0.0), False),
        ((8.0, 9.0, 1.0, -4.0), False),
        ((), False),
    ],
)
def test_answers_are_the_same_within_a_thousandth_of_the_largest(other, same):
    assert same_answers((8.0, 8.0, 1.0, -4.0), other) is same


def test_bad_norms_and_scopes_are_refused():
    with pytest.raises(InputError, match="norm must be one of linf, l2, l1, l0, got 'l7'"):
        replace(PGD, norm="l7")
    with pytest.raises(InputError, match="scope must be"):
        LambdaSpec("0.1", scope="some")


def test_a_budget_of_twice_what_lies_between_any_two_images_is_refused():
    # Images of 3 x 3 x 4 values lie 6 apart in l2 and 36 in l1; in l0 budgets are no distances.
    for norm, taken, refused in (("l2", "11.99", "12"), ("l1", "71.99", "72")):
        check_reach(Eps.parse(taken, norm), norm, 3, 4)
        with pytest.raises(InputError, match=f"{norm} eps {refused} is more than any attack needs"):
            check_reach(Eps.parse(refused, norm), norm, 3, 4)
    check_reach(Eps.parse("72", "l0"), "l0", 3, 4)


@pytest.mark.parametrize("value", [1, 1.0, True])
def test_a_cell_read_back_is_the_same_beside_one_of_an_equal_number_of_another_type(value):
    model = ModelSpec(name="m", source="m", arch="m", weights="a", options=params({"width": value}))
    spec = CorruptionSpec(name="fog", severity=value)
    asked = Cell(
        model=model, data=DataSpec(name="d", source="d", split="test", content="c"), perturbation=spec
    )
    assert Cell.from_json(asked.to_json()).id == asked.id


def told(*asked):
    """What is said of budgets, "l2 0.5" and so on, on images of 8x8."""
    pairs = (text.split() for text in asked)
    return list(budget_doubts(((norm, Eps.parse(eps, norm)) for norm, eps in pairs), 8, 8))


@pytest.mark.parametrize(
    "asked", ["linf 1/255", "linf 0.25/255", "linf 0.3", "l2 0.06", "l2 6.9", "l1 1.5", "l2 0"]
)
def test_of_a_usual_budget_nothing_is_said(asked):
    assert told(asked) == []
    assert list(budget_doubts([("l2", None), ("l0", None), ("l0", Eps.parse("1"))], 8, 8)) == []


def test_a_budget_that_may_be_of_another_norm_is_doubted():
    (line,) = told("l2 8/255")
    assert line == (
        "l2 eps 8/255 is less than budgets in l2 usually are, 0.0625 to 1: it may be meant in another norm."
    )
    assert len(told("l1 0.5", "l2 8/255")) == 2
    assert told("l2 8/255", "l2 0.5") == [], "a curve may begin there"


def test_a_budget_that_makes_any_image_grey_is_doubted():
    # each of 3 x 8 x 8 = 192 values moves by 0.5 at most: 0.5 in linf, 0.5 * sqrt(192) = 6.93 in l2, 96 in l1
    for asked in ("linf 0.5", "l2 6.93", "l1 96"):
        (line,) = told(asked)
        assert "makes plain grey of any image of 8x8, which no model withstands" in line
    assert told("linf 8/255", "linf 1") == [], "a curve may end there"
