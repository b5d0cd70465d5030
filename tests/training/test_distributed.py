"""Two processes (gloo) and one: the same loss curve for the same global batch, in float64."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch

from robustbench_sdnet.errors import InputError
from robustbench_sdnet.training.distributed import launch
from robustbench_sdnet.training.feed import Epoch, Shard
from robustbench_sdnet.training.recipe import TrainOptions
from robustbench_sdnet.zoo import load_model


def run(data, folder, *extra, devices=1):
    settings = {
        "train.epochs": 3,
        "train.batch_size": 24,
        "train.precision": "float64",
        "train.threads": 1,
        "train.adversary": "fgsm",
        "train.ema": 0.9,
        "train.lr": 0.02,
        "model.width": 4,
    }
    command = [
        *(sys.executable, "-m", "robustbench_sdnet", "train", data, "sdnet20", "--device", "cpu"),
        *("--output", str(folder), "--json", "--devices", str(devices)),
        *(part for key, value in settings.items() for part in ("--set", f"{key}={value}")),
        *extra,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert len(done.stdout.splitlines()) == 1  # the first process alone prints
    log = [json.loads(line)["loss"] for line in (folder / "log.jsonl").read_text().splitlines()]
    return json.loads(done.stdout), torch.tensor(log, dtype=torch.float64)


def test_two_processes_draw_the_same_curve_as_one(tiny_data, tmp_path):
    one, one_losses = run(tiny_data, tmp_path / "one")
    two, two_losses = run(tiny_data, tmp_path / "two", devices=2)
    assert len(one_losses) == 3
    assert (one_losses - two_losses).abs().max() < 1e-5
    assert one_losses[0] - one_losses[-1] > 0.05
    assert one["accuracy"] == two["accuracy"]
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
    from robustbench_sdnet.training import train

    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(InputError, match=r"train\.batch_size=128 is shared by 3 processes: take a multiple"):
        train(tiny_data, "resnet20", device="cpu", output=tmp_path / "run")
    with pytest.raises(InputError, match="at least 1"):
        launch(0, [])
