"""Reports for TensorBoard and Weights & Biases: the curves hold the store's accuracies, and names do nothing."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from types import SimpleNamespace

import pytest

from robustbench_sdnet.answers.snapshot import Snapshot
from robustbench_sdnet.cli import main
from robustbench_sdnet.errors import InputError
from robustbench_sdnet.reports import report
from robustbench_sdnet.reports.content import build
from robustbench_sdnet.reports.numbers import Estimate
from robustbench_sdnet.reports.tracked import tag, tracked
from robustbench_sdnet.reports.writers.wandb import _called, _shown

from .made_records import FAILED, RESNET, SDNET, attack, corruption, record, snapshot, study
from .test_names import name as name
from .test_report import fill
from .tracker_files import config, events, history, offline as offline

FOG = {1: 0.85, 2: 0.75, 3: 0.65, 4: 0.55, 5: 0.45}  # of 20 images 17, 15, 13, 11 and 9 are right


def test_a_cell_of_wandb_says_how_many_images_its_accuracy_is_of():
    assert _shown(Estimate(0.5, 0.4, 0.6, 1000, transfer=True)) == "(50.0) [40.0-60.0] n=1,000"
    assert _shown(Estimate(0.5, 0.4, 0.6, 20, untrusted=True)) == "50.0 untrusted [40.0-60.0] n=20"
    last = Estimate(0.5, 0.4, 0.6, 20, images="20-39")
    assert _shown(last) == "50.0 [40.0-60.0] n=20 of images 20-39", "nobody could tell them from the first 20"


def test_a_table_of_wandb_says_which_rows_it_leaves_out():
    assert _called("records", 10_000) == "records"
    assert _called("records", 28_800) == "records: the first 10,000 of 28,800 rows"


def test_curves_run_along_one_axis_and_keep_the_rest_the_same():
    answers = [record(150), *(corruption("fog", severity, 150 - 20 * severity) for severity in (1, 3))]
    answers += [attack("pgd", eps, right) for eps, right in (("2/255", 80), ("8/255", 20))]
    answers += [attack("noise", "8/255", 140)]
    found = {curve.tag(curve.steps): curve for curve in tracked(snapshot(answers)).curves}
    assert set(found) == {
        "accuracy along severity/fog/resnet20 on digits",
        "accuracy along linf eps in 1 of 255/pgd/resnet20 on digits",
    }
    assert found["accuracy along severity/fog/resnet20 on digits"].points == ((1.0, 0.65), (3.0, 0.45))
    pgd = found["accuracy along linf eps in 1 of 255/pgd/resnet20 on digits"]
    assert [(round(pgd.steps * at), accuracy) for at, accuracy in pgd.points] == [(2, 0.4), (8, 0.1)]
    assert pgd.along(pgd.unit) == "linf eps in 1 of 255", (
        "where positions need not be whole, they are those of figures"
    )
    assert [pgd.unit * at for at, _ in pgd.points] == pytest.approx([2, 8])
    lambdas = [curve for curve in tracked(snapshot(study())).curves if curve.axis == "lambda"]
    assert {len(curve.points) for curve in lambdas} == {3}
    assert RESNET.name not in "".join(curve.name for curve in lambdas)


def test_a_curve_of_untrusted_accuracies_says_so():
    rows = [record(190), attack("pgd", "8/255", 77, findings=(FAILED,)), attack("pgd", "4/255", 90)]
    (curve,) = tracked(snapshot(rows)).curves
    assert curve.name.endswith(" (untrusted)")


def test_no_two_positions_of_a_curve_are_one_step():
    rows = [record(190), *(attack("pgd", eps, right) for eps, right in (("0.01", 120), ("0.012", 90)))]
    (curve,) = tracked(snapshot(rows)).curves
    # In 1 of 255 these are 2.55 and 3.06: both step 3, and the former a sixth of itself away.
    assert curve.tag(curve.steps) == "accuracy along linf eps in 1 of 2550/pgd/resnet20 on digits"
    assert [round(curve.steps * at) for at, _ in curve.points] == [26, 31]
    lams: dict[tuple[float, ...], int] = {
        (0.1, 0.5): 1000,
        (0.05, 0.0504, 0.1): 10_000,
        (0.0, 1e-6, 1.4): 1_000_000,
        (1e16, 1e17): 10,  # a step has 64 bits
    }
    for asked, steps in lams.items():
        every = tracked(snapshot(record(190, model=SDNET, lam=lam) for lam in asked)).curves
        assert [one.steps for one in every] == [steps], asked


def test_a_curve_of_random_noise_is_called_noise():
    rows = [record(190), *(attack("noise", eps, 150) for eps in ("4/255", "8/255"))]
    assert [curve.name for curve in tracked(snapshot(rows)).curves] == ["noise/resnet20 on digits"]


def test_a_curve_is_of_the_same_images_throughout():
    few = [corruption("fog", severity, 10, n=20) for severity in (2, 4)]
    rows = [*(corruption("fog", severity, 150) for severity in (1, 5)), *few]
    found = {curve.tag(1): curve.points for curve in tracked(snapshot(rows)).curves}
    assert found == {
        "accuracy along severity/fog/resnet20 on digits (200 images)": ((1.0, 0.75), (5.0, 0.75)),
        "accuracy along severity/fog/resnet20 on digits (20 images)": ((2.0, 0.5), (4.0, 0.5)),
    }
    assert list(tracked(snapshot(rows[:3])).curves) == [
        curve for curve in tracked(snapshot(rows)).curves if "200" in curve.name
    ], "one point is no curve"


def test_a_curve_is_of_one_norm():
    """A minimal-norm attack has no budget that would say it: one norm's points took the places of another's."""
    rights = {"l2": (50, 40), "linf": (80, 90)}
    rows = [
        attack("fmn", None, right, norm=norm, model=SDNET, lam=lam, distances=[1.0] * 200)
        for norm, both in rights.items()
        for lam, right in zip((0.1, 0.5), both, strict=True)
    ]
    assert {curve.name: curve.points for curve in tracked(snapshot(rows)).curves} == {
        "fmn, l2/sdnet20 on digits": ((0.1, 0.25), (0.5, 0.2)),
        "fmn, linf/sdnet20 on digits": ((0.1, 0.4), (0.5, 0.45)),
    }


def test_two_models_of_one_name_are_two_parameters():
    answers = [record(150), record(120, model=replace(RESNET, weights="f" * 64))]
    found = tracked(Snapshot(tuple(answers))).parameters["models"]
    assert {name: told["weights"] for name, told in found.items()} == {
        f"resnet20 [{RESNET.weights[:8]}]": RESNET.weights,
        "resnet20 [ffffffff]": "f" * 64,
    }


def test_names_that_differ_stay_two():
    names = ["a/b", "a|b", "a  b", "a b", "x" * 100, "x" * 101, "\x1b", "\\x1b"]
    assert len({tag(name) for name in names}) == len(names)
    assert tag("cifar10/sdnet20") == "cifar10/sdnet20"
    assert max(len(tag(name)) for name in names) <= 90


def test_trackers_get_the_numbers_of_figures_too():
    names = [name for name, _ in tracked(snapshot(study())).tables]
    assert len(set(names)) == len(names)
    assert {"Attacks: Accuracy against eps, linf", "Corruptions"} <= set(names)
    assert any(name.startswith("Lambda at test time: ") for name in names)


def test_tensorboard_reads_curves_figures_and_tables(tmp_path, capsys):
    url = f"sqlite:///{tmp_path}/results.db"
    fill(url)
    with pytest.raises(SystemExit, match="0"):
        main(["report", "to", "tensorboard", "--store", url])
    assert capsys.readouterr().out == f"Wrote {tmp_path}/report.tfevents\n"
    scalars, images, texts = events(tmp_path / "report.tfevents")
    assert scalars["accuracy along severity/fog/plain on digits"] == list(FOG.items())
    assert scalars["accuracy along lambda in 1 of 1000/fog, severity 5/sparse on digits"] == [
        (100, 0.45),
        (500, 0.45),
    ]
    drawn = [figure.name for figure in build(Snapshot.read(url)).figures]
    assert len(images) == len(drawn) >= 4
    assert all(shown[0].width > 300 for shown in images.values())
    assert json.loads(texts["parameters"])["models"]["plain"] == {"arch": "resnet20", "weights": "a" * 64}
    overview = next(text for tag, text in texts.items() if tag.startswith("tables/Overview"))
    assert re.search(r"\| plain +\| +- \|", overview)


def test_wandb_gets_parameters_curves_tables_and_figures(tmp_path, offline):
    url = f"sqlite:///{tmp_path}/results.db"
    fill(url)
    folder = report(url, "wandb")
    assert folder.is_relative_to(tmp_path / "report-wandb" / "wandb")
    assert config(folder)["models"]["sparse"] == {"arch": "sdnet20", "weights": "b" * 64}
    rows = history(folder)
    tag = "accuracy along severity/fog/plain on digits"
    assert {row["severity"]: row[tag] for row in rows if tag in row} == FOG
    tag = "accuracy along lambda/fog, severity 5/sparse on digits"
    assert {row["lambda"]: row[tag] for row in rows if tag in row} == {0.1: 0.45, 0.5: 0.45}
    (kept,) = folder.glob("files/media/table/what it comes to_*.json")
    assert json.loads(kept.read_text())["data"] == [[line] for line in build(Snapshot.read(url)).lead]
    tables = {key for row in rows for key in row if key.startswith("tables/")}
    assert any(key.startswith("tables/All results") for key in tables)
    figures = {"/".join(key.split("/")[:2]) for row in rows for key in row if key.startswith("figures/")}
    drawn = [figure.name for figure in build(Snapshot.read(url)).figures]
    assert len(figures) == len(list(folder.glob("files/media/images/figures/*.png"))) == len(drawn) >= 4
    (kept,) = folder.glob("files/media/table/records_*.json")
    kept = json.loads(kept.read_text())
    whole = json.loads(str(report(url, "json")))
    assert kept["columns"] == list(whole[0])
    assert kept["data"] == [list(row.values()) for row in whole]


def test_hostile_names_do_nothing_in_trackers(name, tmp_path, offline):
    url = f"sqlite:///{tmp_path}/results.db"
    fill(url)
    scalars, _, texts = events(report(url, "tensorboard"))
    folder = report(url, "wandb")
    tags = [*scalars, *texts, *(key for row in history(folder) for key in row)]
    assert all(tag.isprintable() and len(tag) < 300 for tag in tags)
    for text in texts.values():
        assert not re.search(r"(?<!\\)<script", text) or text.startswith("    ")
        assert all(char.isprintable() or char == "\n" for char in text)
    assert all(key.isprintable() for key in config(folder)["models"])


def test_without_wandb_one_line_says_what_to_install(tmp_path, monkeypatch):
    url = f"sqlite:///{tmp_path}/results.db"
    fill(url)
    monkeypatch.setattr("robustbench_sdnet.tracking.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install 'robustbench-sdnet\[wandb\]'"):
        report(url, "wandb")


@pytest.mark.parametrize(
    ("kind", "text", "said"),
    [
        ("UsageError", "No API key configured.", "No API key configured"),
        ("ValidationError", "1 error for Settings\n mode", "1 error for Settings mode"),  # of pydantic
        ("", "", "It is disabled, and would keep nothing"),
    ],
)
def test_where_no_report_would_be_kept_nothing_is_left(tmp_path, monkeypatch, offline, kind, text, said):
    import wandb

    def started(**settings):
        if kind:
            raise getattr(wandb.errors, kind, ValueError)(text)
        return SimpleNamespace(disabled=True)

    url = f"sqlite:///{tmp_path}/results.db"
    fill(url)
    monkeypatch.setattr(wandb, "init", started)
    with pytest.raises(InputError, match=rf"^wandb: {said}.* WANDB_MODE=offline keeps the run in "):
        report(url, "wandb")
    assert not list(tmp_path.glob("*wandb*"))
