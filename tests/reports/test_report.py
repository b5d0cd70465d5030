"""From a real store to files, and the command: what it writes, where, and what it says when it cannot."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import re
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from robustbench_sdnet.answers.records import COST_FIELDS, FIELDS
from robustbench_sdnet.cli import main
from robustbench_sdnet.errors import InputError, StoreError, WriteError
from robustbench_sdnet.planning.questions import corruption_specs
from robustbench_sdnet.reports import FORMATS, report
from robustbench_sdnet.specs import (
    CLEAN,
    AttackSpec,
    Cell,
    CorruptionSpec,
    DataSpec,
    Eps,
    LambdaSpec,
    ModelSpec,
)
from robustbench_sdnet.store.outcome import Outcome
from robustbench_sdnet.store.store import Shard, Store

from ..made_answers import LOW, cell, made_store, right

DATA = DataSpec(name="digits", source="digits", split="test", content="d" * 64)
MODELS = (
    ModelSpec(name="plain", source="p", arch="resnet20", weights="a" * 64),
    ModelSpec(name="sparse", source="s", arch="sdnet20", weights="b" * 64, training_lambda=0.1),
)
COST = {
    "forwards": 10,
    "backwards": 6,
    "seconds": 1.25,
    "memory_mib": 100,
    "device": "cpu",
    "threads": 2,
    "precision": "float32",
    "versions": {"torch": "2.9"},
}


def outcome(right: int, n: int = 20) -> Outcome:
    """The first `right` of `n` images right."""
    needed = [field.name for field in dataclasses.fields(Outcome) if field.default is dataclasses.MISSING]
    arrays = dict.fromkeys(needed, np.full(n, np.nan, np.float32))
    arrays |= {"ids": np.arange(n), "right": np.arange(n) < right, "broken_at": np.full(n, -1, np.int32)}
    return Outcome(**arrays)


def fill(url: str, *, shards: int = 1) -> None:
    """A store with two models: clean, one corruption, one attack with noise; 20 images a cell."""
    pgd = AttackSpec(name="pgd", eps=Eps.parse("8/255"), params=(("steps", 20),))
    noise = AttackSpec(name="noise", eps=Eps.parse("8/255"), kind="noise")
    fogs = [CorruptionSpec(name="fog", severity=severity) for severity in range(1, 6)]
    cells, finished = {}, []
    for model in MODELS:
        lams = [None] if model.training_lambda is None else [LambdaSpec("0.1"), LambdaSpec("0.5")]
        for lam in lams:
            for position, spec in enumerate((CLEAN, *fogs, pgd, noise)):
                attacked = lam if isinstance(spec, AttackSpec) else None
                cell = Cell(model=model, data=DATA, perturbation=spec, lam=lam, lam_attack=attacked)
                cells[cell.id] = cell
                answer = outcome(19 - 2 * position)
                for shard in range(shards):
                    start, stop = 20 * shard // shards, 20 * (shard + 1) // shards
                    share = {**COST, "forwards": 10 // shards, "backwards": 6 // shards}
                    finished.append(Shard(cell.id, start, stop, answer.cut(start, stop), share))
    with Store(url) as store:
        store.add_cells(cells)
        store.add_shards(finished)


@pytest.fixture
def store(tmp_path):
    url = f"sqlite:///{tmp_path}/results.db"
    fill(url)
    return url


def run(capsys, *arguments):
    with pytest.raises(SystemExit) as stopped:
        main(list(arguments))
    captured = capsys.readouterr()
    return stopped.value.code, captured.out, captured.err


def test_markdown_beside_the_store_with_its_pictures(store, tmp_path, capsys) -> None:
    code, output, _ = run(capsys, "report", "to", "markdown", "--store", store)
    assert (code, output) == (0, f"Wrote {tmp_path}/report.md\n")
    text = (tmp_path / "report.md").read_text()
    pictures = re.findall(r"!\[[^]]*\]\(<([^>]+)>\)", text)
    assert len(pictures) == 4
    assert all((tmp_path / name).read_bytes().startswith(b"\x89PNG") for name in pictures)
    lines = [" ".join(line.split()) for line in text.splitlines()]
    # plain: clean 19 of 20; fog 17, 15, 13, 11, 9 of 20, mean 13/20 = 65 %; pgd 7 of 20, noise 5 of 20.
    assert "| plain | - | 95.0 | 65.0 | 45.0 | 35.0 | pgd |" in lines
    assert "| fog | 85.0 | 75.0 | 65.0 | 55.0 | 45.0 | 65.0 |" in lines
    assert "| pgd | - | linf 8/255 | 35.0 | 25.0 | 0.5 + 0.3 | unchecked |" in lines
    assert "- n = 20 images." in lines
    assert "- pgd (attack): seed 0, steps 20, version 1" in lines
    assert "| sparse | sdnet20 | bbbbbbbbbbbbbbbb | 0.1, 0.5 |" in lines


@pytest.mark.parametrize("to", [name for name in FORMATS if name != "wandb"])  # a run has an id and a time
def test_two_reports_are_equal_byte_for_byte(to, tmp_path) -> None:
    texts = []
    for folder, shards in (("one", 1), ("two", 2)):
        url = f"sqlite:///{tmp_path / folder}/results.db"
        fill(url, shards=shards)
        target = tmp_path / folder / ("out.parquet" if to == "outcomes" else "out.txt")
        assert report(url, to, output=target) == target
        files = sorted(path for path in target.parent.rglob("*") if not path.name.startswith("results"))
        texts.append([path.read_bytes() for path in files if path.is_file()])
    assert texts[0] == texts[1]
    assert str(tmp_path).encode() not in texts[0][0]


def test_csv_and_json_go_to_the_terminal(store, capsys) -> None:
    code, output, _ = run(capsys, "report", "to", "csv", "--store", store)
    rows = list(csv.DictReader(io.StringIO(output)))
    assert code == 0
    assert tuple(rows[0]) == FIELDS
    code, output, _ = run(capsys, "report", "to", "json", "--store", store)
    records = json.loads(output)
    # 3 subjects (one plain, two lambdas) x (clean, 5 fogs, pgd, noise)
    assert len(records) == len(rows) == 24
    assert tuple(records[0]) == FIELDS
    assert [float(row["accuracy"]) for row in rows] == [row["accuracy"] for row in records]


@pytest.mark.parametrize("to", ["csv", "json", "outcomes"])
def test_contradicting_stores_are_told_beside_data(to, store, tmp_path, capsys) -> None:
    with Store(store) as first, Store(f"sqlite:///{tmp_path}/other.db") as other:
        cells = first.cells()
        other.add_cells(cells)
        for cell_id, cell in cells.items():
            right = 3 if cell.kind == "clean" else first.outcome(cell_id).right.sum()
            other.add_shards([Shard(cell_id, 0, 20, outcome(right), COST)])
    both = [part for url in (store, f"sqlite:///{tmp_path}/other.db") for part in ("--store", url)]
    target = ["--output", str(tmp_path / "o.csv")] if to == "outcomes" else []
    code, output, errors = run(capsys, "report", "to", to, *both, *target)
    assert code == 0
    # 19 of 20 are right in the one store, 3 in the other, for each of three subjects.
    told = "Warning: Contradictory: the stores answer 3 questions differently, on 16 images at most."
    assert errors.startswith(told)
    assert errors.count("\n") == 1
    if to == "outcomes":
        return
    rows = json.loads(output) if to == "json" else list(csv.DictReader(io.StringIO(output)))
    assert [row["kind"] for row in rows if int(row["disputed"]) == 16] == ["clean"] * 3
    assert {int(row["disputed"]) for row in rows} == {0, 16}
    alone = run(capsys, "report", "to", to, "--store", store)
    assert alone[2] == ""
    assert "disputed" not in alone[1]


def test_cost_is_there_when_asked_for(store) -> None:
    records = json.loads(str(report(store, "json", with_cost=True)))
    assert tuple(records[0]) == (*FIELDS, *COST_FIELDS)
    text = report(store, "markdown", with_cost=True).read_text()
    lines = [" ".join(line.split()) for line in text.splitlines()]
    # 5 severities of 1.25 seconds, 10 forward and 6 backward passes
    assert "| plain | digits | fog | cpu | 2 | 6.2 | 100 | 50 | 30 |" in lines
    assert "seconds" not in report(store, "markdown").read_text()


def test_output_names_the_file(store, tmp_path, capsys) -> None:
    target = tmp_path / "deep" / "page.html"
    code, output, _ = run(capsys, "report", "to", "html", "--store", store, "--output", str(target))
    assert (code, output) == (0, f"Wrote {target}\n")
    assert target.read_text().startswith("<!DOCTYPE html>")
    assert [path.name for path in target.parent.iterdir()] == ["page.html"]
    target = tmp_path / "out.json"
    code, output, errors = run(capsys, "report", "to", "json", "--store", store, "--output", str(target))
    assert (code, output, errors) == (0, "", f"Wrote {target}\n")


def test_a_baseline_is_a_model_of_the_store(store) -> None:
    text = report(store, "markdown", baseline="plain").read_text()
    lines = [" ".join(line.split()) for line in text.splitlines()]
    # The same outcomes for all: every ratio is 100 %.
    assert any(re.match(r"\| sparse \| 0\.1 \| 5\.0 .* \| 100\.0 \| 100\.0 \|", line) for line in lines)
    assert "per cent of sparse @ 0.5" in report(store, "markdown", baseline="sparse@0.5").read_text()
    with Store(store) as opened:
        cells = opened.cells()
        few = [name for name, cell in cells.items() if cell.model.name == "sparse"][:2]
        opened.add_cells(
            {name: replace(cells[name], model=replace(cells[name].model, name="copy")) for name in few}
        )
    for name in ("copy@0.5", "sparse@0.5"):
        assert "per cent of sparse @ 0.5" in report(store, "markdown", baseline=name).read_text()
    with Store(store) as opened:
        other = {n: c for n, c in opened.cells().items() if c.model.name == "plain"}
        opened.add_cells({n: replace(c, model=replace(c.model, name="sparse")) for n, c in other.items()})
    with pytest.raises(
        InputError, match=r"Unknown baseline 'sparse'.*sparse \[aaaaaaaa\], sparse \[bbbbbbbb\]"
    ):
        report(store, "markdown", baseline="sparse")


def test_stored_diagnostics_are_reported_and_mark_the_accuracy(store) -> None:
    finding = {
        "check": "noise_wins",
        "verdict": "fail",
        "value": 3.0,
        "sentence": "Noise breaks 3 samples more.",
        "images": 20,
    }
    with Store(store) as opened:
        cells = opened.cells()
        (plain,) = [key for key, cell in cells.items() if cell.kind == "attack" and cell.lam is None]
        opened.add_verdicts(plain, [finding])
        text = report(opened, "markdown").read_text()
    lines = [" ".join(line.split()) for line in text.splitlines()]
    start = "| plain | pgd | linf 8/255 | - | fail | noise_wins | 3 | 20 |"
    assert f"{start} Noise breaks 3 samples more. |" in lines
    assert "| plain | - | 95.0 | 65.0 | 45.0 | 35.0 untrusted | pgd |" in lines


def test_reports_need_no_torch(store) -> None:
    code = (
        "import sys; from robustbench_sdnet.reports import report\n"
        f"for to in ('html', 'csv'): report({store!r}, to)\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_data_and_a_misspelt_format_load_nothing_that_draws(store) -> None:
    code = (
        "import sys; from robustbench_sdnet.errors import InputError; from robustbench_sdnet.reports import report\n"
        f"for to in ('csv', 'json', 'jsno'):\n try: report({store!r}, to)\n except InputError: print(to)\n"
        "assert not {'matplotlib', 'jinja2', 'PIL'} & {*sys.modules}"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], check=True, timeout=120, capture_output=True, text=True
    )
    assert ran.stdout == "jsno\n"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["to", "markdwon"], 2, "Unknown report format 'markdwon'. Did you mean 'markdown'?"),
        (["markdown"], 2, "Write: sdnet-bench report to markdown"),
        (["to"], 2, "Write: sdnet-bench report to markdown"),
        (["to", "markdown", "--baseline", "plian"], 2, "Unknown baseline 'plian'. Did you mean 'plain'?"),
        (["to", "html", "--baseline", "sparse@0.7"], 2, "was not run at this lambda"),
        (["to", "csv", "--baseline", "plain"], 2, "--baseline changes nothing in csv"),
        (["to", "bundle", "--baseline", "nobody"], 2, "--baseline changes nothing in bundle"),
        (["to", "tensorboard", "--with-pictures", "."], 2, "--with-pictures changes nothing in tensorboard"),
        (["to", "outcomes", "--with-cost"], 2, "--with-cost changes nothing in outcomes"),
        (["to", "html", "--output", "FILE/report.html"], 1, "Cannot write FILE/report.html"),
    ],
)
def test_what_is_wrong_is_one_line(arguments, code, message, store, tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "FILE").write_text("no folder")
    found, _, errors = run(capsys, "report", *arguments, "--store", store)
    assert found == code
    assert message in errors
    assert errors.count("\n") == 1


def test_an_empty_and_a_missing_store_are_one_line_each(tmp_path, capsys) -> None:
    url = f"sqlite:///{tmp_path}/empty.db"
    Store(url).close()
    for address, message in ((url, "holds no results"), (f"sqlite:///{tmp_path}/none.db", "does not exist")):
        for to in ("markdown", "csv"):
            code, output, errors = run(capsys, "report", "to", to, "--store", address)
            assert (code, output) == (1, "")
            assert message in errors
            assert errors.count("\n") == 1
    assert not (tmp_path / "none.db").exists()


def test_the_function_raises_what_the_command_prints(store, tmp_path) -> None:
    with pytest.raises(InputError, match="Unknown report format 'word'"):
        report(store, "word")
    with pytest.raises(InputError, match="Unknown baseline"):
        report(store, "html", baseline="nobody")
    with pytest.raises(StoreError, match="does not exist"):
        report(f"sqlite:///{tmp_path}/none.db")
    (tmp_path / "file").touch()
    with pytest.raises(WriteError, match="Cannot write"):
        report(store, "csv", output=tmp_path / "file" / "out.csv")


def test_noise_at_free_levels_alone_has_a_table_and_no_empty_figure(tmp_path) -> None:
    from decimal import Decimal

    from robustbench_sdnet.planning.questions import corruption_specs

    from ..made_answers import HIGH, cell, made_store, right

    levels = corruption_specs("gaussian_noise", levels=[Decimal("0.1"), Decimal("0.2")])
    levels += corruption_specs("shot_noise", levels=[Decimal(60), Decimal(12), Decimal(6)])
    answers = [(cell(spec, lam=lam), right(5)) for spec in levels for lam in (LambdaSpec("0.1"), HIGH)]
    made_store(tmp_path, answers).close()
    text = report(f"sqlite:///{tmp_path}/made.db", "markdown", output=tmp_path / "report.md").read_text()
    assert len([line for line in text.splitlines() if "gaussian_noise@0.1 " in line and "50.0" in line]) == 2
    assert "Accuracy of" not in text
    table = text.partition("Noise at arbitrary levels")[2].partition("</details>")[0]
    assert re.findall(r"shot_noise@(\d+) .* 0.1 ", table) == ["6", "12", "60"], "by level, not by letters"


@pytest.mark.parametrize("kind", ["csv", "markdown", "html", "outcomes"])
def test_a_report_never_takes_the_place_of_its_store(tmp_path, kind):
    path = tmp_path / "results.db"
    fill(f"sqlite:///{path}")
    before = path.read_bytes()
    with pytest.raises(InputError, match=r"would overwrite .*results\.db, which it is made from"):
        report(f"sqlite:///{path}", kind, output=path)
    with Store(f"sqlite:///{path}") as opened, pytest.raises(InputError, match="would overwrite"):
        report(opened, kind, output=tmp_path / "." / "results.db")
    assert path.read_bytes() == before


def test_a_baseline_may_be_an_upper_bound_by_its_name(tmp_path):
    lams = (LOW, LambdaSpec("calibrated:test-labels"))
    specs = corruption_specs("fog", [*range(1, 6)])
    made_store(tmp_path, [(cell(spec, lam=lam), right(5)) for lam in lams for spec in specs]).close()
    asked = {"baseline": "sdnet@calibrated:test-labels", "output": tmp_path / "report.md"}
    text = report(f"sqlite:///{tmp_path}/made.db", **asked).read_text()
    assert "per cent of sdnet @ calibrated:test-labels (drawn on test labels)" in text


@pytest.mark.parametrize("kind", ["csv", "json"])
def test_what_is_only_printed_asks_for_no_place(tmp_path, kind):
    fill(url := f"sqlite:///{tmp_path}/results.db")
    (tmp_path / f"report.{kind}").mkdir()
    assert "sparse" in str(report(url, kind))


@pytest.mark.parametrize("output", [".", "/"])
@pytest.mark.parametrize("kind", ["markdown", "latex", "html", "csv"])
def test_a_report_is_a_file(tmp_path, monkeypatch, kind, output):
    monkeypatch.chdir(tmp_path)
    fill(url := f"sqlite:///{tmp_path}/results.db")
    with pytest.raises(InputError, match=r"A report is a file, and . is a folder"):
        report(url, kind, output=output)
