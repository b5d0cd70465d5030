"""Everything that identifies a cell reaches what perturbs its images."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from robustbench_sdnet import attacks, corruptions
from robustbench_sdnet.data.images import from_arrays
from robustbench_sdnet.planning.identity import data_spec
from robustbench_sdnet.planning.plan import Task
from robustbench_sdnet.running.perturbed import frames_of, run_attack, task_images
from robustbench_sdnet.specs import AttackSpec, Cell, CorruptionSpec, Eps, Repeats, SequenceSpec, params

from ..tiny_setting import RESNET

PIXELS = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), dtype=np.uint8)
DATA = from_arrays("tiny", "test", PIXELS, np.arange(8), 8, "tiny")
NOISE = CorruptionSpec(name="gaussian_noise", severity=2, seed=5, table="tiny", stored="jpeg85")


@pytest.mark.parametrize(
    ("spec", "given"),
    [
        (NOISE, {"severity": 2, "table": "tiny", "stored_as": "jpeg85"}),
        (replace(NOISE, severity=None, level="0.2", table="cifar", stored=""), {"level": 0.2}),
    ],
)
def test_a_corruption_is_carried_out_as_it_is_asked(spec, given):
    task = Task(3, 7, (Cell(model=RESNET, data=data_spec(DATA), perturbation=spec),))
    wanted = corruptions.corrupt(PIXELS[3:7], spec.name, seed=5, sample_ids=np.arange(3, 7), **given)
    assert np.array_equal(task_images(DATA, task), wanted)


def test_a_sequence_is_carried_out_as_it_is_asked():
    spec, ids = SequenceSpec(name="gaussian_noise", difficulty=2, frames=31, seed=5), np.arange(3, 7)
    shown = list(frames_of(PIXELS[3:7], spec, ids))
    wanted = list(corruptions.pipeline.frames(PIXELS[3:7], "gaussian_noise", 2, 5, ids))
    assert len(shown) == spec.frames
    assert all(np.array_equal(frame, other) for frame, other in zip(shown, wanted, strict=True))


@pytest.mark.parametrize(
    ("repeats", "counted"),
    [(None, {"answers": None, "protocol": "mean"}), (Repeats(5, "any"), {"answers": 5, "protocol": "any"})],
)
def test_an_attack_is_run_as_it_is_asked(monkeypatch, repeats, counted):
    seen = []
    monkeypatch.setattr(attacks, "run", lambda *asked, **options: seen.append((asked, options)))
    spec = AttackSpec(name="pgd", eps=Eps.parse("0.5"), norm="l2", params=params({"steps": 3}), seed=9)
    model = replace(RESNET, options=params({"randomised": True})).counted(repeats) if repeats else RESNET
    cell = Cell(model=model, data=data_spec(DATA), perturbation=spec, precision="bfloat16")
    given = torch.nn.Identity(), torch.zeros(2, 3, 4, 4), torch.zeros(2, dtype=torch.int64)
    run_attack(cell, *given, np.arange(6, 8), 50, given[1])
    ((asked, options),) = seen
    assert asked == ("pgd", *given)
    assert options.pop("sample_ids").tolist() == [6, 7]
    assert options.pop("start") is given[1]
    assert options == {
        "eps": 0.5, "norm": "l2", "params": {"steps": 3}, "seed": 9, "precision": "bfloat16", "batch_size": 50,
        **counted,
    }  # fmt: skip
