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
    (copy / "setup.cfg").write_text(setup.replace("click>=8.1", "click>=8.2", 1))
    second = requirements(copy, "--hash")
    (copy / "constraints.txt").write_text("click==8.2\n")
    assert len({first, second, requirements(copy, "--hash")}) == 3
