"""What the page of a large store costs: seconds of CPU, memory, bytes, and the milliseconds of a sort in a browser.

    python benchmarks/report_page.py [--store sqlite:///FILE]

The store has 20 models at 8 lambdas under 19 corruptions at 5 severities; it is made where none is given.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

SORT = """() => {
    const button = document.querySelector("table th:nth-child(5) button"), start = performance.now();
    button.click();
    document.body.offsetHeight;
    return performance.now() - start;
}"""


def main() -> None:
    from playwright.sync_api import sync_playwright

    from robustbench_sdnet.reports import report
    from tests.reports.large_store import fill

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--store")
    with tempfile.TemporaryDirectory() as folder:
        url = parser.parse_args().store
        if url is None:
            url = f"sqlite:///{folder}/results.db"
            print(f"{fill(url):,} cells")
        start = time.process_time()
        path = Path(report(url, "html", output=Path(folder) / "report.html"))
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        size = path.stat().st_size / 2**20
        print(f"built in {time.process_time() - start:.1f} s of CPU, {memory:.0f} MiB; page {size:.1f} MiB")
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=shutil.which("chromium"), args=["--no-sandbox"]
            )
            page = browser.new_page()
            page.goto(path.as_uri())
            print(f"a sort takes {min(page.evaluate(SORT) for _ in range(5)):.0f} ms")
            browser.close()


if __name__ == "__main__":
    main()
