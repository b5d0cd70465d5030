"""One way to read the values of options, and one to refuse them, for models, attacks and recipes alike."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from robustbench_sdnet.attacks.registry import attack_info, check_params
from robustbench_sdnet.errors import InputError
from robustbench_sdnet.reading.options import FLAG, as_default, between, check, count, several
from robustbench_sdnet.training.recipes.recipe import load_recipe
from robustbench_sdnet.zoo.nets.architectures import Coding, resolve_options

RULES = {"n": count(1, 5), "share": between(0, 1), "flag": FLAG, "kind": ("plain", "sparse")}
GOOD = {"n": 3, "share": 0.5, "flag": True, "kind": "plain"}


def test_what_keeps_every_rule_passes():
    check(GOOD, RULES)
    check({**GOOD, "n": 5, "share": 1, "flag": False}, RULES)
    check({**GOOD, "share": np.float64(0.25)}, RULES)


def test_what_is_given_alone_is_one():
    assert several("ab") == ["ab"]
    assert several(np.array([0.5, 0.25])) == several((0.5, 0.25)) == [0.5, 0.25]
    for alone in (0.5, np.float32(0.5), np.array(0.5), torch.tensor(0.5)):
        assert several(alone) == [0.5]


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("n", 0, r"^train\.n must be a whole number from 1 to 5, got 0\.$"),
        ("n", 2.0, r"whole number from 1 to 5, got 2\.0"),
        ("n", True, "whole number from 1 to 5, got True"),
        ("n", None, "whole number from 1 to 5, got None"),
        ("share", 1.5, r"^train\.share must lie in 0 to 1, got 1\.5\.$"),
        ("share", float("nan"), "must lie in 0 to 1, got nan"),
        ("share", True, "must lie in 0 to 1, got True"),
        ("share", "0.5", "must lie in 0 to 1, got '0.5'"),
        ("flag", 1, r"^train\.flag must be true or false, got 1\.$"),
        ("kind", "pain", r"^Unknown train\.kind 'pain'\. Did you mean 'plain'\?"),
        ("kind", None, r"^Unknown train\.kind 'None'"),
    ],
)
def test_what_breaks_one_is_one_line(name, value, message):
    with pytest.raises(InputError, match=message):
        check({**GOOD, name: value}, RULES, "train.")


@pytest.mark.parametrize(
    ("value", "default", "expected"),
    [
        ("7", 1, 7),
        (7.0, 1, 7),
        ("5e-4", 0.1, 5e-4),
        (1, 0.1, 1.0),
        (False, True, False),
        ("off", True, False),
        ("YES", False, True),
        ("[3]", "text", "[3]"),
        (3, "text", "3"),
        ([3, "6"], (1,), (3, 6)),
        (3, (1,), (3,)),
    ],
)
def test_a_value_takes_the_type_of_its_default(value, default, expected):
    found = as_default(value, default, "train.x")
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("value", "default", "message"),
    [
        ("maybe", True, r"^train\.x must be true or false, got 'maybe'\.$"),
        (1, True, "must be true or false, got '1'"),
        ("2.5", 1, "must be a whole number, got '2.5'"),
        (True, 1, "must be a whole number, got 'True'"),
        ("9" * 12, 1, "must be a whole number from"),
        ("inf", 0.1, "must be a number, got 'inf'"),
        (["a"], (1,), "must be a list of whole numbers"),
        ([1], "text", r"must be a text, got '\[1\]'"),
        *((None, default, r"^train\.x has no value\. ") for default in (True, 1, 0.1, (1,), "text")),
    ],
)
def test_what_is_no_such_value_is_one_line(value, default, message):
    with pytest.raises(InputError, match=message):
        as_default(value, default, "train.x")


def test_every_family_of_options_refuses_by_the_same_rules():
    for refused in (
        lambda: Coding(n_steps=0),
        lambda: resolve_options("sdnet20", {"num_classes": 0}),
        lambda: load_recipe("published", {"train.epochs": "none"}),
        lambda: check_params(attack_info("pgd"), {"steps": "none"}),
    ):
        with pytest.raises(InputError, match="must be a whole number"):
            refused()
