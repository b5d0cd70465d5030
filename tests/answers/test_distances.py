"""Distances of minimal-norm attacks against closed forms: of a linear model, and of order statistics."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from robustbench_sdnet.answers.gathered import gather
from robustbench_sdnet.answers.per_image import quantile, quantile_interval
from robustbench_sdnet.answers.records import FIELDS, flat, records
from robustbench_sdnet.answers.rows import rows
from robustbench_sdnet.answers.snapshot import Snapshot
from robustbench_sdnet.cli import main
from robustbench_sdnet.console.tables import table
from robustbench_sdnet.data.images import from_arrays
from robustbench_sdnet.planning import plan
from robustbench_sdnet.planning.identity import data_spec
from robustbench_sdnet.planning.questions import attack_of, attack_specs
from robustbench_sdnet.reports import report
from robustbench_sdnet.running.runner import run
from robustbench_sdnet.running.worker import Worker
from robustbench_sdnet.store.store import Store

from ..reports.made_records import attack, record, rows_of
from ..tiny_setting import RESNET

CLASSES, COUNT = 3, 24


@pytest.fixture(scope="module")
def linear():
    """A linear model and images far from the edges of the box, so that boundaries are planes."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(4 * 4 * 3, CLASSES)).eval().requires_grad_(False)
    pixels = np.random.default_rng(0).integers(90, 166, (COUNT, 4, 4, 3), dtype=np.uint8)
    with torch.no_grad():
        images = torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255
        model[1].bias -= model(images).mean(0)
        labels = model(images).argmax(1).numpy()
        labels[:2] = (labels[:2] + 1) % CLASSES
    return model, images, from_arrays("linear", "test", pixels, labels, CLASSES, "linear")


def exact(model, images, labels, norm):
    """Distance to the nearest boundary: gap over the dual norm of the difference of weights; 0 where wrong."""
    weight, logits = model[1].weight, model(images)
    order = 1 if norm == "linf" else 2
    found = []
    for row, label in zip(logits, labels, strict=True):
        others = [k for k in range(CLASSES) if k != label]
        gaps = [float((row[label] - row[k]) / (weight[label] - weight[k]).norm(order)) for k in others]
        found.append(max(0.0, min(gaps)))
    return np.sort(found)


@pytest.fixture
def answered(linear, tmp_path):
    model, _, data = linear
    worker = Worker(data=data, load=lambda spec: model)
    url = f"sqlite:///{tmp_path}/results.db"
    specs = [
        *attack_specs("fab-t", [], "linf", {"steps": "20"}),
        *attack_specs("fab-t", [], "l2", {"steps": "20"}),
        *attack_specs("foolbox:L2DeepFoolAttack", [], "l2"),
    ]
    cells = plan.attack_cells([RESNET], data_spec(data), specs)
    with Store(url) as store:
        run(cells, store=store, worker=worker, count=COUNT)
    return url, {(cell.perturbation.label, getattr(cell.perturbation, "norm", "")): cell for cell in cells}


def test_every_distance_is_the_one_to_the_nearest_boundary(answered, linear):
    url, cells = answered
    model, images, data = linear
    found = {row.cell: row.distances for row in rows(Snapshot.read(url)) if len(row.distances)}
    assert len(found) == 3
    for (label, norm), cell in cells.items():
        if cell.kind == "attack":
            wanted = exact(model, images, data.labels, norm)
            assert (wanted[:2] == 0).all()
            assert np.all(found[cell.id][:2] == 0), "wrong from the start"
            assert np.all(found[cell.id] >= wanted - 1e-6), label
            assert np.all(found[cell.id][2:] <= 1.25 * wanted[2:]), label


def test_records_hold_the_median_and_nothing_else_changes(answered, linear):
    url, cells = answered
    model, images, data = linear
    rows = records(url)
    assert all(tuple(row) == (*FIELDS, "median_distance") for row in rows)
    by_kind = {(row["perturbation"], row["norm"]): row for row in rows}
    assert by_kind["clean", None]["median_distance"] is None
    for norm in ("linf", "l2"):
        wanted = exact(model, images, data.labels, norm)[COUNT // 2 - 1]
        row = by_kind[cells["fab-t(steps=20)", norm].perturbation.label, norm]
        assert row["median_distance"] == pytest.approx(wanted, rel=0.25)
        assert row["accuracy"] == 0.0
    only_clean = records(Snapshot.read(url, only={cells["clean", ""].id}))
    assert [tuple(row) for row in only_clean] == [FIELDS]


def test_the_first_images_alone_can_be_looked_at(answered):
    url, _ = answered
    rows = records(Snapshot.read(url, limit=2))
    assert {row["n"] for row in rows} == {2}
    assert {row["accuracy"] for row in rows} == {0.0}, "the first two have wrong labels"
    clean = next(row for row in rows if row["kind"] == "clean")
    assert clean["passes_forward"] == 2


def test_a_median_is_no_mean_and_an_interval_has_its_lower_end_first():
    (row,) = flat(rows_of([attack("fmn", None, 0, 4, distances=[0.5, 1, 1, 9.5])]))
    assert row["median_distance"] == 1.0
    (unsaid,) = rows_of([attack("fmn", None, 0, 4, distances=[0.5, np.nan, 1, 9.5])])
    assert not len(unsaid.distances), "of one image nobody wrote down how far it is"
    # Wilson's of 30 of 40, z^2 = 3.8415: centre (0.75 + 3.8415 / 80) / 1.096037 = 0.728095, half the width
    # 1.959964 / 1.096037 * sqrt(0.75 * 0.25 / 40 + 3.8415 / 6400) = 0.130034.
    (row,) = flat(rows_of([record(30, 40)]))
    assert (row["low"], row["high"]) == pytest.approx((0.598061, 0.858129), abs=1e-5)


def test_what_found_nothing_is_no_paired_test_of_robustness(answered):
    assert {asked.kind for asked in gather(Snapshot.read(answered[0]))} == {"clean"}


def test_the_command_prints_the_median_and_the_report_the_curve(answered):
    url, _ = answered
    printed = table(records(url))
    assert "median dist." in printed
    line = next(line for line in printed.splitlines() if "fab-t" in line and "linf" in line)
    assert "/255 linf" in line
    text = report(url, "csv")
    assert text.splitlines()[0].endswith("cell,median_distance")
    page = report(url, "markdown").read_text()
    assert "Distances of minimal-norm attacks" in page
    assert "Accuracy against eps" in page


def test_quantiles_are_where_the_curve_falls_to_the_share():
    values = np.array([0.0, 1.0, 2.0, 3.0, np.inf])
    # Of five images three are broken within 2, and none more than four.
    assert quantile(values) == 2.0
    assert quantile(values, 0.8) == 3.0
    assert quantile(values, 0.81) is None


def test_the_interval_of_the_median_is_of_order_statistics():
    # n = 10: ranks 2 and 9 cover the median with probability 1 - 2 * 11 / 1024 = 97.9 %, ranks 3 and 8 with 89.1 %.
    values = np.arange(1.0, 11.0)
    assert quantile_interval(values, 0.5) == (2.0, 9.0)
    # Of six images the first and the last do, with 1 - 2 / 64 = 96.9 %; of five they do with 93.75 %.
    assert quantile_interval(values[:6], 0.5) == (1.0, 6.0)
    assert quantile_interval(values[:5], 0.5) == (0.0, None)
    assert quantile_interval(np.array([1.0, np.inf]), 0.5) == (0.0, None)


def test_a_minimal_norm_attack_needs_no_budget_from_python():
    (spec,) = attack_of({"name": "fab-t", "norm": "l2"}, 0)
    assert spec.eps is None
    (given,) = attack_of({"name": "fab-t", "eps": "4/255"}, 0)
    assert str(given.eps) == "4/255"
    (other,) = attack_of("fgsm", 0)
    assert str(other.eps) == "8/255"


@pytest.mark.parametrize("kind", ["cifar10c", "cifar100c"])
def test_an_attack_refuses_a_folder_of_corrupted_images(kind, tmp_path, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["attack", "pgd", "--data", f"{kind}:{tmp_path}"])
    assert f"Write --data {kind[:-1]}" in capsys.readouterr().err
