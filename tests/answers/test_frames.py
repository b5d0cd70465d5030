"""The pandas views: the numbers of the store with their types, a row a result and a row an image."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import robustbench_sdnet as rs
from robustbench_sdnet.answers.snapshot import Snapshot
from robustbench_sdnet.errors import InputError
from robustbench_sdnet.reports.writers import records as records_writer

from ..made_answers import HIGH, NOISE, PGD, RESNET, SDNET, cell, made_store, right


@pytest.fixture
def store(tmp_path):
    answers = [(cell(), right(7)), (cell(PGD, lam=HIGH), right(3)), (cell(NOISE[0]), right(5))]
    made_store(tmp_path, answers).close()
    return f"sqlite:///{tmp_path}/made.db"


def test_records_are_the_json_with_types(store):
    table = rs.records(store)
    rows = json.loads(str(rs.report(store, "json")))
    assert list(table.columns) == list(rows[0])
    assert table["accuracy"].tolist() == [row["accuracy"] for row in rows] == [0.7, 0.5, 0.3]
    assert table["lambda"].tolist() == [0.1, 0.1, 0.5]
    assert (str(table["severity"].dtype), str(table["n"].dtype)) == ("Int64", "int64")
    assert table["severity"].tolist()[1] == 1
    assert table["eps"].tolist()[2] == "8/255"


def test_outcomes_have_a_row_an_image_and_cell(store):
    table = rs.outcomes(store)
    assert len(table) == 30
    counts = table.groupby(["kind", "lambda"], observed=True)["right"].sum().to_dict()
    assert counts == {("clean", "0.1"): 7, ("attack", "0.5"): 3, ("corruption", "0.1"): 5}
    pgd = table[table["kind"] == "attack"]
    assert pgd["image"].tolist() == list(range(10))
    assert (pgd["broken_at"].tolist()[:4], pgd["margin"].tolist()[3]) == ([-1, -1, -1, 0], -1)
    assert set(pgd["eps"]) == {"8/255"}
    assert (table["right"].dtype, table["margin"].dtype) == (np.dtype(bool), np.dtype(np.float32))
    assert set(table["cell"]) == {one.id for one in Snapshot.read(store).answered}


def test_several_stores_are_one_as_in_reports(store, tmp_path):
    (tmp_path / "b").mkdir()
    made_store(tmp_path / "b", [(cell(), right(7)), (cell(NOISE[1]), right(4))]).close()
    stores = [store, f"sqlite:///{tmp_path}/b/made.db"]
    rows = json.loads(str(rs.report(stores, "json")))
    assert (
        rs.records(stores)["accuracy"].tolist() == [row["accuracy"] for row in rows] == [0.7, 0.5, 0.4, 0.3]
    )
    assert len(rs.outcomes(stores)) == 40
    with pytest.raises(InputError, match="Name a store, got none"):
        rs.records([])


def test_the_store_is_the_usual_one_where_none_is_named(tmp_path, monkeypatch):
    (tmp_path / "runs").mkdir()
    made_store(tmp_path / "runs", [(cell(), right(7))]).close()
    (tmp_path / "runs/made.db").rename(tmp_path / "runs/results.db")
    monkeypatch.chdir(tmp_path)
    assert rs.records()["accuracy"].tolist() == [0.7]
    assert len(rs.outcomes()) == 10


def test_a_model_without_lambda_has_none_in_either_table(tmp_path):
    made_store(tmp_path, [(cell(model=RESNET), right(7)), (cell(), right(8))]).close()
    url = f"sqlite:///{tmp_path}/made.db"
    assert rs.records(url)["lambda"].isna().tolist() == [True, False]
    missing = (
        rs.outcomes(url).groupby("model", observed=True)["lambda"].apply(lambda column: column.isna().all())
    )
    assert missing.to_dict() == {"resnet": True, "sdnet": False}


@pytest.mark.parametrize("ending", [".parquet", ".csv"])
def test_outcomes_as_a_file_hold_the_same(ending, store, tmp_path):
    pytest.importorskip("pyarrow")
    path = Path(rs.report(store, "outcomes", output=tmp_path / f"out{ending}"))
    read = pd.read_parquet(path) if ending == ".parquet" else pd.read_csv(path, dtype={"lambda": str})
    table = rs.outcomes(store)
    assert list(read.columns) == list(table.columns)
    for name in ("image", "right", "broken_at", "margin", "lambda", "cell"):
        assert read[name].tolist() == table[name].tolist()


def test_no_name_in_the_csv_is_computed_by_a_spreadsheet(tmp_path):
    odd = replace(SDNET, name="=HYPERLINK(1)")
    made_store(tmp_path, [(replace(cell(), model=odd), right(7))]).close()
    path = Path(rs.report(f"sqlite:///{tmp_path}/made.db", "outcomes", output=tmp_path / "out.csv"))
    assert path.read_text().splitlines()[1].startswith("'=HYPERLINK(1),tiny,clean,")


@pytest.mark.parametrize("name", ["out.csv.gz", "out.json"])
def test_a_table_is_not_written_under_an_ending_that_says_another_form(store, tmp_path, name):
    with pytest.raises(InputError, match=rf"{name}: .* Name a file in \.parquet or \.csv\."):
        rs.report(store, "outcomes", output=tmp_path / name)
    assert not list(tmp_path.glob("out*"))


def test_parquet_without_pyarrow_names_the_remedy(store, tmp_path, monkeypatch):
    monkeypatch.setattr(records_writer, "OUTCOMES_ENDING", ".csv")
    with pytest.raises(InputError, match=r"robustbench-sdnet\[parquet\]"):
        rs.report(store, "outcomes", output=tmp_path / "out.parquet")
    assert Path(rs.report(store, "outcomes", output=tmp_path / "out")).read_text().startswith("model,data,")
