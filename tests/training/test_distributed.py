"""Two processes (gloo) and one: the same loss curve for the same global batch, in float64."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch

from robustbench_sdnet.errors import InputError
from robustbench_sdnet.training import train
from robustbench_sdnet.training.distributed import launch
from robustbench_sdnet.training.feed import Epoch, Shard
from robustbench_sdnet.training.options import TrainOptions
from robustbench_sdnet.zoo import load_model

SETTINGS = {
    "train.epochs": 3,
    "train.batch_size": 24,
    "train.precision": "float64",
    "train.threads": 1,
    "train.adversary": "fgsm",
    "train.ema": 0.9,
    "train.lr": 0.02,
    "model.width": 4,
}


def run_two(data, folder):
    command = [
        *(sys.executable, "-m", "robustbench_sdnet", "train", data, "sdnet20", "--device", "cpu"),
        *("--output", str(folder), "--json", "--devices", "2"),
        *(part for key, value in SETTINGS.items() for part in ("--set", f"{key}={value}")),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert len(done.stdout.splitlines()) == 1  # the first process alone prints
    return json.loads(done.stdout)


def losses(folder):
    log = [json.loads(line)["loss"] for line in (folder / "log.jsonl").read_text().splitlines()]
    return torch.tensor(log, dtype=torch.float64)


def test_two_processes_draw_the_same_curve_as_one(tiny_data, tmp_path):
    one = train(tiny_data, "sdnet20", overrides=SETTINGS, output=tmp_path / "one", device="cpu")
    two = run_two(tiny_data, tmp_path / "two")
    first_losses, second_losses = losses(tmp_path / "one"), losses(tmp_path / "two")
    assert len(first_losses) == 3
    assert (first_losses - second_losses).abs().max() < 1e-5
    assert first_losses[0] - first_losses[-1] > 0.05
    assert one.accuracy == two["accuracy"]
    first, second = (load_model(tmp_path / name / "last.safetensors").state_dict() for name in ("one", "two"))
    worst = max((first[key].double() - second[key].double()).abs().max() for key in first)
    assert worst < 1e-5


def test_shards_are_the_global_batch_in_order():
    options = TrainOptions(batch_size=12)
    epoch = Epoch.draw(options, 3, torch.arange(50), 12)
    whole, placed = epoch.step(2, Shard())
    parts = [epoch.step(2, Shard(rank, 3)) for rank in range(3)]
    assert torch.equal(torch.cat([positions for positions, _ in parts]), whole)
    assert torch.equal(torch.cat([placement.down for _, placement in parts]), placed.down)
    everything = torch.cat([epoch.step(step, Shard())[0] for step in range(4)])
    assert len(everything.unique()) == 48


def test_a_batch_that_cannot_be_shared_and_no_device(tiny_data, tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(InputError, match=r"train\.batch_size=128 is shared by 3 processes: take a multiple"):
        train(tiny_data, "resnet20", device="cpu", output=tmp_path / "run")
    with pytest.raises(InputError, match="at least 1"):
        launch(0, [])
