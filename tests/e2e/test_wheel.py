"""A wheel built from the tree holds everything, and works in an environment of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

from robustbench_sdnet.version import VERSION

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "robustbench_sdnet"
NEEDED = ("py.typed", "reports/templates/report.html", "zoo/index.yaml", "training/recipes/*.yaml")
SHIPPED = (*NEEDED, "zoo/weights/*.safetensors")


def run(*command: str | Path, cwd: Path) -> str:
    """What a command prints, without the tree on any path."""
    clean = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONHOME")}
    done = subprocess.run(
        command, cwd=cwd, env=clean, capture_output=True, text=True, timeout=280, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def dist(tmp_path_factory) -> Path:
    """What `make dist` builds and checks, in a folder outside the tree."""
    folder = tmp_path_factory.mktemp("dist")
    said = run("bash", ROOT / ".ci" / "dist", Path(sys.executable).parent, folder, cwd=ROOT)
    assert said.split() == [str(path) for path in sorted(folder.iterdir())]
    return folder


@pytest.fixture(scope="module")
def wheel(dist: Path) -> Path:
    (found,) = dist.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def elsewhere(wheel: Path, tmp_path_factory) -> Path:
    """The `bin` folder of an environment with the wheel, its requirements borrowed from this one."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, symlinks=True)
    python = folder / "bin" / "python"
    (packages,) = folder.glob("lib/python*/site-packages")
    # The new environment sees the packages of this one, but not an editable installation of the tree.
    here = [path for path in sys.path if path.endswith("site-packages")]
    (packages / "requirements.pth").write_text("\n".join(here))
    run(sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--quiet", wheel, cwd=folder)
    return python.parent


@pytest.mark.slow
def test_the_wheel_holds_code_and_data_and_nothing_else(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert all(any(PACKAGE.glob(pattern)) for pattern in NEEDED)
    data = {str(path.relative_to(ROOT)) for pattern in SHIPPED for path in PACKAGE.glob(pattern)}
    assert data <= names
    modules = {str(path.relative_to(ROOT)) for path in PACKAGE.rglob("*.py")}
    assert modules <= names
    assert {name.split("/")[0].split("-")[0] for name in names} == {"robustbench_sdnet"}


@pytest.mark.slow
def test_the_source_archive_builds_the_same_and_says_what_changed(dist: Path) -> None:
    (archive,) = dist.glob("*.tar.gz")
    with tarfile.open(archive) as opened:
        names = {name.partition("/")[2] for name in opened.getnames()}
    assert {"CHANGELOG.md", "CITATION.cff", "LICENSE", "README.md", "setup.cfg", "constraints.txt"} <= names
    assert {str(path.relative_to(ROOT)) for path in PACKAGE.rglob("*.py")} <= names


@pytest.mark.slow
def test_the_version_has_a_changelog_entry_and_is_that_of_the_files(dist: Path) -> None:
    assert re.search(
        rf"^## \[{re.escape(VERSION)}\] - \d{{4}}-\d\d-\d\d$", (ROOT / "CHANGELOG.md").read_text(), re.M
    )
    assert {path.name.split("-")[1].removesuffix(".tar.gz") for path in dist.iterdir()} == {VERSION}


@pytest.mark.slow
def test_the_installed_command_runs_away_from_the_tree(elsewhere: Path, tmp_path: Path) -> None:
    where = run(elsewhere / "python", "-c", "import robustbench_sdnet as r; print(r.__file__)", cwd=tmp_path)
    assert where.startswith(str(elsewhere.parent))
    assert "quickstart" in run(elsewhere / "sdnet-bench", "--help", cwd=tmp_path)
    assert "--baseline" in run(elsewhere / "sdnet-bench", "report", "--help", cwd=tmp_path)


@pytest.mark.slow
def test_the_installed_package_reports(elsewhere: Path, tmp_path: Path) -> None:
    code = (
        "from robustbench_sdnet.reports.document import Document, Section\n"
        "from robustbench_sdnet.reports.writers import html\n"
        "print(html.render(Document('A title', (Section('A chapter'),)), str))"
    )
    assert "<h1>A title</h1>" in run(elsewhere / "python", "-c", code, cwd=tmp_path)
