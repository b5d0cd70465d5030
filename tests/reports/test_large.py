"""The page of a survey's store stays small, and every one of its rows can be sorted."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.memory import PRINT_PEAK

from .large_store import fill

MAKE = f"""
import sys
from robustbench_sdnet.reports import report
report(sys.argv[1], "html", output=sys.argv[2])
{PRINT_PEAK}"""


@pytest.mark.slow
@pytest.mark.browser
def test_the_page_of_twenty_models_is_at_most_eight_mebibytes(tmp_path, browser) -> None:
    url = f"sqlite:///{tmp_path}/results.db"
    # 20 models at 8 lambdas: clean images and 19 corruptions at 5 severities.
    assert fill(url) == 20 * 8 * 96
    path = tmp_path / "report.html"
    made = subprocess.run(
        [sys.executable, "-c", MAKE, url, str(path)], capture_output=True, text=True, check=True
    )
    assert int(made.stderr.split()[-1]) <= 2**20, "kibibytes of memory"
    assert path.stat().st_size <= 8 * 2**20
    page = browser.new_page()
    page.goto(path.as_uri())
    # Clean and the mean over corruptions at every lambda, and the oracle's mean.
    assert page.locator("table").first.locator("tbody tr").count() == 20 * (8 * 2 + 1)
    page.locator("table").first.locator("th", has_text="accuracy").locator("button").click()
    # An interval stands right behind each number, which has one decimal.
    numbers = page.evaluate(
        "[...document.querySelector('table').tBodies[0].rows]"
        ".map(row => parseFloat(row.cells[4].textContent.match(/\\d+\\.\\d/)[0]))"
    )
    assert numbers == sorted(numbers)
    page.close()
