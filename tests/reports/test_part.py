"""A report of some models, or of one data set: what it would be of a store that holds no more."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from robustbench_sdnet.answers.records import records
from robustbench_sdnet.cli import cli
from robustbench_sdnet.errors import InputError
from robustbench_sdnet.reports import report
from robustbench_sdnet.specs import CLEAN, Cell, DataSpec
from robustbench_sdnet.store.store import Store

from . import test_report
from .test_report import DATA, MODELS, fill

LETTERS = DataSpec(name="letters", source="letters", split="train", content="e" * 64)
TWIN = replace(MODELS[0], weights="c" * 64)


def filled(folder: Path, monkeypatch: pytest.MonkeyPatch, **parts: Any) -> str:
    """A store of some models on each of some data sets."""
    folder.mkdir()
    url = f"sqlite:///{folder}/results.db"
    monkeypatch.setattr(test_report, "MODELS", parts.get("models", MODELS))
    for data in parts.get("data", (DATA, LETTERS)):
        monkeypatch.setattr(test_report, "DATA", data)
        fill(url)
    return url


@pytest.mark.parametrize(
    ("asked", "held"),
    [
        ({"models": "sparse"}, {"models": MODELS[1:]}),
        ({"models": ["plain", "sparse"], "data": "letters (train)"}, {"data": (LETTERS,)}),
        ({"models": ["plain"], "data": "digits"}, {"models": MODELS[:1], "data": (DATA,)}),
    ],
)
def test_every_number_and_test_is_of_the_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: dict[str, Any], held: dict[str, Any]
) -> None:
    whole, part = (
        filled(tmp_path / name, monkeypatch, **parts) for name, parts in (("all", {}), ("own", held))
    )
    for to in ("markdown", "html", "csv", "json"):
        of_part = report(part, to, output=tmp_path / "own" / "report")
        assert (
            report(whole, to, output=tmp_path / "all" / "report", **asked).read_bytes()
            == of_part.read_bytes()
        )


def test_names_are_those_of_the_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = filled(tmp_path / "all", monkeypatch, models=(*MODELS, TWIN))
    names = {record["model"] for record in records(url)}
    assert names == {"plain [aaaaaaaa]", "plain [cccccccc]", "sparse"}
    counts = {name: report(url, "csv", models=name).count("\n") - 1 for name in (*names, "plain")}
    assert counts == {"plain [aaaaaaaa]": 16, "plain [cccccccc]": 16, "sparse": 32, "plain": 32}
    for asked, message in (
        ({"models": "plian"}, "Unknown model of this report 'plian'. Did you mean 'plain"),
        ({"data": "letter"}, r"Unknown data set of this report 'letter'. .*Known: digits, letters \(train\)"),
        ({"data": "digits", "baseline": "sparse", "models": "plain"}, "sparse"),
    ):
        with pytest.raises(InputError, match=message):
            report(url, "markdown", **asked)


def test_what_was_never_asked_together_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = filled(tmp_path / "all", monkeypatch, models=MODELS[:1], data=(DATA,))
    monkeypatch.setattr(test_report, "MODELS", MODELS[1:])
    monkeypatch.setattr(test_report, "DATA", LETTERS)
    fill(url)
    with pytest.raises(InputError, match=r"no answers of plain on letters \(train\)"):
        report(url, "csv", models="plain", data="letters (train)")


def test_what_is_unfinished_is_said_of_the_part_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = filled(tmp_path / "all", monkeypatch, data=(DATA,))
    with Store(url) as store:
        waiting = Cell(
            model=MODELS[0], data=DATA, perturbation=replace(CLEAN, name="fog", severity=1, seed=7)
        )
        store.add_cells({waiting.id: waiting})
    said = {name: "Unfinished" in report(url, models=name).read_text() for name in ("plain", "sparse")}
    assert said == {"plain": True, "sparse": False}


def test_a_leaderboard_and_a_bundle_are_of_whole_stores(tmp_path: Path) -> None:
    for to in ("leaderboard", "bundle"):
        with pytest.raises(InputError, match=r"are of whole stores\. Leave out --model and --data"):
            report(f"sqlite:///{tmp_path}/none.db", to, models="plain", output=tmp_path / to)


def test_the_command_takes_them_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = filled(tmp_path / "all", monkeypatch)
    command = ["report", "to", "csv", "--store", url, "--model", "sparse", "--data", "digits"]
    done = CliRunner().invoke(cli, command)
    assert done.output == report(url, "csv", models="sparse", data="digits")
