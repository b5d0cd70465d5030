"""A study in one run: everything it promises is asked, it resumes, and its report begins with a conclusion."""

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from click.testing import CliRunner

from robustbench_sdnet.cli import cli
from robustbench_sdnet.diagnostics import of_study
from robustbench_sdnet.errors import InputError
from robustbench_sdnet.evaluation import Study
from robustbench_sdnet.planning import study as work
from robustbench_sdnet.planning.plan import attack_cells
from robustbench_sdnet.planning.questions import attack_specs
from robustbench_sdnet.specs import Eps
from robustbench_sdnet.store.store import Store

from .store.made import shards
from .tiny_setting import RESNET, SDNET

TINY = work.Budget(
    images=12,
    attacked=8,
    severities=(1, 5),
    numbers="0.1,0.5,0.9",
    attack_numbers="0.1,0.9",
    steps=2,
    queries=3,
    calibration=6,
    warm_start=True,
    cheap=True,
)


@pytest.fixture(scope="module")
def model_file(tmp_path_factory):
    """A tiny sdnet with made-up weights in the zoo's file format."""
    from robustbench_sdnet.zoo import build_model, refresh_step_sizes
    from robustbench_sdnet.zoo.files.weights import save_model

    torch.manual_seed(0)
    model = build_model("sdnet20", width=4, num_classes=3, input_size=8).train()
    with torch.no_grad():
        model(torch.rand(32, 3, 8, 8))
    refresh_step_sizes(model)
    path = tmp_path_factory.mktemp("tiny-sdnet") / "best.safetensors"
    save_model(model.eval(), path, data="tiny", name="tiny-sdnet")
    return path


@pytest.fixture
def ask(model_file, tiny_npz, tmp_path, monkeypatch):
    monkeypatch.setattr(work, "BUDGETS", {**work.BUDGETS, "small": TINY})
    store = f"sqlite:///{tmp_path}/study.db"

    def ask(*options):
        command = ["study", str(model_file), "--data", f"npz:{tiny_npz}", "--store", store, "--device", "cpu"]
        done = CliRunner().invoke(cli, [*command, *options], catch_exceptions=False)
        assert done.exit_code == 0
        return done.stdout

    return ask, store, tmp_path


def test_a_study_asks_everything_resumes_and_concludes(ask):
    run, store, folder = ask
    found = json.loads(run("--json"))
    kinds = {row["kind"] for row in found["records"]}
    assert kinds == {"clean", "corruption", "noise", "attack", "transfer", "worst_case"}
    noises = {row["perturbation"] for row in found["records"] if row["kind"] == "corruption"}
    assert noises == {"gaussian_noise", "shot_noise", "speckle_noise", "impulse_noise"}
    asked = {row["lambda"] for row in found["records"] if row["kind"] == "corruption"}
    assert asked == {0.1, 0.5, 0.9, "calibrated", "label-free:discrepancy", "oracle"}
    attacks = {(row["perturbation"], row["lambda"]) for row in found["records"] if row["kind"] == "attack"}
    every = {0.1, 0.9, "calibrated", "label-free:discrepancy"}
    assert {lam for name, lam in attacks if name.startswith("square")} == every
    assert {lam for name, lam in attacks if "warm_start" in name} == every
    matrix = [row for row in found["records"] if row["kind"] == "transfer"]
    assert len(matrix) == len(every) * (len(every) - 1)
    assert any(row["verdict"] != "unchecked" for row in found["records"] if row["kind"] == "attack")
    assert [item["question"] for item in found["conclusion"]] == ["noise", "adversary", "masking"]

    text = (folder / "study.md").read_text()
    assert text.split("\n## ")[1].startswith("Conclusion")
    assert (folder / "study.html").exists()
    with Store(store) as opened:
        first = {cell: [s.finished_at for s in shards(opened, cell)] for cell in opened.cells()}
        before = opened.verdicts()
    again = run()
    with Store(store) as opened:
        assert {cell: [s.finished_at for s in shards(opened, cell)] for cell in opened.cells()} == first
        assert opened.verdicts() == before
    assert "an adversary who knows lambda" in again
    assert (folder / "study.md").read_text() == text


@pytest.mark.slow
def test_a_study_that_was_stopped_before_its_diagnostics_makes_them_when_it_goes_on(ask, monkeypatch):
    run, store, _ = ask

    def stopped(*_, **__):
        raise RuntimeError("stopped")

    run("--limit", "4")
    with monkeypatch.context() as patched:
        patched.setattr(of_study, "diagnose_cells", stopped)
        with pytest.raises(RuntimeError, match="stopped"):
            run("--limit", "8")
    run("--limit", "8")
    with Store(store) as opened:
        looked = {item["images"] for found in opened.verdicts().values() for item in found[:1]}
    assert looked == {8}


def test_pgd_from_a_cold_start_alone_is_diagnosed(data, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(
        of_study, "diagnose_cells", lambda cells, **_: (asked.extend(cells), {"sdnet": "gone"})
    )
    eps = [Eps.parse("4/255"), Eps.parse("8/255")]
    cold, warm = (
        attack_cells([SDNET], data, attack_specs("pgd", eps), warm_start=chained) for chained in (False, True)
    )
    cells = [*cold, *warm, *attack_cells([SDNET, RESNET], data, attack_specs("square", eps))]
    setting = SimpleNamespace(store=f"sqlite:///{tmp_path}/s.db")
    ready = SimpleNamespace(setting=setting, sound=[SDNET], worker=None, engine=None, failed={})
    of_study._diagnose(ready, cells, replace(TINY, cheap=False), None)
    assert ready.failed == {"sdnet": "gone"}
    assert asked == [c for c in cells if c.perturbation.name == "pgd" and not c.warm]
    assert any(c.warm for c in cells)


def test_findings_are_of_all_diagnostics_where_square_was_asked_or_could_not_be():
    def found(square, images=None, noise="pass"):
        return {
            "gradient_free_wins": {"verdict": square, "images": images},
            "noise_wins": {"verdict": noise},
            "zero_gradient": {"verdict": "pass", "images": 8},
        }

    assert of_study._is_complete(found("pass", images=8))
    assert not of_study._is_complete(found("pass", images=4))
    assert not of_study._is_complete({})
    assert not of_study._is_complete(found("not_run")), "only the cheap ones were run"
    assert of_study._is_complete(found("not_run", noise="not_run")), "the model is randomised"


def test_the_training_lambda_of_every_model_is_among_the_numbers():
    models = [replace(SDNET, training_lambda=0.25), RESNET]
    assert [lam.text for lam in work.lambdas(models, "0.1,0.5", "calibrated,label-free")] == [
        "0.1",
        "0.25",
        "0.5",
        "calibrated",
        "label-free:discrepancy",
    ]


@pytest.mark.slow
def test_a_study_is_one_line_in_a_notebook():
    rows = [{"model": model, "data": "digits"} for model in ("a", "b") for _ in range(600)]
    found = Study(rows, [], [], [], {"c": "c raised ValueError"}, [])
    assert repr(found) == (
        "<Study of a, b on digits: 1,200 answers, 1 failed; look at conclusion, then records>"
    )


def test_the_published_protocol_asks_the_papers_levels_and_no_attack(ask, monkeypatch):
    run, _, folder = ask
    protocol = replace(
        work.PROTOCOLS["published"],
        numbers="0.1,0.5,0.9",
        calibration=6,
        levels={"gaussian_noise": (0.02, 0.2), "salt_and_pepper": (0.03,)},
    )
    monkeypatch.setattr(work, "PROTOCOLS", {"published": protocol})
    found = json.loads(run("--protocol", "published", "--limit", "9", "--json"))
    rows = [row for row in found["records"] if row["kind"] == "corruption"]
    assert {row["kind"] for row in found["records"]} == {"clean", "corruption"}
    asked = {(row["perturbation"], row["severity"]) for row in rows}
    noises = ("gaussian_noise", "shot_noise", "speckle_noise", "impulse_noise")
    levels = {("gaussian_noise@0.02", None), ("gaussian_noise@0.2", None), ("salt_and_pepper@0.03", None)}
    assert asked == {(noise, severity) for noise in noises for severity in range(1, 6)} | levels
    lines = {"oracle", "calibrated", "calibrated:published", "calibrated:test-labels"}
    assert {row["lambda"] for row in rows} == {round(0.1 * k, 1) for k in range(1, 15)} | lines
    assert {row["n"] for row in rows} == {9}
    claims = [one for one in found["published"] if "verdict" in one]
    assert len(claims) == 3 * 4, "three rules per sample over lambda 0.1, four noises"
    assert {one["verdict"] for one in claims} <= {"reproduced", "not reproduced", "some gain", "cannot tell"}
    said = [one["question"] for one in found["conclusion"]]
    assert said == ["published"] * 3 + ["noise", "adversary"], "the question of the protocol first"
    text = (folder / "study.md").read_text()
    assert "## The published noise experiment" in text
    assert "calibrated:test-labels (drawn on test labels)" in text
    assert "what another seed would give is not in the interval" in text
    assert "one line for all four noises and clean images" in text


def test_answers_under_noise_are_of_the_precision_that_is_named(ask, monkeypatch):
    run, store, _ = ask
    protocol = replace(
        work.PROTOCOLS["published"], severities=(1,), numbers="0.1,0.5", policies="label-free", levels={}
    )
    monkeypatch.setattr(work, "PROTOCOLS", {"published": protocol})
    for precision, answered in (("auto", {"float32"}), ("bfloat16", {"float32", "bfloat16"})):
        run("--protocol", "published", "--limit", "3", "--precision", precision)
        with Store(store) as opened:
            assert {cell.precision for cell in opened.cells().values()} == answered


@pytest.mark.parametrize("more", [("--budget", "small"), ("--eps", "1/255"), ("--lambda-scope", "all")])
def test_a_protocol_says_itself_what_it_asks(model_file, more):
    with pytest.raises(InputError, match=rf"protocol fixes what it measures. Leave out {more[0]}"):
        CliRunner().invoke(
            cli, ["study", str(model_file), "--protocol", "published", *more], catch_exceptions=False
        )


def test_a_model_without_lambda_is_asked_once(data):
    from robustbench_sdnet.planning import plan

    chosen = work.lambdas([RESNET], "0.1,0.5", "calibrated")
    assert len(plan.corruption_cells([RESNET], data, [], chosen)) == 1


def test_budgets_grow():
    budgets = [work.budget_named(name) for name in ("small", "standard", "full")]
    for key in ("images", "attacked", "queries", "steps"):
        values = [getattr(budget, key) for budget in budgets]
        assert values == sorted(values)
    with pytest.raises(InputError, match="Did you mean 'small'"):
        work.budget_named("smal")
