"""Two processes (gloo): the same loss curve as one for the same global batch, in float64, and the same weights
whatever becomes of a process on the way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from robustbench_sdnet import data
from robustbench_sdnet.errors import InputError
from robustbench_sdnet.training import train
from robustbench_sdnet.training.recipes.options import TrainOptions
from robustbench_sdnet.training.step.feed import ResidentFeed
from robustbench_sdnet.zoo import load_model, read_card

SETTINGS = {
    "train.epochs": 3,
    "train.batch_size": 24,
    "train.precision": "float64",
    "train.threads": 1,
    "train.adversary": "fgsm",
    "train.ema": 0.9,
    "train.lr": 0.02,
    "train.save_minutes": 0,
    "model.width": 4,
}


def arguments(data, folder, *extra):
    settings = [part for key, value in SETTINGS.items() for part in ("--set", f"{key}={value}")]
    return [
        *("-m", "robustbench_sdnet", "train", data, "sdnet20", "--device", "cpu"),
        *("--output", str(folder), "--json", *settings, *extra),
    ]


def begin(*command):
    return subprocess.Popen(
        [sys.executable, *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def end(process):
    """(exit code, what it printed, what it said)."""
    printed, said = process.communicate(timeout=200)
    return process.returncode, printed, said


@pytest.fixture(scope="module")
def two(tiny_data, tmp_path_factory):
    """An undisturbed run of two processes: its folder and what it printed."""
    folder = tmp_path_factory.mktemp("two") / "run"
    code, printed, said = end(begin(*arguments(tiny_data, folder, "--devices", "2")))
    assert code == 0, said[-2000:]
    assert len(printed.splitlines()) == 1  # the first process alone prints
    return folder, json.loads(printed)


def workers(process, folder):
    """The two training processes that a launcher started, by rank, once a step has been saved."""
    deadline = time.monotonic() + 120
    while not (folder / "state.pt").exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    assert process.poll() is None, end(process)
    found = {}
    for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
        environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        ranks = [entry[5:] for entry in environment if entry.startswith(b"RANK=")]
        found |= {int(rank): int(pid) for rank in ranks}
    assert sorted(found) == [0, 1]
    return found


def weights_hash(folder):
    return read_card(folder / "last.safetensors").weights_hash


def losses(folder):
    log = [json.loads(line)["loss"] for line in (folder / "log.jsonl").read_text().splitlines()]
    return torch.tensor(log, dtype=torch.float64)


@pytest.mark.slow
def test_two_processes_draw_the_same_curve_as_one(tiny_data, tmp_path, two):
    one = train(tiny_data, "sdnet20", overrides=SETTINGS, output=tmp_path / "one", device="cpu")
    folder, printed = two
    first_losses, second_losses = losses(tmp_path / "one"), losses(folder)
    assert len(first_losses) == 3
    assert (first_losses - second_losses).abs().max() < 1e-5
    assert first_losses[0] - first_losses[-1] > 0.05
    assert one.accuracy == printed["accuracy"]
    first, second = (load_model(path / "last.safetensors").state_dict() for path in (one.folder, folder))
    worst = max((first[key].double() - second[key].double()).abs().max() for key in first)
    assert worst < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_torchrun_starts_again_from_the_last_state(tiny_data, tmp_path, two, rank):
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "--max-restarts=1")
    process = begin(*launcher, *arguments(tiny_data, tmp_path / "run"))
    os.kill(workers(process, tmp_path / "run")[rank], signal.SIGKILL)
    code, printed, said = end(process)
    assert code == 0, said[-2000:]
    result = json.loads(printed.splitlines()[-1])
    assert 0 < result["resumed_at_step"] <= result["steps_total"] == 12
    assert weights_hash(tmp_path / "run") == weights_hash(two[0])
    assert (tmp_path / "run" / "log.jsonl").read_text() == (two[0] / "log.jsonl").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_devices_lost_or_stopped_and_resumed(tiny_data, tmp_path, two, how):
    process = begin(*arguments(tiny_data, tmp_path / "run", "--devices", "2"))
    found = workers(process, tmp_path / "run")
    os.kill(found[1] if how == signal.SIGKILL else process.pid, how)
    code, _, said = end(process)
    assert code == 1
    assert "Traceback" not in said
    wanted = (
        "Training process 2 of 2 was killed by SIGKILL" if how == signal.SIGKILL else "Stopped by SIGTERM"
    )
    assert wanted in said
    assert "--resume" in said.splitlines()[-1]
    assert not any(Path(f"/proc/{pid}").exists() for pid in found.values())
    code, printed, said = end(begin(*arguments(tiny_data, tmp_path / "run", "--devices", "2", "--resume")))
    assert code == 0, said
    assert json.loads(printed)["resumed_at_step"] > 0
    assert weights_hash(tmp_path / "run") == weights_hash(two[0])


SKEWED = """
import os, sys, time, types
from robustbench_sdnet.training import train
from robustbench_sdnet.training.step import measure

faster = 1 + 9 * int(os.environ["RANK"])
measure.time = types.SimpleNamespace(perf_counter=lambda: time.perf_counter() * faster)
settings = {"train.epochs": 2, "train.batch_size": 2, "train.threads": 1, "model.width": 16}
train(sys.argv[1], "sdnet20", overrides=settings, output=sys.argv[2], device="cpu")
"""


@pytest.mark.slow
def test_processes_time_their_steps_together_however_their_clocks_run(tiny_data, tmp_path):
    (tmp_path / "skewed.py").write_text(SKEWED)
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")
    code, _, said = end(begin(*launcher, str(tmp_path / "skewed.py"), str(tiny_data), str(tmp_path / "run")))
    assert code == 0, said[-2000:]


def test_shares_are_the_global_batch_in_order(tiny_data):
    given = data.load(tiny_data, "train"), TrainOptions(batch_size=12), torch.arange(50), 12
    whole = list(ResidentFeed(*given, torch.device("cpu")).epoch(3))
    parts = [list(ResidentFeed(*given, torch.device("cpu"), rank, 3).epoch(3))[2] for rank in range(3)]
    assert torch.equal(torch.cat([part.ids for part in parts]), whole[2].ids)
    assert torch.equal(torch.cat([part.images for part in parts]), whole[2].images)
    assert len(torch.cat([batch.ids for batch in whole]).unique()) == 48


def test_restarts_need_a_folder_that_is_named(tiny_data, monkeypatch):
    monkeypatch.setenv("TORCHELASTIC_MAX_RESTARTS", "3")
    with pytest.raises(InputError, match="With --max-restarts, name --output"):
        train(tiny_data, "resnet20", device="cpu")


def test_a_process_that_fails_alone_is_quoted():
    from robustbench_sdnet.training.run.launch import _account

    text = _account(1, 2, "ended with exit code 1", "progress\nError: data is damaged.\n\n")
    assert "Training process 2 of 2 ended with exit code 1" in text
    assert text.endswith("Go on with --resume. It said: data is damaged.")
    assert _account(0, 2, "was killed by SIGSEGV", "").endswith("Go on with --resume.")


def test_a_batch_that_cannot_be_shared(tiny_data, tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(InputError, match=r"train\.batch_size=128 is shared by 3 processes: use a multiple"):
        train(tiny_data, "resnet20", device="cpu", output=tmp_path / "run")
