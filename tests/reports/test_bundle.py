"""A folder to send on: what it holds, and that reports read it again to the same bytes."""

from __future__ import annotations

import json

import pytest

from robustbench_sdnet.answers.snapshot import Snapshot
from robustbench_sdnet.cli import main
from robustbench_sdnet.errors import InputError, StoreError, WriteError
from robustbench_sdnet.files import alone_in
from robustbench_sdnet.reports import report
from robustbench_sdnet.reports.content import build
from robustbench_sdnet.store.store import Shard, Store

from .test_report import COST, fill


def test_a_bundle_is_read_again_to_the_same_bytes(tmp_path, capsys) -> None:
    url, folder = f"sqlite:///{tmp_path}/results.db", tmp_path / "study"
    fill(url, shards=2)
    with Store(url) as store:
        attacked = next(key for key, cell in store.cells().items() if cell.kind == "attack")
        finding = {"check": "noise_wins", "verdict": "fail", "value": 3.0, "sentence": "x", "images": 20}
        store.add_verdicts(attacked, [finding])
    with pytest.raises(SystemExit, match="0"):
        main(["report", "to", "bundle", "--store", url, "--output", str(folder)])
    assert capsys.readouterr().out == f"Wrote {folder}\n"
    expected = ["report.html", "results.csv", "results.json", "results.db", "environment.json", "figures"]
    assert {path.name for path in folder.iterdir()} >= set(expected)
    figures = sorted(path.suffix for path in (folder / "figures").iterdir())
    drawn = len(build(Snapshot.read(url)).figures)
    assert figures.count(".svg") == figures.count(".pdf") == drawn >= 4
    assert b"xmlns" in next((folder / "figures").glob("*.svg")).read_bytes()
    assert {"python", "numpy", "torch"} <= set(json.loads((folder / "environment.json").read_text()))
    again = f"bundle:{folder}"
    for to in ("json", "csv"):
        assert report(again, to, with_cost=True) == report(url, to, with_cost=True)
    assert report(again, "json") == (folder / "results.json").read_text()
    assert "untrusted" in str(report(again, "json"))
    pages = [report(source, "html", output=tmp_path / f"{n}.html") for n, source in enumerate((again, url))]
    assert pages[0].read_bytes() == pages[1].read_bytes() == (folder / "report.html").read_bytes()
    with pytest.raises(SystemExit, match="2"):
        main(["report", "to", "bundle", "--store", url, "--output", str(folder)])
    assert "is not empty" in capsys.readouterr().err
    told = []
    for store in (url, again):
        with pytest.raises(SystemExit, match="0"):
            main(["status", "--store", store])
        told.append(capsys.readouterr().out)
    assert told[0] == told[1]
    assert "sparse" in told[0]
    with Store(url) as store, pytest.raises(InputError, match="by their URLs"):
        report(store, "bundle", output=tmp_path / "open")


def test_several_stores_are_one_in_a_bundle(tmp_path) -> None:
    urls = [f"sqlite:///{tmp_path}/{name}.db" for name in ("a", "b")]
    fill(urls[0])
    with Store(urls[0], must_exist=True) as whole, Store(urls[1]) as part:
        attacked = next(key for key, cell in whole.cells().items() if cell.kind == "attack")
        finding = {"check": "noise_wins", "verdict": "fail", "value": 3.0, "sentence": "x", "images": 20}
        part.add_cells({attacked: whole.cells()[attacked]}, 50)
        part.add_shards(
            [Shard(attacked, 0, 10, whole.outcome(attacked, 0, 10), {**COST, "forwards": 5, "backwards": 3})]
        )
        part.add_verdicts(attacked, [finding])
    bundle = report(urls, "bundle", output=tmp_path / "both")
    again = f"bundle:{bundle}"
    assert report(again, "json", with_cost=True) == report(urls, "json", with_cost=True)
    assert '"untrusted"' in report(again, "json")
    page = report(again, "html", output=tmp_path / "again.html").read_bytes()
    assert page == (tmp_path / "both" / "report.html").read_bytes()
    assert b"Unfinished" in page


def test_a_bundle_that_cannot_be_written_whole_leaves_nothing_in_its_own_way(tmp_path, monkeypatch) -> None:
    url, folder = f"sqlite:///{tmp_path}/results.db", tmp_path / "study"
    fill(url)

    def full(*_: object) -> None:
        raise StoreError("database or disk is full")

    monkeypatch.setattr("robustbench_sdnet.reports.bundle.copy_stores", full)
    with pytest.raises(StoreError, match="full"):
        report(url, "bundle", output=folder)
    linked = tmp_path / "linked"
    linked.symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").mkdir()
    with pytest.raises(StoreError, match="full"):
        report(url, "bundle", output=linked)
    assert not (tmp_path / "elsewhere").exists()
    monkeypatch.undo()
    assert report(url, "bundle", output=folder) == folder


def test_what_came_into_the_folder_meanwhile_is_left_alone(tmp_path, monkeypatch) -> None:
    url, folder = f"sqlite:///{tmp_path}/results.db", tmp_path / "study"
    fill(url)

    def meanwhile(*_: object) -> str:
        folder.mkdir()
        (folder / "own.txt").write_text("of another command")
        return "page"

    monkeypatch.setattr("robustbench_sdnet.reports.bundle.html.render", meanwhile)
    with pytest.raises(InputError, match="study is not empty"):
        report(url, "bundle", output=folder)
    assert [path.name for path in folder.iterdir()] == ["own.txt"]


def test_a_folder_that_another_process_writes_to_is_left_to_it(tmp_path) -> None:
    url, folder = f"sqlite:///{tmp_path}/results.db", tmp_path / "study"
    fill(url)
    with alone_in(folder), pytest.raises(WriteError, match="Another process is writing to"):
        report(url, "bundle", output=folder)
    folder.mkdir()
    (folder / ".lock").touch()  # of a process that was killed
    assert report(url, "bundle", output=folder) == folder
    assert not (folder / ".lock").exists()
