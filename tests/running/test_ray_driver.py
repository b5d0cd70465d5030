"""A driver of Ray workers that is stopped or killed: nothing is left behind, and the same command goes on."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from robustbench_sdnet.errors import StoreError
from robustbench_sdnet.store.store import Store

from ..store.made import shards

pytest.importorskip("ray")
pytestmark = [pytest.mark.ray, pytest.mark.slow]
MODEL = """
import time
import torch
from torch import nn

class Slow(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 3, bias=False)
        self.linear.weight.data = torch.eye(3)

    def forward(self, images):
        time.sleep(0.3)
        return self.linear(images.mean((2, 3)))

slow = Slow
"""
ASKED = shlex.split(
    "corrupt --corruption noise,blur --severity 1-5 --model own:slow --data npz:tiny.npz --json"
)
RAY = ["--engine", "ray", "--workers", "1"]
# Of a driver that was killed, Ray's own agents may wait for the rest of Ray, and then end by themselves.
AGENTS = ("ray::DashboardAgent", "ray::RuntimeEnvAgent")


@pytest.fixture
def folder(tmp_path, tiny_npz):
    (tmp_path / "own.py").write_text(MODEL)
    return tmp_path


def _start(folder: Path, mark: str, *more: str) -> subprocess.Popen[str]:
    environment = os.environ | {
        "SDNET_TEST_MARK": mark,
        "OMP_NUM_THREADS": "1",
        "RAY_DEFAULT_OBJECT_STORE_MAX_MEMORY_BYTES": "200000000",
    }
    command = [sys.executable, "-m", "robustbench_sdnet", *ASKED, *more]
    return subprocess.Popen(
        command, cwd=folder, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def _running(mark: str) -> dict[int, str]:
    """The processes that a marked driver started and that still run, and their command lines."""
    found = {}
    for process in Path("/proc").iterdir():
        try:
            if (
                process.name.isdigit()
                and f"SDNET_TEST_MARK={mark}".encode() in (process / "environ").read_bytes()
            ):
                found[int(process.name)] = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
    return {number: line for number, line in found.items() if line}


def _left(mark: str) -> list[str]:
    return list(_running(mark).values())


def _after(seconds: float, condition) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if condition():
            return True
        time.sleep(0.2)
    return condition()


def _stored(folder: Path) -> set[str]:
    """When the shards that are stored were answered."""
    try:
        with Store(f"sqlite:///{folder}/runs/results.db", must_exist=True) as store:
            return {str(shard.finished_at) for cell_id in store.cells() for shard in shards(store, cell_id)}
    except StoreError:
        return set()


def test_of_a_lost_worker_nothing_comes_between_what_the_command_prints(folder):
    mark = f"lost-{os.getpid()}"
    driver = _start(folder, mark, *RAY)
    assert _after(120, lambda: len(_stored(folder)) > 3), driver.communicate()
    lost = [number for number, line in _running(mark).items() if "ray::Actor" in line]
    os.kill(lost[0], signal.SIGKILL)
    out, errors = driver.communicate(timeout=240)
    assert driver.returncode == 0, errors
    assert {row["n"] for row in json.loads(out)} == {30}
    assert "raylet" not in errors


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_driver_that_ends_leaves_nothing_and_the_same_command_goes_on(folder, how):
    mark = f"{how.name}-{os.getpid()}"
    driver = _start(folder, mark, *RAY)
    assert _after(120, lambda: len(_stored(folder)) > 3), driver.communicate()
    assert any("ray::Actor" in line for line in _left(mark)), "a worker was there"
    driver.send_signal(how)
    driver.wait(60)  # it ends in seconds, on a machine under load in some more
    patient = AGENTS if how is signal.SIGKILL else ()

    def at_work() -> list[str]:
        return [line for line in _left(mark) if not line.startswith(patient)]

    assert _after(20, lambda: not at_work()), at_work()
    _, errors = driver.communicate(timeout=20)
    if how is not signal.SIGKILL:
        assert driver.returncode == 1
        by = " by SIGTERM" if how is signal.SIGTERM else ""
        assert errors.splitlines()[-1] == (
            f"Error: Stopped{by}. What was finished is stored; run the same command again to go on."
        )
    before = _stored(folder)
    assert 3 < len(before) < 40

    again = _start(folder, mark, *RAY)
    output, errors = again.communicate(timeout=250)
    assert again.returncode == 0, errors
    assert before <= _stored(folder), "what was stored is not answered again"
    alone, _ = _start(folder, mark, "--store", "sqlite:///alone.db").communicate(timeout=250)
    assert json.loads(output) == json.loads(alone)
    assert _after(20, lambda: not at_work()), at_work()
