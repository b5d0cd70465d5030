"""Logits, residual energies and codes of the reference implementation, through its released tensor names."""

from __future__ import annotations

import json
import math
import zlib
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from robustbench_sdnet.zoo import csc_layers, has_lambda, import_checkpoint, residuals, use_lambda

RECORDS = 10
MODELS = 8  # two models have two records each: lambda on the stem alone, and on every layer
TOLERANCE = 1e-4


def tensor_of(record: dict[str, Any], name: str, shape: list[int]) -> Tensor:
    """A tensor of the released state dict, by the formula of the golden files."""
    if name in record.get("running_stats", {}):
        return torch.tensor(record["running_stats"][name])
    if name.endswith("num_batches_tracked"):
        return torch.tensor(0)
    if name.endswith(".step_size"):
        return torch.tensor(record["step_sizes"][name.removesuffix(".step_size")])
    generator = torch.Generator().manual_seed(zlib.crc32(f"{record['seed']}:{name}".encode()))
    r = torch.randn(shape, generator=generator)
    if name.endswith("running_var"):
        return 1 + 0.25 * r.tanh()
    if name.endswith("running_mean"):
        return 0.1 * r
    if len(shape) == 1:
        return 1 + 0.1 * r if name.endswith("weight") else 0.05 * r
    return r * math.sqrt(2 / r[0].numel())


def relative(actual: Tensor, expected: list[Any]) -> float:
    target = torch.tensor(expected)
    return float((actual - target).norm() / target.norm())


@pytest.fixture(scope="module")
def records(golden: Path) -> list[list[dict[str, Any]]]:
    """The records, those of one model together."""
    models: dict[str, list[dict[str, Any]]] = {}
    found = json.loads((golden / "sdnet_forward.json").read_text())
    for record in found:
        key = "{arch} {shortcut} {dataset} {input_size} {seed}".format(**record)
        models.setdefault(key, []).append(record)
    assert (len(found), len(models)) == (RECORDS, MODELS)
    return list(models.values())


@pytest.mark.parametrize("index", range(MODELS))
@torch.no_grad()
def test_the_records_of_a_model_are_reproduced(
    records: list[list[dict[str, Any]]], index: int, tmp_path: Path
) -> None:
    record = records[index][0]
    state = {name: tensor_of(record, name, shape) for name, shape in record["state_dict"]}
    torch.save(state, tmp_path / "model_best.pth.tar")
    sizes = {key: record[key] for key in ("shortcut", "num_classes", "input_size")}
    model = import_checkpoint(
        tmp_path / "model_best.pth.tar", arch=record["arch"], step_size="checkpoint", **sizes
    )
    side = record["input_size"]
    images = torch.rand((2, 3, side, side), generator=torch.Generator().manual_seed(record["seed"]))
    for each in records[index]:
        assert each["step_sizes"] == record["step_sizes"]
        scope = "stem" if each["lambda_applies_to"] == "stem" else "all"
        for lam, expected in each["by_lambda"].items():
            if not has_lambda(model):
                assert relative(model(images), expected["logits"]) < TOLERANCE
                continue
            with use_lambda(model, float(lam), scope=scope):
                assert relative(model(images), expected["logits"]) < TOLERANCE
                assert relative(residuals(model, images), expected["stem_residual"]) < TOLERANCE
                codes = csc_layers(model)[0](model.normalise(images))
                share = (codes != 0).float().mean().item()
                assert share == pytest.approx(expected["stem_code_nonzero"], rel=TOLERANCE)
