"""A store written by an older version opens and reports the same."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from robustbench_sdnet.reports import report


@pytest.mark.parametrize("to", ["json", "csv"])
def test_a_store_written_by_an_older_version_opens_and_reports_the_same(
    to: str, golden: Path, tmp_path: Path
) -> None:
    shutil.copy(golden / "store.db", tmp_path / "results.db")
    url = f"sqlite:///{tmp_path}/results.db"
    assert str(report(url, to)).encode() == (golden / f"store.{to}").read_bytes()
    written = report(url, to, output=tmp_path / "out")
    assert Path(written).read_bytes() == (golden / f"store.{to}").read_bytes()
