"""The environment's name follows from what is in it, and every requirement is pinned."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILES = (".ci/requirements.py", "setup.cfg", "constraints.txt")


def requirements(root: Path, *arguments: str) -> str:
    script = root / ".ci" / "requirements.py"
    done = subprocess.run([sys.executable, script, *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def name(requirement: str) -> str:
    return re.sub(r"[-_.]+", "-", re.split(r"[\[<>=!~; ]", requirement)[0]).lower()


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for file in FILES:
        (tmp_path / file).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / file, tmp_path / file)
    return tmp_path


def test_every_requirement_is_pinned_exactly() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[a-z0-9-]+==[^ ;@/]+( ; python_version >= \"3\.\d+\")?", pin) for pin in pins)
    wanted = {name(requirement) for requirement in requirements(ROOT).splitlines()}
    assert wanted <= {name(pin) for pin in pins}
    config = configparser.ConfigParser(interpolation=None)
    config.read(ROOT / "setup.cfg")
    core = {name(line) for line in config["options"]["install_requires"].split("\n") if line}
    assert core | {"pytest", "ruff", "mypy"} <= wanted


def test_the_name_changes_with_requirements_and_pins_alone(copy: Path) -> None:
    first = requirements(copy, "--hash")
    assert re.fullmatch("[0-9a-f]{16}", first)
    (copy / "README.md").write_text("other text")
    setup = (copy / "setup.cfg").read_text()
    (copy / "setup.cfg").write_text(setup.replace("description =", "description = x", 1))
    assert requirements(copy, "--hash") == first
    (copy / "setup.cfg").write_text(setup.replace("click>=", "click>=8.1,>=", 1))
    second = requirements(copy, "--hash")
    (copy / "constraints.txt").write_text("click==8.2\n")
    assert len({first, second, requirements(copy, "--hash")}) == 3


STUB = """#!/bin/sh
# Stands in for Python: runs scripts with the real one, and writes down what it is asked to install.
case "$*" in
    *requirements.py*) exec {python} "$@" ;;
    "-m venv "*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
    *) echo "$*" | cut -c1-22 >>"{log}"; test ! -e "{broken}" ;;
esac
"""


@pytest.fixture
def build(copy: Path, tmp_path: Path):
    """Run `.ci/environment` in a small checkout, with a Python that only pretends to install."""
    for file in (".ci/environment", "pyproject.toml", "robustbench_sdnet/version.py"):
        (copy / file).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / file, copy / file)
    log, broken, python = tmp_path / "log", tmp_path / "broken", tmp_path / "python"
    python.write_text(STUB.format(python=sys.executable, log=log, broken=broken))
    python.chmod(0o755)

    def run(checkout: Path = copy, *, interrupted: bool = False) -> tuple[int, str, list[str]]:
        log.write_text("")
        broken.touch() if interrupted else broken.unlink(missing_ok=True)
        command = ["bash", checkout / ".ci" / "environment", tmp_path / "venv", python]
        done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
        return done.returncode, done.stdout, log.read_text().splitlines()

    return run


def kinds(lines: list[str]) -> list[str]:
    return ["install" if "-r" in line else "check" if "check" in line else "editable" for line in lines]


def test_an_environment_is_built_once_and_prints_its_python(build, tmp_path: Path) -> None:
    code, output, lines = build()
    assert (code, output) == (0, f"{tmp_path}/venv/bin/python\n")
    assert kinds(lines) == ["install", "check", "editable"]
    assert build() == (0, output, [])


def test_an_interrupted_installation_is_built_again_from_nothing(build, tmp_path: Path) -> None:
    code, output, lines = build(interrupted=True)
    assert (code != 0, output, kinds(lines)) == (True, "", ["install"])
    (tmp_path / "venv" / "half-installed").touch()
    assert kinds(build()[2]) == ["install", "check", "editable"]
    assert not (tmp_path / "venv" / "half-installed").exists()


def test_new_requirements_are_added_and_another_checkout_is_linked(build, copy: Path, tmp_path: Path) -> None:
    build()
    (tmp_path / "venv" / "kept").touch()
    setup = copy / "setup.cfg"
    setup.write_text(setup.read_text().replace("click>=", "click>=8.1,>=", 1))
    assert kinds(build()[2]) == ["install", "check", "editable"]
    assert (tmp_path / "venv" / "kept").exists()
    other = tmp_path / "other"
    shutil.copytree(copy, other, ignore=shutil.ignore_patterns("venv", "other"))
    assert kinds(build(other)[2]) == ["editable"]
