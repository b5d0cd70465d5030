"""A user's float64 model behind the float32 images of every command."""

from __future__ import annotations

import torch

import robustbench_sdnet as rs
from robustbench_sdnet import attacks

CODE = """
import torch
from torch import nn

def defended():
    torch.manual_seed(0)
    layers = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 6 * 6, 3)
    return nn.Sequential(*layers).double().eval()
"""


def test_a_float64_model_takes_float32_images(tmp_path, monkeypatch):
    (tmp_path / "mine_in_double.py").write_text(CODE)
    monkeypatch.syspath_prepend(tmp_path)
    model = rs.load_model("mine_in_double:defended")
    images = torch.rand(6, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    logits = model(images)
    assert logits.dtype == torch.float64
    assert torch.equal(logits, model(images.double()))
    labels = logits.argmax(1)
    for precision in ("float32", "bfloat16"):
        result = attacks.pgd(model, images, labels, eps=0.5, steps=10, precision=precision)
        assert result.images.dtype == torch.float32
        assert torch.equal(result.robust, model(result.images).argmax(1) == labels)
        assert not result.robust.all(), "it can be attacked"
