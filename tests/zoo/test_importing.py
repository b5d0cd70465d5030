"""Released checkpoints in both forms; what holds code or belongs elsewhere is refused."""

from __future__ import annotations

import argparse
import os
import shlex
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from robustbench_sdnet.errors import CheckpointError, InputError
from robustbench_sdnet.zoo import build_model, csc_layers, import_checkpoint, load_model
from tests.net_files import write_script

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
    assert model.normalise.mean.flatten().tolist() == pytest.approx([0.1, 0.2, 0.3])
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
    with pytest.raises(CheckpointError, match="is damaged, or not a PyTorch checkpoint") as caught:
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
        ("sdnet20_all", {}, "sdnet20", r"looks like sdnet20_all with num_classes=10, width=4\.$"),
        ("sdnet18_all", {"shortcut": False}, "sdnet18", "looks like sdnet18_all .*shortcut=False"),
        ("resnet20", {"num_classes": 100}, "sdnet20", "looks like resnet20 with num_classes=100"),
        (
            "sdnet20",
            {"num_classes": 100},
            "sdnet20",
            r"is \[100, 16\], not \[10, 16\].*, not what was given",
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
    with pytest.raises(CheckpointError, match="No architecture known here fits it"):
        imported(_saved({"fc.weight": torch.zeros(2)}, tmp_path))


@pytest.mark.parametrize("place", ["state_dict", "model_state_dict", "model", "net", "ema"])
@pytest.mark.parametrize(
    "prefix",
    [
        "",
        "module.",
        "_orig_mod.",
        "model.",
        "module._orig_mod.",
        "_orig_mod.module.",
        "model._orig_mod.module.",
        "net.",
    ],
)
def test_weights_are_found_in_every_place_and_under_every_prefix(
    place: str, prefix: str, best: Path, tmp_path: Path
) -> None:
    state = {f"{prefix}{key}": value for key, value in released().items()}
    other = imported(_saved({place: state, "epoch": 3, "acc": np.float32(0.5)}, tmp_path)).state_dict()
    first = imported(best).state_dict()
    assert all(torch.equal(value, other[key]) for key, value in first.items() if "power_vector" not in key)


def test_averaged_weights_of_torch_are_read(best: Path, tmp_path: Path) -> None:
    averaged = {"n_averaged": torch.tensor(3)} | {f"module.{key}": value for key, value in released().items()}
    nested = _saved({"ema": {"state_dict": averaged}}, tmp_path)
    assert torch.equal(imported(nested).linear.weight, imported(best).linear.weight)


@pytest.mark.parametrize("new_format", [True, False])
def test_numpy_values_beside_the_weights_are_no_code(tmp_path: Path, new_format: bool) -> None:
    values = [
        kind(1)
        for kind in (np.int8, np.int32, np.uint64, np.float16, np.float64, np.bool_, np.complex64, np.str_)
    ]
    arrays = [np.arange(3), np.zeros((2, 2), np.float16), np.array(["a"]), np.random.default_rng(0).random(4)]
    path = tmp_path / "saved.pth"
    whole = {
        "net": released(),
        "values": values,
        "arrays": arrays,
        "rng": np.random.RandomState(0).get_state(),
    }
    torch.save(whole, path, _use_new_zipfile_serialization=new_format)
    assert imported(path)(torch.rand(1, 3, 32, 32)).shape == (1, 10)


@pytest.mark.parametrize(
    ("held", "named"),
    [
        (argparse.Namespace(lr=0.1), r"argparse\.Namespace"),
        (torch.nn.Linear(2, 2), r"torch\.nn\.modules\.linear\.Linear"),
        (np.array([None]), r"[\w.]*ObjectDType"),
    ],
)
@pytest.mark.parametrize("new_format", [True, False])
def test_what_is_no_tensor_and_no_number_is_named(
    held: Any, named: str, new_format: bool, tmp_path: Path
) -> None:
    path = tmp_path / "saved.pth"
    torch.save({"state_dict": released(), "args": held}, path, _use_new_zipfile_serialization=new_format)
    with pytest.raises(CheckpointError, match=rf"holds code \({named}\) and was refused"):
        imported(path)


@pytest.mark.parametrize(("arch", "width"), [("resnet20", 8), ("sdnet20", 6), ("sdnet20_all", 4)])
def test_the_width_is_that_of_the_stem(arch: str, width: int, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = build_model(arch, width=width).eval()
    found = import_checkpoint(_saved(model.state_dict(), tmp_path), arch)
    assert found.options["width"] == width
    assert torch.equal(found.linear.weight, model.linear.weight)
    with pytest.raises(
        CheckpointError, match=f"It looks like {arch} with num_classes=10.*, width={width}, not"
    ):
        import_checkpoint(tmp_path / "saved.pth.tar", arch, width=5)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(value: float, tmp_path: Path) -> None:
    state = released()
    state["linear.weight"][0, 0] = value
    with pytest.raises(CheckpointError, match=r"holds weights that are not finite \(linear\.weight\)"):
        imported(_saved(state, tmp_path))


def test_a_model_that_normalises_itself_says_how(tmp_path: Path) -> None:
    own = build_model("sdnet20", width=WIDTH, mean=(0.5, 0.4, 0.3), std=(0.2, 0.25, 0.3))
    path = _saved(own.state_dict(), tmp_path)
    found = imported(path)
    assert found.options["mean"] == (0.5, 0.4, 0.3)
    assert found.options["std"] == (0.2, 0.25, 0.3)
    assert torch.equal(found.normalise.mean, own.normalise.mean)
    assert imported(path, mean=(0.5, 0.4, 0.3)).options["std"] == (0.2, 0.25, 0.3)
    with pytest.raises(
        CheckpointError,
        match=r"with mean 0.5, 0.4, 0.3 .*Leave --mean out, or normalise.mean out of the file",
    ):
        imported(path, mean=(0.0, 0.0, 0.0))
    without = {key: value for key, value in own.state_dict().items() if key != "normalise.mean"}
    assert imported(_saved(without, tmp_path), mean=(0.0, 0.0, 0.0)).options["mean"] == (0.0, 0.0, 0.0)
    for mean in ((0.5, 0.4), "abc"):
        with pytest.raises(InputError, match="mean must be 3 finite numbers, one per channel"):
            imported(path, mean=mean)


@pytest.mark.parametrize(
    ("key", "change", "message"),
    [
        ("linear.weight", torch.Tensor.to_sparse, "linear.weight that is not a plain tensor"),
        (
            "linear.weight",
            lambda value: value.to(torch.complex64),
            "linear.weight that is not a plain tensor",
        ),
        ("linear.weight", lambda value: value.to("meta"), "linear.weight that is not a plain tensor"),
        ("layer0.0.dn.step_size", lambda value: -value, "layer0.0.dn.step_size of -.*, which is impossible"),
        ("layer0.1.running_var", lambda value: value - 2, "running_var of -1, which is impossible"),
    ],
)
def test_what_no_network_has_is_refused(key: str, change: Any, message: str, tmp_path: Path) -> None:
    state = released()
    state[key] = change(state[key])
    with pytest.raises(CheckpointError, match=message):
        imported(_saved(state, tmp_path), step_size="checkpoint")


def test_what_is_computed_anew_or_not_read_may_be_wrong_or_missing(best: Path, tmp_path: Path) -> None:
    state = {key: value for key, value in released().items() if not key.endswith("num_batches_tracked")}
    state["layer0.0.dn.step_size"] = torch.tensor([float("nan")])
    other, first = imported(_saved(state, tmp_path)), imported(best)
    assert other.layer0[0].dn.step_size == first.layer0[0].dn.step_size
    with pytest.raises(CheckpointError, match="step_size"):
        imported(tmp_path / "saved.pth.tar", step_size="checkpoint")


def test_shortcuts_without_weights_are_not_taken_for_none(tmp_path: Path) -> None:
    model = build_model("sdnet20_all", width=4, num_classes=5)
    with pytest.raises(
        CheckpointError, match=r"looks like sdnet20_all with num_classes=5, width=4, not what"
    ):
        import_checkpoint(_saved(model.state_dict(), tmp_path), "sdnet20_all")


def test_a_mapping_that_holds_itself_is_no_state_dict(tmp_path: Path) -> None:
    held: dict[str, Any] = {}
    held["state_dict"] = held
    torch.save(held, tmp_path / "saved.pth")
    with pytest.raises(CheckpointError, match="holds no state dict"):
        imported(tmp_path / "saved.pth")


def test_a_sound_file_of_another_kind_is_not_called_damaged(tmp_path: Path) -> None:
    names = ("script.pt", "program.pt2", "older.pt2", "zipped.pth")
    script, program, older, zipped = (tmp_path / name for name in names)
    write_script(torch.nn.Linear(2, 2), script)
    torch.export.save(torch.export.export(torch.nn.Linear(2, 2), (torch.zeros(1, 2),)), program)
    for path, name in (
        (older, "serialized_exported_program.json"),
        (zipped, "readme"),
    ):  # older: as of torch 2.6
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(name, "hello")
    for path, message in (
        (script, "is an exported model, not a checkpoint. Use it as it is: --model"),
        (program, "is an exported model, not a checkpoint"),
        (older, "is an exported model, not a checkpoint"),
        (zipped, "is not a PyTorch checkpoint"),
    ):
        with pytest.raises(CheckpointError, match=message) as caught:
            imported(path)
        assert "damaged" not in str(caught.value)
    named = script.rename(script.with_suffix(".pth"))  # which no command takes for an exported model
    with pytest.raises(
        CheckpointError, match=r"Rename it to script\.pt\. Use it as it is: --model"
    ) as caught:
        imported(named)
    named.rename(script)
    assert load_model(shlex.split(str(caught.value))[-1].rstrip(".").replace("a,b,c", "1")) is not None


def test_one_name_under_two_prefixes_is_refused(tmp_path: Path) -> None:
    state = released()
    state["module.linear.bias"] = state["linear.bias"]
    with pytest.raises(CheckpointError, match="one name under several prefixes"):
        imported(_saved(state, tmp_path))


def _saved(state: Any, folder: Path) -> Path:
    path = folder / "saved.pth.tar"
    torch.save(state, path)
    return path
