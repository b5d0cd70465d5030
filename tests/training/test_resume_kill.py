"""kill -9 at any moment, then --resume: the weights end bit for bit where an undisturbed run ends."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest

from robustbench_sdnet.training import train
from robustbench_sdnet.zoo import read_card

SETTINGS = {
    "train.epochs": 4,
    "train.batch_size": 16,
    "train.threads": 1,
    "train.save_minutes": 0,
    "train.adversary": "fgsm",
    "train.ema": 0.9,
    "model.width": 4,
}


def command(data, folder, *extra):
    settings = [part for key, value in SETTINGS.items() for part in ("--set", f"{key}={value}")]
    return [
        *(sys.executable, "-m", "robustbench_sdnet", "train", data, "sdnet20", "--device", "cpu"),
        *("--output", str(folder), "--json", *settings, *extra),
    ]


def finish(process_command):
    done = subprocess.run(process_command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def kill_after_first_state(process_command, folder, delay):
    """Start, wait for a saved state and a moment more, kill; True where the run was still going."""
    process = subprocess.Popen(process_command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not (folder / "state.pt").exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    time.sleep(delay)
    alive = process.poll() is None
    if alive:
        os.kill(process.pid, signal.SIGKILL)
    process.wait()
    return alive


@pytest.mark.slow
def test_killed_and_resumed_equals_undisturbed(tiny_data, tmp_path):
    whole = train(tiny_data, "sdnet20", overrides=SETTINGS, output=tmp_path / "whole", device="cpu")
    delay = random.random() * 0.3
    killed = kill_after_first_state(command(tiny_data, tmp_path / "cut"), tmp_path / "cut", delay)
    resumed = finish(command(tiny_data, tmp_path / "cut", "--resume"))
    if not killed:
        pytest.skip("the run ended before it was killed")
    assert 0 < resumed["resumed_at_step"] <= resumed["steps_total"] == 24
    assert resumed["steps_run"] == 24 - resumed["resumed_at_step"]
    assert resumed["accuracy"] == whole.accuracy
    hashes = [read_card(tmp_path / name / "last.safetensors").weights_hash for name in ("whole", "cut")]
    assert hashes[0] == hashes[1], f"killed {delay:.3f} s after the first state"
