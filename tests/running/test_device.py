"""What a run says of its device."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from robustbench_sdnet.running.device import peak_memory


@pytest.mark.parametrize(("system", "unit"), [("freebsd", 1024), ("darwin", 1)])
def test_memory_is_in_bytes_whatever_the_system_counts_in(system, unit, monkeypatch):
    def nowhere(path):
        raise FileNotFoundError(path)

    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(Path, "read_text", nowhere)
    monkeypatch.setattr(resource, "getrusage", lambda who: type("Usage", (), {"ru_maxrss": 3000})())
    assert peak_memory("cpu") == 3000 * unit


@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone hands a parent's size down.")
def test_the_memory_of_the_process_that_started_this_one_does_not_count():
    program = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from robustbench_sdnet.running.device import peak_memory\nprint(peak_memory('cpu'))"
    )
    ballast = bytearray(b"x") * 2**31  # touched, more than importing torch takes
    child = subprocess.run(
        [sys.executable, "-c", program, str(Path(__file__).parents[2])],
        capture_output=True,
        text=True,
        check=True,
    )
    assert 2**20 < int(child.stdout) < len(ballast)
