"""What a run says of its device."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from robustbench_sdnet.running.device import device_name, peak_memory, pick_batch_size


def test_a_batch_is_what_was_asked_for_else_what_suits_a_processor_and_the_images():
    assert pick_batch_size(7, "cpu", 224 * 224) == 7
    assert [pick_batch_size(None, "cpu", side * side) for side in (32, 64, 65, 224)] == [250, 250, 50, 50]


@pytest.mark.parametrize(
    ("system", "status", "unit"),
    [("freebsd", None, 1024), ("darwin", None, 1), ("linux", b"Name:\tp\xff\nVmRSS:\t7 kB\n", 1024)],
)
def test_memory_is_in_bytes_whatever_the_system_counts_in(system, status, unit, monkeypatch):
    def read(path):
        if status is None:
            raise FileNotFoundError(path)
        return status

    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(Path, "read_bytes", read)
    monkeypatch.setattr(Path, "read_text", lambda path, *how: read(path).decode(errors="replace"))
    monkeypatch.setattr(resource, "getrusage", lambda who: type("Usage", (), {"ru_maxrss": 3000})())
    assert peak_memory("cpu") == 3000 * unit


@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone hands a parent's size down.")
@pytest.mark.slow
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


def test_the_peak_is_read_in_a_process_of_any_name(monkeypatch):
    status = b"Name:\tpr\xc3\nVmPeak:\t  900 kB\nVmHWM:\t    3000 kB\nVmRSS:\t  7 kB\n"
    monkeypatch.setattr(Path, "read_bytes", lambda path: status)
    assert peak_memory("cpu") == 3000 * 1024


def test_name_and_memory_are_those_of_the_gpu_that_was_asked_for(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device=None: f"GPU at {device}")
    monkeypatch.setattr(
        torch.cuda, "max_memory_allocated", lambda device=None: {"cuda:1": 3000}.get(device, 0)
    )
    assert (device_name("cuda:1"), peak_memory("cuda:1")) == ("GPU at cuda:1", 3000)


def test_an_answer_of_a_processor_or_of_mps_says_so(monkeypatch):
    monkeypatch.setattr("platform.machine", lambda: "arm64")
    assert [device_name(device) for device in ("cpu", "mps")] == ["cpu (arm64)", "mps (arm64)"]
