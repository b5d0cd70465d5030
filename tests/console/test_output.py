"""What reaches the terminal."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import robustbench_sdnet
from robustbench_sdnet.console.output import say, say_json, say_of, warn

STDOUT = ["--output", "/dev/stdout"]
PACKAGE = Path(robustbench_sdnet.__file__).parent


def test_no_name_steers_the_terminal(capsys):
    say("a\tb\n\x1b[2J\x07")
    warn("no\rway")
    assert capsys.readouterr() == ("a\tb\n\\x1b[2J\\x07\n", "Warning: no\\rway\n")


def test_where_something_was_written_is_no_part_of_it(capfd, tmp_path):
    """It was appended to what went to /dev/stdout."""
    say_of(Path("/dev/stdout"), "Wrote it")
    say_of(tmp_path, "Wrote another")
    assert capfd.readouterr() == ("Wrote another\n", "Wrote it\n")
    card = [sys.executable, "-m", "robustbench_sdnet", "zoo", "card", "cifar10/sdnet20"]
    printed, written = (subprocess.run([*card, *to], capture_output=True, check=True) for to in ([], STDOUT))
    assert (written.stdout, written.stderr) == (printed.stdout, b"Wrote /dev/stdout\n")


def test_json_stays_what_it_is_and_holds_no_nan(capsys):
    say_json({"name": "\x1b[31m\n"})
    printed = capsys.readouterr().out
    assert "\x1b" not in printed
    assert json.loads(printed) == {"name": "\x1b[31m\n"}
    with pytest.raises(ValueError, match="JSON compliant"):
        say_json(float("nan"))


def test_commands_print_through_it_alone():
    files = [*PACKAGE.glob("commands/**/*.py"), *PACKAGE.glob("console/*.py")]
    found = [
        file.name for file in files if re.search(r"click\.(echo|secho)\(|(?<![.\w])print\(", file.read_text())
    ]
    assert found == ["output.py"]
