"""Released checkpoints in both forms; what holds code or belongs elsewhere is refused."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from robustbench_sdnet.errors import CheckpointError, InputError
from robustbench_sdnet.zoo import build_model, csc_layers, import_checkpoint

WIDTH = 4


def released(arch: str = "sdnet20", **options: Any) -> dict[str, Tensor]:
    """A state dict under the released names: no normalisation, no power iteration; atoms of any norm."""
    torch.manual_seed(1)
    model = build_model(arch, width=WIDTH, **options)
    state = {
        key: value.clone()
        for key, value in model.state_dict().items()
        if not key.startswith("normalise") and not key.endswith("power_vector")
    }
    return {key: 2 * value if key.endswith("dn.weight") else value for key, value in state.items()}


def imported(path: Path, arch: str = "sdnet20", **options: Any) -> torch.nn.Module:
    return import_checkpoint(path, arch=arch, width=WIDTH, **options)


@pytest.fixture
def best(tmp_path: Path) -> Path:
    path = tmp_path / "model_best.pth.tar"
    torch.save(released(), path)
    return path


def test_both_released_forms_give_the_same_model(best: Path, tmp_path: Path) -> None:
    full = tmp_path / "checkpoint.pth.tar"
    whole = {
        "state_dict": {f"module.{key}": value for key, value in released().items()},
        "optimizer": {"state": {}, "param_groups": [{"lr": 0.1}]},
        "epoch": 220,
        "perf": np.float64(95.34),
        "lr_scheduler": {"last_epoch": 3},
    }
    torch.save(whole, full)
    images = torch.rand(2, 3, 32, 32)
    first, second = imported(best), imported(full)
    assert torch.equal(first(images), second(images))
    assert not first.training


def test_the_old_file_format_is_read(tmp_path: Path, best: Path) -> None:
    old = tmp_path / "old.pth.tar"
    torch.save(released(), old, _use_new_zipfile_serialization=False)
    images = torch.rand(2, 3, 32, 32)
    assert torch.equal(imported(old)(images), imported(best)(images))


def test_stored_step_sizes_are_trusted_only_when_asked(tmp_path: Path) -> None:
    state = released()
    exact = csc_layers(imported(_saved(state, tmp_path)))[0].step_size.item()
    state["layer0.0.dn.step_size"] = torch.tensor(0.0123)
    path = _saved(state, tmp_path)
    assert csc_layers(imported(path))[0].step_size.item() == exact
    trusted = csc_layers(imported(path, step_size="checkpoint"))[0]
    assert trusted.step_size.item() == pytest.approx(0.0123)
    torch.testing.assert_close(trusted.weight.flatten(1).norm(dim=1), torch.ones(WIDTH))
    del state["layer0.0.dn.step_size"]
    path = _saved(state, tmp_path)
    assert csc_layers(imported(path))[0].step_size.item() == exact
    with pytest.raises(CheckpointError, match="step_size is missing"):
        imported(path, step_size="checkpoint")
    with pytest.raises(InputError, match="'recompute' or 'checkpoint'"):
        imported(path, step_size="mine")


def test_lambda_and_normalisation_are_those_given(best: Path) -> None:
    model = imported(best, lam=0.3, mean=(0.1, 0.2, 0.3), std=(1.0, 2.0, 3.0))
    assert csc_layers(model)[0].lam == 0.3
    assert model.normalise.mean.flatten().tolist() == pytest.approx([0.1, 0.2, 0.3])  # type: ignore[union-attr, operator]
    plain = _saved(released("resnet20"), best.parent)
    assert imported(plain, "resnet20")(torch.rand(1, 3, 32, 32)).shape == (1, 10)


class Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("exploded",)


@pytest.mark.parametrize("new_format", [True, False])
def test_a_pickle_with_code_in_it_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, new_format: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "evil.pth.tar"
    torch.save({"state_dict": Bomb()}, path, _use_new_zipfile_serialization=new_format)
    with pytest.raises(CheckpointError, match=r"holds code \(\w+\.mkdir\) and was refused") as caught:
        imported(path)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04 no zip", None])
def test_a_damaged_file_is_one_line(best: Path, content: bytes | None) -> None:
    best.write_bytes(best.read_bytes()[:3000] if content is None else content)
    with pytest.raises(CheckpointError, match="is damaged, or no PyTorch checkpoint") as caught:
        imported(best)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [[1, 2], {}, {"state_dict": {"epoch": 3}}, torch.zeros(2)])
def test_a_file_without_a_state_dict_is_refused(tmp_path: Path, content: Any) -> None:
    with pytest.raises(CheckpointError, match="holds no state dict"):
        imported(_saved(content, tmp_path))


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No checkpoint"):
        imported(tmp_path / "none.pth.tar")


@pytest.mark.parametrize(
    ("wrote", "options", "asked", "message"),
    [
        (
            "sdnet20_all",
            {"shortcut": False},
            "sdnet20",
            "looks like sdnet20_all with num_classes=10, shortcut=False",
        ),
        ("resnet20", {"num_classes": 100}, "sdnet20", "looks like resnet20 with num_classes=100"),
        (
            "sdnet20",
            {"num_classes": 100},
            "sdnet20",
            r"is \[100, 16\], not \[10, 16\].*, not what was asked for",
        ),
        (
            "sdnet18",
            {"input_size": 64},
            "sdnet20",
            "looks like sdnet18 with num_classes=10, an ImageNet stem",
        ),
    ],
)
def test_another_architecture_is_told_in_one_line(
    wrote: str, options: dict[str, Any], asked: str, message: str, tmp_path: Path
) -> None:
    path = _saved(released(wrote, **options), tmp_path)
    with pytest.raises(CheckpointError, match=message) as caught:
        imported(path, asked)
    assert f"does not fit {asked}" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_tensors_of_nothing_known_are_told(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="of no architecture known here"):
        imported(_saved({"fc.weight": torch.zeros(2)}, tmp_path))


def _saved(state: Any, folder: Path) -> Path:
    path = folder / "saved.pth.tar"
    torch.save(state, path)
    return path
