"""What continuous integration needs of the system, and what a missing server means there and elsewhere."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests import database_server

ROOT = Path(__file__).resolve().parents[2]


def packages(folder: Path, user: int, *present: str) -> tuple[str, str]:
    """What the script installs, and what it says, on a machine that has `present` alone."""
    for name, does in {
        "id": f"echo {user}",
        "apt-get": f'echo "$@" >>{folder}/installed',
        **dict.fromkeys(present, "true"),
    }.items():
        (folder / name).write_text(f"#!{shutil.which('bash')}\n{does}\n")
        (folder / name).chmod(0o755)
    done = subprocess.run(
        [shutil.which("bash"), ROOT / ".ci" / "system-packages"],
        env={"PATH": str(folder)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    installed = folder / "installed"
    return installed.read_text() if installed.exists() else "", done.stderr


def test_root_gets_the_packages_that_are_missing(tmp_path):
    installed, _ = packages(tmp_path, 0, "initdb")
    assert installed.splitlines()[0].startswith("update")
    assert installed.splitlines()[1].endswith("--yes chromium")


def test_others_are_told_what_to_install(tmp_path):
    installed, said = packages(tmp_path, 1000, "initdb")
    assert installed == ""
    assert "sudo apt-get install --yes chromium" in said


def test_nothing_is_touched_where_everything_is_there(tmp_path):
    assert packages(tmp_path, 0, "initdb", "chromium") == ("", "")


def test_the_whole_suite_runs_once_and_its_closing_line_comes_last():
    lines = (ROOT / ".ci" / "run").read_text().splitlines()
    assert "not gpu and not network" in lines[-1]
    assert sum(" test " in line for line in lines if line.startswith("make")) == 1


@pytest.mark.parametrize(("ci", "outcome"), [("true", "failed"), ("", "skipped")])
def test_a_missing_server_fails_in_continuous_integration_and_skips_elsewhere(
    pytester, monkeypatch, ci, outcome
):
    monkeypatch.setenv("CI", ci)
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    pytester.makeini("[pytest]\nmarkers = postgres: x\n")
    pytester.makeconftest(
        f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
        "from tests import database_server\nfrom tests.database_server import postgres, postgres_server\n"
        "database_server._binaries = lambda: None\n"
    )
    pytester.makepyfile("def test_it(postgres): pass")
    found = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-rs")
    found.assert_outcomes(**({"errors": 1} if outcome == "failed" else {"skipped": 1}))
    found.stdout.fnmatch_lines([f"*{database_server.REMEDY}*"])
