"""The public Python API: questions in, a table of records out, and defaults that find data and models."""

import json
import shlex
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch

import robustbench_sdnet as rs
from robustbench_sdnet.answers.records import FIELDS, records
from robustbench_sdnet.data import load
from robustbench_sdnet.errors import InputError, StoreError, WriteError
from robustbench_sdnet.planning.setting import setting_of
from robustbench_sdnet.running.engines.local import Local
from robustbench_sdnet.store.fits import Fits
from tests.net_files import write_script
from tests.torch_defaults import other_defaults


@pytest.fixture
def runs(tmp_path, tiny_npz, monkeypatch):
    """A working directory with two models that say they were trained on the tiny data set."""
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    data = f"npz:{tiny_npz}"
    for arch in ("sdnet20", "resnet20"):
        model = rs.build_model(arch, width=4, num_classes=3, input_size=8)
        rs.save_model(
            model,
            f"runs/tiny-{arch}/last.safetensors",
            data=data,
            data_hash=load(data, "train").content_hash,
            recipe={},
            accuracy=None,
        )
    return tmp_path


def test_the_engine_is_closed_where_a_fit_cannot_be_kept(runs, monkeypatch):
    closed = []
    monkeypatch.setattr(Local, "close", lambda engine: closed.append(engine))

    def full(*_):
        raise WriteError("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(Fits, "keep", full)
        with pytest.raises(WriteError, match="full"):
            rs.evaluate(corruptions="contrast", severities=5, lambdas="label-free")
    assert len(closed) == 1
    rs.evaluate(corruptions="contrast", severities=5, lambdas="label-free")
    assert len(closed) == 2


def test_evaluate_finds_the_newest_runs_data_and_every_model_on_it(runs):
    table = rs.evaluate(
        corruptions="contrast",
        severities=[1, 5],
        attacks=["fgsm", {"name": "pgd", "eps": [1 / 255, 8 / 255], "steps": 2}],
    )
    assert list(table.columns) == [*FIELDS, "table"]  # images of 8x8 have no table of their own
    assert set(table.model) == {"tiny-sdnet20", "tiny-resnet20"}
    assert set(table.kind) == {"clean", "corruption", "noise", "attack"}
    assert set(table[table.perturbation == "pgd(steps=2)"].eps) == {"1/255", "8/255"}
    assert set(table[table.perturbation == "fgsm"].eps) == {"8/255"}
    assert table[table.model == "tiny-resnet20"]["lambda"].isna().all()
    assert (table.n == 30).all()
    assert ((table.low <= table.accuracy) & (table.accuracy <= table.high)).all()
    before = (runs / "runs" / "results.db").stat().st_mtime_ns
    again = rs.evaluate(corruptions="contrast", severities=[1, 5])
    plain = table[table.kind.isin(["clean", "corruption"])].reset_index(drop=True)
    told = ["model", "kind", "perturbation", "severity", "lambda", "n", "accuracy", "passes_forward", "cell"]
    assert again[told].equals(plain[told]), "stored answers are not computed again; others are not told"
    few = rs.evaluate(corruptions="contrast", severities=[5], limit=10)
    assert (few.n == 10).all()
    assert set(few.severity.dropna()) == {5}
    assert len(rs.records("sqlite:///runs/results.db")) == len(table)
    assert (runs / "runs" / "results.db").stat().st_mtime_ns >= before


def test_numpys_numbers_ask_what_pythons_ask(runs):
    asked = {"corruptions": "gaussian_noise", "models": ["runs/tiny-sdnet20"]}
    attack = {"name": "fgsm", "eps": 0.03}
    table = rs.evaluate(**asked, severities=[1, 2], seed=3, limit=5, lambdas="0.1:0.3:0.1", attacks=[attack])
    again = rs.evaluate(
        **asked,
        severities=np.array([1.0, 2.0]),
        seed=np.int64(3),
        limit=np.int64(5),
        lambdas=np.arange(0.1, 0.35, 0.1),  # 0.30000000000000004
        attacks=[{"name": "fgsm", "eps": np.float64(0.03)}],
    )
    assert again.equals(table)


def test_one_name_is_a_name_and_not_its_letters(runs):
    table = rs.evaluate("runs/tiny-sdnet20", attacks="fgsm", limit=5)
    assert set(table.model) == {"tiny-sdnet20"}
    assert rs.evaluate(["runs/tiny-sdnet20"], attacks=[{"name": "fgsm"}], limit=5).equals(table)
    assert rs.evaluate("runs/tiny-sdnet20", attacks={"name": "fgsm"}, limit=5).equals(table)
    assert rs.evaluate("runs/tiny-sdnet20", attacks="fgsm", lambdas=0.1, limit=5).equals(table)


def test_sweep_and_report(runs):
    table = rs.sweep(
        ["runs/tiny-sdnet20"], lambdas=[0.1, 0.5, 1.0], corruptions="impulse_noise", severities=[3], limit=10
    )
    corrupted = table[table.kind == "corruption"]
    assert list(corrupted["lambda"]) == [0.1, 0.5, 1.0, "oracle"]
    assert rs.report("sqlite:///runs/results.db", to="json").count('"impulse_noise"') == 4


def test_policies_choose_for_all_layers(runs):
    asked = {"corruptions": "impulse_noise", "severities": [3], "limit": 10, "lambda_scope": "all"}
    policies = ["calibrated", "label-free:entropy"]
    table = rs.evaluate(["runs/tiny-sdnet20"], lambdas=[0.1, 0.5, 1.0, *policies], **asked)
    corrupted = table[table.kind == "corruption"].set_index("lambda")
    numbers = ["all:0.1", "all:0.5", "all:1"]
    assert set(corrupted.index) == {*numbers, "all:calibrated", "all:label-free:entropy", "all:oracle"}
    assert corrupted.accuracy["all:oracle"] == max(corrupted.accuracy[number] for number in numbers)
    again = rs.evaluate(["runs/tiny-sdnet20"], lambdas=["oracle"], **asked)
    assert "all:1.4" in set(again["lambda"])


def test_the_training_data_of_a_renamed_file_still_finds_its_models(runs, tiny_npz):
    renamed = tiny_npz.rename(tiny_npz.with_name("other.npz"))
    table = rs.evaluate(data=f"npz:{renamed}", limit=5)
    assert len(table) == 2


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"severities": [0]}, "severities must be whole numbers from 1 to 5, got '0'"),
        ({"severities": [1.5]}, "severities must be whole numbers, got '1.5'"),
        ({"limit": 0}, "limit must be a whole number from 1 to .*, got '0'"),
        ({"limit": -5}, "limit must be a whole number from 1 to .*, got '-5'"),
        ({"batch_size": -1}, "batch_size must be a whole number from 1 to .*, got '-1'"),
        ({"corruptions": "fogg"}, "Did you mean 'fog'"),
        ({"attacks": ["pdg"]}, "Did you mean 'pgd'"),
        ({"attacks": [{"name": "pgd", "eps": "8"}]}, "Write 8/255"),
        ({"attacks": [{"name": "pgd", "stps": 3}]}, "Did you mean 'steps'"),
        ({"attacks": [{"name": "torchattacks:APGDT"}]}, "needs 4 classes, but the model has 3 .apgd-t does"),
        ({"attacks": [{"name": "foolbox:EADAttack", "decision_rule": "L7"}]}, "invalid decision rule"),
        ({"lambdas": "-1"}, "not negative"),
        ({"lambdas": True}, "lambda must be a number, got 'True'"),
        ({"attacks": ["pgd"], "lambdas": "oracle"}, "no rule to deploy"),
        ({"models": ["nothing"]}, "nothing"),
        ({"models": torch.nn.Identity()}, "A model is given by name or path, got .* type Identity. Name a f"),
        ({"models": torch.nn.Sequential(torch.nn.Flatten())}, "got an object of type Sequential"),
        ({"models": ["a" * 300]}, "is not a path here .File name too long"),
        (
            {"data": torch.rand(2, 3, 8, 8)},
            r"A data set is given by name or path, got .* type Tensor. Write .* npz",
        ),
        ({"store": 3}, "A store is given by name or path, got an object of type int. Write sqlite:///FILE"),
        ({"corruptions": "fog", "seed": 1.5}, "seed must be a whole number, got '1.5'"),
        ({"attacks": "fgsm", "seed": True}, "seed must be a whole number, got 'True'"),
        ({"sequences": "shear", "seed": -1}, "seed must be a whole number from 0 to"),
        ({"device": "cuda:99"}, "not there"),
        ({"device": "gpu"}, "Unknown device 'gpu'. Did you mean 'cpu'"),
        ({"attacks": [{"eps": "8/255"}]}, "An attack is a name, or a mapping with name and eps"),
        ({"limits": 5}, "Unknown option 'limits'. Did you mean 'limit'"),
        ({"attacks": [("pgd", "8/255")]}, r"An attack is a name, or a mapping .* got \('pgd', '8/255'\)"),
    ],
)
def test_what_cannot_be_asked_is_one_line(runs, asked, message):
    with pytest.raises(InputError, match=message) as caught:
        rs.evaluate(**{"limit": 5, **asked})
    assert "\n" not in str(caught.value)
    if (runs / "runs" / "results.db").exists():
        with pytest.raises(StoreError, match="holds no results"):
            records("sqlite:///runs/results.db")


def test_data_that_no_model_was_trained_on_is_said(runs):
    arrays = {"x_train": np.zeros((3, 8, 8, 3), np.uint8), "y_train": np.arange(3)}
    np.savez("new.npz", **arrays, x_test=arrays["x_train"], y_test=arrays["y_train"])
    with pytest.raises(InputError, match=r"No model trained on npz:new.npz is available"):
        rs.evaluate(data="npz:new.npz")


def test_an_empty_folder_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"There is no run in runs/ yet. Run 'sdnet-bench train"):
        rs.evaluate()


def test_two_models_of_one_name_are_refused(runs):
    import shutil

    shutil.copytree("runs/tiny-sdnet20", "elsewhere/tiny-resnet20")
    with pytest.raises(InputError, match="Two different models are called 'tiny-resnet20'"):
        rs.evaluate(["runs/tiny-resnet20", "elsewhere/tiny-resnet20"], limit=5)


def test_models_may_be_paths_as_train_gives_them(runs):
    folder = Path("runs/tiny-sdnet20")
    asked = {"corruptions": "fog", "severities": 1, "limit": 5}
    assert rs.evaluate([folder], **asked).equals(rs.evaluate("runs/tiny-sdnet20", **asked))
    found = rs.diagnose(folder, eps=8 / 255, cheap=True, limit=4, transfer_from=Path("runs/tiny-resnet20"))
    assert found == rs.diagnose("runs/tiny-sdnet20", eps=8 / 255, cheap=True, limit=4)
    assert rs.zoo.describe_model(folder).source == "runs/tiny-sdnet20"


def test_defaults_of_torch_change_no_answer(runs):
    (runs / "placed.py").write_text(
        "import torch\n"
        "def net():\n"
        "    torch.manual_seed(0)\n"
        "    cpu = {'device': 'cpu', 'dtype': torch.float32}\n"
        "    layers = torch.nn.Conv2d(3, 4, 3, **cpu), torch.nn.Flatten(), torch.nn.Linear(144, 3, **cpu)\n"
        "    return torch.nn.Sequential(*layers)\n"
    )
    asked = {
        "corruptions": ("motion_blur", "fog"),
        "severities": 3,
        "attacks": [{"name": "pgd", "eps": 0.02}, {"name": "square", "norm": "l1", "eps": 3, "steps": 20}],
        "limit": 8,
    }
    told = ["kind", "perturbation", "severity", "n", "accuracy", "passes_forward"]
    plain = rs.evaluate("placed:net", **asked, store="sqlite:///plain.db")[told]
    with other_defaults():
        again = rs.evaluate("placed:net", **asked, store="sqlite:///again.db")[told]
    assert again.equals(plain)
    assert plain.accuracy.nunique() > 1


def test_a_path_may_begin_at_home(runs, monkeypatch):
    monkeypatch.setenv("HOME", str(runs))
    assert rs.load_model("~/runs/tiny-sdnet20").arch == "sdnet20"
    assert rs.zoo.describe_model("~/runs/tiny-sdnet20").name == "tiny-sdnet20"
    write_script(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 3)), runs / "net.pt")
    found = rs.evaluate("~/net.pt?mean=0&std=1", corruptions="fog", severities=1, limit=5)
    assert set(found.kind) == {"clean", "corruption"}
    monkeypatch.chdir(runs / "runs")
    found = rs.evaluate(corruptions="fog", severities=1, lambdas="calibrated", limit=5, runs="~/runs")
    assert set(found.model) == {"tiny-sdnet20", "tiny-resnet20"}
    assert rs.report("sqlite:///runs/results.db", "csv", output="~/r.csv") == runs / "r.csv"
    assert not Path("~").exists()


def test_a_file_may_be_written_and_read_at_home(runs, monkeypatch):
    model = rs.load_model("runs/tiny-sdnet20")
    monkeypatch.setenv("HOME", str(runs / "home"))
    assert rs.save_model(model, "~/a/x.safetensors").path == runs / "home/a/x.safetensors"
    rs.zoo.export_model("~/a/x.safetensors", "~/a/y.safetensors")
    assert rs.zoo.read_card("~/a/y.safetensors").arch == "sdnet20"
    torch.save(model.state_dict(), runs / "home/z.pth")
    assert rs.zoo.import_checkpoint("~/z.pth", "sdnet20", num_classes=3, input_size=8).arch == "sdnet20"
    found = rs.zoo.find_models(rs.zoo.read_card("runs/tiny-sdnet20/last.safetensors").data, runs="~/../runs")
    assert {card.name for card in found} == {"tiny-sdnet20", "tiny-resnet20"}
    assert not (runs / "~").exists()


def test_what_names_a_model_or_a_store_is_text(runs):
    with pytest.raises(
        InputError, match="A model is given by name or path, got an object of type Classifier"
    ):
        rs.load_model(rs.load_model("runs/tiny-sdnet20"))
    with pytest.raises(InputError, match="A store is given by name or path, got an object of type NoneType"):
        rs.records(None)
    with pytest.raises(InputError, match="A file is given by name or path, got an object of type int"):
        rs.training.train("digits", "sdnet20", recipe=3)


def test_diagnose_answers_what_the_command_prints(runs, tiny_npz):
    from click.testing import CliRunner

    from robustbench_sdnet.cli import cli
    from robustbench_sdnet.diagnostics import DIAGNOSTICS

    found = rs.diagnose("runs/tiny-sdnet20", eps=8 / 255, cheap=True, limit=6, lam=0.4)
    command = shlex.split("diagnose runs/tiny-sdnet20 --eps 8/255 --cheap --limit 6 --lambda 0.4 --json")
    printed = CliRunner().invoke(cli, command, catch_exceptions=False).stdout
    asked = [asdict(one) | {"question": DIAGNOSTICS[one.check]} for one in found]
    assert asked == json.loads(printed)
    assert [finding.check for finding in found] == list(DIAGNOSTICS)
    with pytest.raises(InputError, match="eps must be above 0"):
        rs.diagnose("runs/tiny-sdnet20", eps="0")


def test_a_budget_of_another_norm_is_warned_of_wherever_it_is_asked(runs):
    from click.testing import CliRunner

    from robustbench_sdnet.cli import cli

    asked = "runs/tiny-resnet20 --norm l2 --eps 8/255 --limit 4"
    for command in (f"attack fgsm --model {asked}", f"diagnose --cheap {asked}"):
        done = CliRunner().invoke(cli, shlex.split(command), catch_exceptions=False)
        assert done.stderr.count("Warning: l2 eps 8/255 is less than budgets in l2 usually are") == 1
    with pytest.warns(UserWarning, match="l2 eps 8/255 is less"):
        rs.evaluate(attacks=[{"name": "fgsm", "norm": "l2", "eps": 8 / 255}], limit=4)
    with pytest.warns(UserWarning, match="linf eps 0.5 makes plain grey"):
        rs.diagnose("runs/tiny-resnet20", eps=0.5, cheap=True, limit=4)


def test_diagnose_reads_lambda_as_the_command_does(runs):
    asked = {"eps": 8 / 255, "cheap": True, "limit": 4}
    assert rs.diagnose("runs/tiny-sdnet20", lam="0.4", **asked) == rs.diagnose(
        "runs/tiny-sdnet20", lam=0.4, **asked
    )
    for lam, message in (
        ("calibrated", "diagnose takes one number as lam, such as"),
        ([0.1, 0.2], "takes one number as lam"),
        ("x", "Unknown lambda policy 'x'"),
        (-1, "not negative"),
        (float("nan"), "lambda must be a number, got 'nan'"),
    ):
        with pytest.raises(InputError, match=message):
            rs.diagnose("runs/tiny-sdnet20", lam=lam, **asked)


@pytest.mark.slow
def test_study_answers_what_the_command_prints(runs, monkeypatch):
    from click.testing import CliRunner

    from robustbench_sdnet.cli import cli
    from robustbench_sdnet.planning import study

    small = replace(
        study.BUDGETS["small"], severities=(5,), numbers="0.1,0.5", steps=2, queries=3, calibration=6
    )
    monkeypatch.setattr(study, "BUDGETS", {"small": replace(small, attack_numbers="0.1")})
    found = rs.study("runs/tiny-sdnet20", limit=6, store="sqlite:///study.db")
    command = ["study", "runs/tiny-sdnet20", "--limit", "6", "--store", "sqlite:///study.db", "--json"]
    printed = json.loads(CliRunner().invoke(cli, command, catch_exceptions=False).stdout)
    assert found.reports == (), "only the command writes them unasked"
    assert printed.pop("reports") == ["study.md", "study.html"]
    assert {**printed, "reports": ()} == asdict(found)
    assert [item["question"] for item in found.conclusion] == ["noise", "adversary", "masking"]


def test_outcomes_of_attacks_say_what_the_perturbed_images_were_answered_with(runs):
    rs.evaluate(
        ["runs/tiny-sdnet20"],
        attacks=[{"name": "pgd", "eps": "8/255", "steps": 2}, {"name": "torchattacks:FGSM", "eps": "8/255"}],
        lambdas="0.1,label-free:noise",
    )
    found = rs.outcomes("sqlite:///runs/results.db")
    policy = found[found["lambda"] == "label-free:noise"]
    for kind in ("attack", "noise"):
        chosen = policy[policy.kind == kind].lambda_used
        assert chosen.notna().all()
        assert chosen.nunique() > 1, "lambda depends on the image"
    trained = found[found["lambda"] == "0.1"]
    clean, attacked = trained[trained.kind == "clean"], trained[trained.perturbation == "pgd(steps=2)"]
    moved = clean.residual.to_numpy() != attacked.residual.to_numpy()
    assert (moved == (attacked.broken_at != 0).to_numpy()).all(), "of what was perturbed"
    assert moved.any()
    assert found.distance.isna().all(), "no smallest perturbation was sought"


def test_the_precision_that_is_asked_is_that_of_corruptions_and_a_wrong_one_is_refused(runs):
    asked = {"corruptions": "contrast", "severities": [5], "limit": 3}
    cells = {}
    for precision in ("auto", "float32", "bfloat16"):
        table = rs.evaluate(precision=precision, **asked)
        cells[precision] = set(table[table.kind == "corruption"].cell)
    assert cells["auto"] == cells["float32"]
    assert not cells["float32"] & cells["bfloat16"]
    with pytest.raises(InputError, match=r"precision must be one of auto, float32, bfloat16, got 'fp8'"):
        rs.evaluate(precision="fp8", **asked)


@pytest.mark.parametrize("ask", ["evaluate", "diagnose", pytest.param("study", marks=pytest.mark.slow)])
def test_python_is_warned_of_what_the_commands_warn_of(runs, tiny_npz, ask):
    model = rs.build_model("sdnet20", width=4, num_classes=3, input_size=8)
    told = {"data": "cifar10", "data_hash": "0" * 64, "recipe": {}, "accuracy": None}
    rs.save_model(model, "runs/other/last.safetensors", **told)
    more = {"evaluate": {"corruptions": "fog", "severities": 1}, "diagnose": {"cheap": True}}.get(ask, {})
    with pytest.warns(UserWarning, match="other was trained on cifar10, not on npz"):
        getattr(rs, ask)("runs/other", f"npz:{tiny_npz}", limit=4, **more)


def test_a_lambda_that_does_nothing_is_warned_of_and_what_is_refused_is_not(runs):
    asked = {
        "models": ["runs/tiny-resnet20"],
        "corruptions": "fog",
        "severities": 1,
        "lambdas": 0.5,
        "limit": 2,
    }
    for ask in (rs.evaluate, rs.sweep):
        with pytest.warns(UserWarning, match="the lambda that is asked for does nothing") as said:
            ask(**asked)
        assert {one.filename for one in said} == {__file__}  # not a file of this package
    with pytest.raises(InputError, match=r"at most 13\.86 apart"):  # warnings are errors
        rs.evaluate(attacks=[{"name": "pgd", "norm": "l2", "eps": 128}], **asked)


@pytest.mark.parametrize(("norm", "eps", "apart"), [("l2", "128", "13.86"), ("l1", "400", "192")])
def test_a_budget_in_other_units_is_refused(runs, norm, eps, apart):
    with pytest.raises(InputError, match=rf"of 8x8 at most {apart} apart. Write {eps}/255 for pixel levels"):
        rs.evaluate(attacks=[{"name": "pgd", "norm": norm, "eps": eps}], limit=2)


def test_models_that_come_one_by_one_are_all_asked():
    for models in (iter(["a", "b"]), (name for name in ("a", "b")), map(str, ("a", "b"))):
        assert tuple(setting_of(models, "digits", {}, rs.evaluate).models) == ("a", "b")


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"models": []}, "models is empty"),
        (
            {"corruptions": "fog", "severities": []},
            "severities is empty. Give one or more numbers from 1 to 5",
        ),
        ({"sequences": "tilt", "difficulties": ()}, "difficulties is empty"),
    ],
)
def test_a_list_of_nothing_is_not_the_usual_ones(runs, asked, message):
    with pytest.raises(InputError, match=message):
        rs.evaluate(**asked)


@pytest.mark.parametrize(
    ("command", "ask"),
    [
        ("attack pgd --lambda oracle", lambda: rs.evaluate(attacks="pgd", lambdas="oracle")),
        ("attack pgd --attack-lambda oracle", lambda: rs.evaluate(attacks="pgd", attack_lambdas="oracle")),
        ("attack fgsm --warm-start", lambda: rs.evaluate(attacks="fgsm", warm_start=True)),
        ("attack pgd --data cifar10c:.", lambda: rs.evaluate(data="cifar10c:.", attacks="pgd")),
        ("corrupt --data cifar11", lambda: rs.evaluate(data="cifar11")),
        ("corrupt --engine rays", lambda: rs.evaluate(engine="rays")),
        ("corrupt --model runs/nothing", lambda: rs.evaluate("runs/nothing")),
        ("diagnose runs/tiny-sdnet20 --engine rays", lambda: rs.diagnose("runs/tiny-sdnet20", engine="rays")),
        (
            "diagnose runs/tiny-sdnet20 --transfer-from nothing",
            lambda: rs.diagnose("runs/tiny-sdnet20", transfer_from="nothing"),
        ),
        ("study runs/tiny-sdnet20 --data cifar10c:.", lambda: rs.study("runs/tiny-sdnet20", "cifar10c:.")),
        ("study runs/tiny-sdnet20 --engine rays", lambda: rs.study("runs/tiny-sdnet20", engine="rays")),
    ],
)
def test_python_refuses_as_early_as_a_command_and_in_its_words(runs, monkeypatch, command, ask):
    from click.testing import CliRunner

    from robustbench_sdnet.cli import cli

    def loaded(*asked, **how):
        raise AssertionError("something is loaded")

    monkeypatch.setattr("robustbench_sdnet.running.ready.load", loaded)
    with pytest.raises(InputError) as caught:
        ask()
    assert str(CliRunner().invoke(cli, shlex.split(command)).exception) == str(caught.value)


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda model: rs.evaluate(model, lambda_scope="stm"), "lambda scope must be 'stem' or 'all'"),
        (lambda model: rs.diagnose(model, lambda_scope="stm"), "lambda scope must be 'stem' or 'all'"),
        (lambda model: rs.study(model, lambda_scope="stm"), "lambda scope must be 'stem' or 'all'"),
        (lambda model: rs.evaluate(model, attack_lambdas=0.1), "attack_lambdas is for attacks"),
        (lambda model: rs.evaluate(model, corruptions="fog", warm_start=True), "warm_start is for attacks"),
        (lambda model: rs.diagnose(model, lambda_scope="all"), "where lam is set, which is not given"),
        (lambda model: rs.study(model, protocol="published", eps="1/255"), "fixes what .* Leave out eps"),
        (lambda model: rs.study(model, protocol="published", norm="l2"), "Leave out norm"),
        (lambda model: rs.study(model, protocol="published", budget="full"), "Leave out budget"),
        (lambda model: rs.study(model, protocol="published", lambda_scope="all"), "Leave out lambda_scope"),
    ],
)
def test_what_would_say_nothing_is_refused(runs, ask, message):
    with pytest.raises(InputError, match=message):
        ask("runs/tiny-sdnet20")
