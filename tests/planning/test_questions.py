"""From what a user asks to specs: norms and budgets where the user left them open."""

from decimal import Decimal
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest

from robustbench_sdnet.errors import InputError
from robustbench_sdnet.planning.asked import Asked
from robustbench_sdnet.planning.questions import attack_specs, budgets, corruption_specs, eps_curve, lambda_of
from robustbench_sdnet.specs import SEVERITIES, CorruptionSpec, Eps, LambdaSpec, SequenceSpec, params


@pytest.mark.parametrize(
    ("name", "norm", "eps", "found"),
    [
        ("pgd", None, None, ("linf", ["8/255"])),
        ("pgd", "l2", None, ("l2", ["0.5"])),
        ("pgd", "l2", "1,0.25", ("l2", ["0.25", "1"])),
        ("pgd", "linf", 8 / 255, ("linf", ["8/255"])),
        ("pgd", "linf", [4 / 255, "8/255"], ("linf", ["4/255", "8/255"])),
        ("pgd", "linf", ["8/255", 4 / 255, "8/255"], ("linf", ["4/255", "8/255"])),
        ("torchattacks:PGDL2", None, None, ("l2", ["0.5"])),
        ("foolbox:SparseL1DescentAttack", None, None, ("l1", ["12"])),
        ("fab-t", None, None, ("linf", [])),
        ("foolbox:HopSkipJumpAttack", None, None, ("linf", [])),
        ("torchattacks:CW", None, None, ("l2", [])),
        ("torchattacks:JSMA", None, None, ("l0", [])),
    ],
)
def test_the_budget_left_open_is_the_norms_usual_one(name, norm, eps, found):
    norm, asked = budgets(name, norm, eps)
    assert (norm, [budget.text for budget in asked]) == found


def test_norms_and_budgets_that_an_attack_lacks_are_refused():
    with pytest.raises(InputError, match=r"'pgd' has no norm 'l0'. It knows: linf, l2"):
        budgets("pgd", "l0")
    with pytest.raises(InputError, match="at most 1"):
        budgets("pgd", "linf", "12")


def test_levels_are_refused_before_any_work():
    for names, level, rule in (
        ("gaussian_noise,fog", "0.1", "fog takes a severity from 1 to 5, no level, got level 0.1"),
        ("gaussian_noise,impulse_noise", "5", "level of impulse_noise must lie between 0 and 1, got '5.0'"),
    ):
        with pytest.raises(InputError, match=rule):
            Asked(corruptions=names, levels=[Decimal(level)])
    for option, value in (("severities", [3]), ("table", "tiny")):
        with pytest.raises(
            InputError, match=r"--level sets the parameter itself. Leave out --(severity|table)"
        ):
            Asked(corruptions="gaussian_noise", levels=[Decimal("0.1")], **{option: value})


def test_an_unknown_parameter_set_is_refused_before_any_work():
    with pytest.raises(InputError, match=r"'imagnet'\. Did you mean 'imagenet'"):
        Asked(table="imagnet")


def test_an_eps_curve_is_around_the_usual_budget():
    for norm in ("linf", "l2"):
        _, curve = budgets("pgd", norm, eps_curve("pgd", norm))
        (usual,) = budgets("pgd", norm)[1]
        assert [budget.fraction / usual.fraction for budget in curve] == [
            Fraction(2) ** k for k in range(-3, 2)
        ]
    with pytest.raises(InputError, match="l0 has no eps curve"):
        eps_curve("torchattacks:JSMA")


def test_a_full_eps_curve_goes_on_until_any_image_is_within_reach():
    values = 3 * 32 * 32
    assert eps_curve("pgd", "linf", full=values).endswith(",16/255,32/255,64/255,128/255,1")
    # The corners of the box lie sqrt(3072) = 55.4 and 3072 apart, of 224 x 224 images 388 and 150,528.
    assert eps_curve("pgd", "l2", full=values).endswith(",1,2,4,8,16,32,64")
    assert eps_curve("pgd", "l1", full=values).endswith(",24,48,96,192,384,768,1536,3072")
    assert eps_curve("pgd", "l2", full=3 * 224 * 224).split(",")[-2:] == ["256", "512"]
    assert eps_curve("pgd", "l1", full=3 * 224 * 224).split(",")[-2:] == ["98304", "196608"]
    assert eps_curve("pgd", full=values).startswith(eps_curve("pgd"))


def test_a_lambda_of_python_is_set_where_its_scope_says():
    assert lambda_of(0.5, "all") == LambdaSpec("0.5", "all")
    assert lambda_of(None, "stem") is None
    with pytest.raises(InputError, match="lambda_scope says where lam is set, which is not given"):
        lambda_of(None, "all")


def test_severities_and_difficulties_of_python_may_be_texts_as_on_the_command_line_or_one_number():
    for given, found in (("1-3", (1, 2, 3)), (3, (3,)), ("5", (5,)), ([2, 1], (2, 1)), (np.int64(4), (4,))):
        assert Asked(severities=given).severities == found
    assert Asked(corruptions="main", sequences=True, difficulties="1,3").difficulties == (1, 3)
    for wrong in ("13", 6, [7], "x"):
        with pytest.raises(InputError, match="severit"):
            Asked(severities=wrong)


def test_a_corruption_is_asked_with_all_that_its_images_depend_on_and_with_nothing_else():
    names, table = "gaussian_noise,contrast,salt_and_pepper", ("tiny", "300x300")
    drawn = {"severity": 3, "stored": "jpeg85"}
    assert corruption_specs(names, [3], seed=7, table=table, stored="jpeg85") == [
        # Images of more than 224 x 224 have a version of their own; contrast draws nothing; the levels of salt and
        # pepper are alike in every table.
        CorruptionSpec(name="gaussian_noise", seed=7, version=2, table="tiny", size="300x300", **drawn),
        CorruptionSpec(name="contrast", table="tiny", size="300x300", **drawn),
        CorruptionSpec(name="salt_and_pepper", seed=7, **drawn),
    ]
    (published,) = corruption_specs("gaussian_noise", [3], seed=7, source="published")
    assert published == CorruptionSpec(name="gaussian_noise", severity=3, source="published")
    (level,) = corruption_specs("gaussian_noise", levels=[Decimal("0.10")], table=table)
    assert level == CorruptionSpec(name="gaussian_noise", level="0.1", version=2)


IMAGES = SimpleNamespace(image_shape=(32, 32), pixels=None)


def test_what_is_asked_of_images_is_drawn_by_the_seed_and_stored_as_said():
    asked = Asked(corruptions="gaussian_noise", severities=3, seed=7, stored="jpeg85", table="tiny").of(
        IMAGES
    )
    table = ("tiny", "32x32")
    assert asked == corruption_specs("gaussian_noise", [3], seed=7, stored="jpeg85", table=table)
    assert Asked(corruptions="fog").of(IMAGES) == corruption_specs("fog", SEVERITIES)
    levels = [Decimal("0.1")]
    assert Asked(corruptions="gaussian_noise", levels=levels).of(IMAGES) == corruption_specs(
        "gaussian_noise", levels=levels
    )


def test_sequences_are_drawn_by_the_seed_where_they_draw_at_all():
    noise, rotated = Asked(corruptions="gaussian_noise,rotate", sequences=True, seed=7).of(IMAGES)
    assert noise == SequenceSpec(name="gaussian_noise", frames=31, first=True, seed=7)
    assert rotated == SequenceSpec(name="rotate", frames=31)


def test_a_chain_is_asked_budget_after_budget_each_stage_with_the_norm_and_the_seed():
    specs = attack_specs("autoattack", [Eps.parse("0.25"), Eps.parse("0.5")], "l2", seed=3)
    stages = ("apgd-ce", "apgd-t", "fab-t", "square")
    assert [(one.eps.text, one.name) for one in specs] == [
        (eps, stage) for eps in ("0.25", "0.5") for stage in stages
    ]
    assert {(one.norm, one.seed, one.chain) for one in specs} == {("l2", 3, "autoattack(seed=3)")}


def test_an_option_that_came_later_identifies_an_attack_where_it_is_not_the_default():
    usual, averaged = (attack_specs("pgd", [Eps.parse("8/255")], given={"eot": eot})[0] for eot in ("1", "5"))
    assert dict(averaged.params) == {**dict(usual.params), "eot": 5}
    assert usual.params == params({"steps": 20, "step_size": None, "random_start": True, "restarts": 1})


def test_noise_is_no_attack():
    for name, kind in (("noise", "noise"), ("square", "attack")):
        assert attack_specs(name, [Eps.parse("8/255")])[0].kind == kind
