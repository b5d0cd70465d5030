"""The notebooks of the documentation run from their first cell to their last, and show what they say they show."""

from __future__ import annotations

from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "notebooks"

pytestmark = pytest.mark.notebook


def run(name: str, folder: Path):
    """The notebook after all of its cells have run in a folder; a cell that raises ends the test."""
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    NotebookClient(notebook, timeout=250, resources={"metadata": {"path": str(folder)}}).execute()
    return notebook


def printed(notebook) -> str:
    """Everything that its cells show as text."""
    found = []
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            found += [output.get("text", ""), output.get("data", {}).get("text/plain", "")]
    return "\n".join(found)


def test_your_own_model(tmp_path):
    text = printed(run("your-own-model", tmp_path))
    assert (tmp_path / "own.html").stat().st_size > 50_000
    from robustbench_sdnet.reports import report

    assert "my_model:trained" in str(report(f"sqlite:///{tmp_path}/own.db", "csv"))
    assert "gaussian_noise" in text


def test_masked_gradients(tmp_path):
    import robustbench_sdnet as rs

    text = printed(run("masked-gradients", tmp_path))
    records = rs.records(f"sqlite:///{tmp_path}/masked.db")
    attacked = records[(records.kind == "attack")].set_index(["model", "perturbation"])
    pgd = attacked[[name == "pgd" for _, name in attacked.index]].droplevel(1)
    plain, defended = pgd.loc["defences:plain"], pgd.loc["defences:defended"]
    assert defended.accuracy > plain.accuracy + 0.3, "PGD is fooled"
    assert (plain.verdict, defended.verdict) == ("unchecked", "untrusted")
    best = records[records.kind == "attack"].groupby("model").accuracy.min()
    assert best["defences:defended"] <= best["defences:plain"] + 0.1, "and nothing else is defended"
    assert "plain:    no check fails" in text
    assert "zero_gradient" in text


def test_lambda_at_test_time(tmp_path):
    import robustbench_sdnet as rs

    text = printed(run("lambda-at-test-time", tmp_path))
    records = rs.records(f"sqlite:///{tmp_path}/lambda.db")
    assert set(records[records.kind == "corruption"]["lambda"]) == {0.1, 0.3, 0.5, 0.7, "oracle"}
    assert set(records[records.kind == "transfer"].lambda_attack) == {0.1, 0.7}
    assert "of the code is active" in text
