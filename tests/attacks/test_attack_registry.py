"""Names and options of attacks, without torch."""

from __future__ import annotations

import importlib
import inspect
import subprocess
import sys
import warnings

import pytest
import torch

from robustbench_sdnet import attacks
from robustbench_sdnet.attacks.libraries import LIBRARIES, table
from robustbench_sdnet.attacks.native import wrapper
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
        ("pdg", "pgd"),
        ("apgd-c", "apgd-ce"),
        ("torchattacks:PDG", "PGD"),
        ("foolbox:LinfPDG", "LinfPGD"),
        ("foolbx:LinfPGD", "foolbox"),
    ],
)
def test_an_unknown_name_brings_the_nearest(name, near):
    with pytest.raises(InputError, match=rf"Unknown .*attack.*Did you mean '{near}'"):
        attack_info(name)


def test_defaults_are_the_signatures():
    for info in ATTACKS.values():
        signature = inspect.signature(info.load()).parameters
        assert {name: signature[name].default for name in info.params} == dict(info.params), info.name
        assert signature["norm"].default in info.norms, info.name


@pytest.mark.parametrize("name", [name for name in ATTACKS if name not in CHAINS])
def test_the_table_knows_which_searches_stay_in_float32(name, monkeypatch):
    asked = []
    monkeypatch.setattr(wrapper, "wants_low_precision", lambda *_, exact: asked.append(exact))
    images, labels = torch.rand(2, 3, 4, 4), torch.zeros(2, dtype=torch.int64)
    info = ATTACKS[name]
    params = {"steps": 1} if "steps" in info.params else {}
    attacks.run(
        name, lambda x: x.flatten(1)[:, :3], images, labels, eps=1.0, norm=info.norms[0], params=params
    )
    assert asked == [info.full_precision]


def test_library_attacks_have_norms_and_options():
    pgd = attack_info("torchattacks:PGD")
    assert dict(pgd.params) == {"alpha": pytest.approx(2 / 255), "steps": 10, "random_start": True}
    assert attack_info("torchattacks:PGDL2").norms == ("l2",)
    assert attack_info("foolbox:LinfPGD").params["steps"] == 40
    assert attack_info("foolbox:LinfPGD").norms == ("linf",)
    assert attack_info("foolbox:L2DeepFoolAttack").minimal_norm
    assert not attack_info("foolbox:L2PGD").minimal_norm


@pytest.mark.parametrize("library", LIBRARIES)
def test_the_table_of_library_attacks_is_what_is_installed(library):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # foolbox's own: it imports what SciPy has renamed
        module = importlib.import_module(library)
    home = module.attacks if library == "foolbox" else module
    classes = {name: kind for name, kind in vars(home).items() if inspect.isclass(kind)}
    base = module.attacks.Attack if library == "foolbox" else module.attack.Attack
    known = table()[library]
    unlisted = {name for name, kind in classes.items() if issubclass(kind, base)} - set(known)
    assert unlisted <= NO_ATTACKS
    for name, row in known.items():
        signature = inspect.signature(classes[name].__init__).parameters.values()
        own = {p.name: _plain(p.default) for p in signature if p.name not in SUPPLIED}
        assert own == row.get("params", {}), name


NO_ATTACKS = {"VANILA", "MultiAttack", "LGV", "Attack", "BinarizationRefinementAttack"}
SUPPLIED = {
    "self",
    "model",
    "eps",
    "max_epsilon",
    "norm",
    "device",
    "seed",
    "verbose",
    "distance",
    "n_classes",
}
SUPPLIED |= {"init_attack", "tensorboard", "args", "kwargs"}


def _plain(default):
    return default if isinstance(default, bool | int | float | str) else None


def test_options_are_coerced_by_their_defaults():
    params = check_params(attack_info("pgd"), {"steps": "7", "step_size": "2/255", "random_start": "false"})
    assert params == {"steps": 7, "step_size": 2 / 255, "random_start": False, "restarts": 1, "eot": 1}
    assert check_params(attack_info("pgd"), {"step_size": "none"})["step_size"] is None
    assert check_params(attack_info("torchattacks:APGD"), {"loss": "dlr"})["loss"] == "dlr"


def test_equal_values_are_one_question_however_they_are_written():
    for name, option, texts in (
        ("pgd", "step_size", ("1", "1.0", "1e0", "2/2", 1, 1.0)),
        ("fmn", "step_size", ("1", "1.0", "1e0", "2/2", 1, 1.0)),
        ("foolbox:VirtualAdversarialAttack", "steps", ("20", "2e1", 20.0)),
    ):
        found = {repr(check_params(attack_info(name), {option: text})[option]) for text in texts}
        assert len(found) == 1, found


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


@pytest.mark.parametrize("name", ["square:p_init", "torchattacks:Square:p_init", "fmn:gamma"])
@pytest.mark.parametrize("value", ["-1", "nan", "2"])
def test_shares_must_be_shares(name, value):
    attack, _, option = name.rpartition(":")
    with pytest.raises(InputError, match=rf"Option '{option}' of attack {attack} must lie .*, got {value}"):
        check_params(attack_info(attack), {option: value})


def test_options_that_are_no_mapping_are_refused():
    with pytest.raises(InputError, match="params must be a mapping of names to values, got list"):
        check_params(attack_info("pgd"), ["steps=3"])
