"""Names and options of attacks, without torch."""

from __future__ import annotations

import subprocess
import sys

import pytest

from robustbench_sdnet.attacks.registry import ATTACKS, CHAINS, attack_info, chain, check_params
from robustbench_sdnet.errors import InputError


def test_looking_up_any_attack_imports_no_torch():
    code = (
        "import sys; from robustbench_sdnet.attacks.registry import attack_info as a; "
        "a('pgd'); a('torchattacks:PGD'); a('foolbox:LinfPGD'); "
        "sys.exit(any(m in sys.modules for m in ('torch', 'numpy', 'torchattacks', 'foolbox')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("pdg", "pgd"), ("apgd-c", "apgd-ce"), ("torchattacks:PDG", "PGD"), ("foolbox:LinfPDG", "LinfPGD"),
        ("foolbx:LinfPGD", "foolbox"),
    ],
)  # fmt: skip
def test_an_unknown_name_brings_the_nearest(name, near):
    with pytest.raises(InputError, match=rf"Unknown .*attack.*Did you mean '{near}'"):
        attack_info(name)


def test_defaults_are_the_signatures():
    import inspect
    from importlib import import_module

    for info in ATTACKS.values():
        module, _, function = info.function.partition(":")
        signature = inspect.signature(getattr(import_module(module), function)).parameters
        assert {name: signature[name].default for name in info.params} == dict(info.params), info.name


def test_library_signatures_are_read_from_their_sources():
    pgd = attack_info("torchattacks:PGD")
    assert dict(pgd.params) == {"alpha": pytest.approx(2 / 255), "steps": 10, "random_start": True}
    assert attack_info("torchattacks:PGDL2").norms == ("l2",)
    assert attack_info("foolbox:LinfPGD").params["steps"] == 40
    assert attack_info("foolbox:LinfPGD").norms == ("linf",)
    assert attack_info("foolbox:L2DeepFoolAttack").minimal_norm
    assert not attack_info("foolbox:L2PGD").minimal_norm


def test_options_are_coerced_by_their_defaults():
    params = check_params(attack_info("pgd"), {"steps": "7", "step_size": "2/255", "random_start": "false"})
    assert params == {"steps": 7, "step_size": 2 / 255, "random_start": False, "restarts": 1}
    assert check_params(attack_info("pgd"), {"step_size": "none"})["step_size"] is None
    assert check_params(attack_info("torchattacks:APGD"), {"loss": "dlr"})["loss"] == "dlr"


@pytest.mark.parametrize(
    ("attack", "given", "message"),
    [
        ("pgd", {"step": "3"}, r"Unknown option of attack pgd 'step'\. Did you mean 'steps'"),
        ("pgd", {"steps": "many"}, r"Option 'steps' of attack pgd must be a whole number, got 'many'"),
        ("pgd", {"steps": "2.5"}, r"must be a whole number"),
        ("pgd", {"random_start": "maybe"}, r"must be true or false, got 'maybe'"),
        ("pgd", {"step_size": "1/0"}, r"must be a number, got '1/0'"),
        ("fgsm", {"steps": "1"}, r"Unknown option of attack fgsm 'steps'.*none"),
        ("autoattack", {"variant": "fast"}, r"Unknown value of option 'variant' 'fast'.*standard"),
        ("torchattacks:PGD", {"stepz": "1"}, r"Did you mean 'steps'"),
    ],
)
def test_wrong_options_are_one_clear_line(attack, given, message):
    with pytest.raises(InputError, match=message):
        check_params(attack_info(attack), given)


def test_autoattack_is_four_stages_of_known_attacks():
    assert [name for name, _ in CHAINS["autoattack"]] == ["apgd-ce", "apgd-t", "fab-t", "square"]
    for stages in CHAINS.values():
        for name, params in stages:
            check_params(attack_info(name), params)
    assert chain("autoattack", {"variant": "rand"}) == CHAINS["autoattack-rand"]
    assert chain("pgd", {"steps": 3}) == (("pgd", {"steps": 3}),)


@pytest.mark.parametrize(
    ("name", "value"),
    [("step_size", "nan"), ("step_size", "-1"), ("step_size", "inf"), ("steps", "0"), ("restarts", "-3")],
)
def test_counts_and_sizes_must_be_positive(name, value):
    with pytest.raises(InputError, match=rf"Option '{name}' of attack pgd must be above 0 and finite"):
        check_params(attack_info("pgd"), {name: value})
